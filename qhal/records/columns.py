"""Columns of equal length as a group of an HDF5 file, with named axes that xarray reads.

Every column is a dataset with its unit; its axes are dimension scales, the first one common to all. Reading accepts
only what writing makes: another link, type or attribute could hide a column or show one twice.
"""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from qhal.errors import DataError
from qhal.records.record import Table

_KINDS = "biuf"
"""Booleans, integers, floats; text is handled apart."""
_LAYOUTS = (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)


def write_columns(
    group: h5py.Group, columns: Mapping[str, NDArray[Any]], units: Mapping[str, str], first_axis: str
) -> None:
    """Write columns. Raises ValueError for different lengths, and for a column that is neither numbers nor text."""
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        raise ValueError(f"{group.name}: columns of different lengths {sorted(lengths)}")
    scales = {}
    for axis, length in _axes(columns, first_axis).items():
        scales[axis] = group.create_dataset(axis, data=np.arange(length))
        scales[axis].make_scale(axis)
    for name, column in columns.items():
        kind = np.asarray(column).dtype.kind
        if kind not in _KINDS + "OU":
            raise ValueError(f"{group.name}: column {name} is neither numbers nor text")
        text = kind in "OU"
        data = group.create_dataset(
            name,
            data=[str(cell) for cell in column] if text else column,
            dtype=h5py.string_dtype() if text else None,
        )
        if name in units:
            data.attrs["units"] = units[name]
        for dimension in range(data.ndim):
            data.dims[dimension].attach_scale(scales[_axis(name, dimension, first_axis)])


def read_columns(group: h5py.Group, first_axis: str, limit_bytes: int) -> Table:
    """Return columns, none of more bytes than the limit.

    Raises DataError for what :func:`write_columns` does not write, errors of h5py for what h5py does not read.
    """
    found = members(group, h5py.Dataset)
    scales = {name: data for name, data in found.items() if "CLASS" in data.attrs}
    columns: dict[str, NDArray[Any]] = {}
    units: dict[str, str] = {}
    for name, data in found.items():
        text = h5py.check_string_dtype(data.dtype) is not None
        if (
            not (text or data.dtype.kind in _KINDS)
            or data.shape is None
            or data.ndim == 0
            or data.nbytes > limit_bytes
            or data.id.get_create_plist().get_layout() not in _LAYOUTS
            or data.external is not None
        ):
            raise DataError(f"{data.name}: neither numbers nor text as a calibration record stores them")
        if name in scales:
            attributes(data, {"CLASS", "NAME", "REFERENCE_LIST"})
            if (data.attrs["CLASS"], data.attrs["NAME"]) != (b"DIMENSION_SCALE", name.encode()):
                raise DataError(f"{data.name}: not an axis of that name")
            continue
        if "units" in attributes(data, {"DIMENSION_LIST"}, {"units"}):
            units[name] = text_attribute(data, "units")
        columns[name] = np.array(data.asstr()[:], object) if text else data[:]
    axes = _axes(columns, first_axis)
    if {name: scale.shape for name, scale in scales.items()} != {a: (n,) for a, n in axes.items()}:
        raise DataError(f"{group.name}: axes {', '.join(scales)}; its columns have {', '.join(axes)}")
    for name, column in columns.items():
        for place in range(column.ndim):
            axis = _axis(name, place, first_axis)
            if _attached(found[name])[place] != scales[axis] or column.shape[place] != axes[axis]:
                raise DataError(f"{group.name}: axis {place} of {name} is not {axis}")
    return Table(columns, units)


def _attached(data: h5py.Dataset) -> list[h5py.HLObject]:
    """Return the axis of each dimension. Read without ``data.dims``, which crashes on a list of another type."""
    listed = data.attrs.get_id("DIMENSION_LIST")
    kind = h5py.check_vlen_dtype(listed.dtype)
    if kind is None or h5py.check_ref_dtype(kind) is not h5py.Reference or listed.shape != (data.ndim,):
        raise DataError(f"{data.name}: DIMENSION_LIST is not one")
    references = data.attrs["DIMENSION_LIST"]
    if any(len(each) != 1 for each in references):
        raise DataError(f"{data.name}: not one axis a dimension")
    return [data.file[each[0]] for each in references]


def members(group: h5py.Group, kind: type) -> dict[str, Any]:
    """Return a group's members by name. Raises DataError for links and for members of another kind."""
    for name in group:
        if (
            group.get(name, getlink=True, getclass=True) is not h5py.HardLink
            or group.get(name, getclass=True) is not kind
            or h5py.h5o.get_info(group[name].id).rc != 1
        ):
            raise DataError(f"{group.name}: {name} is a link, or not a {kind.__name__.lower()}")
    return dict(group.items())


def attributes(
    item: h5py.HLObject, names: set[str], allowed: set[str] | frozenset[str] = frozenset()
) -> set[str]:
    """Return the names of an item's attributes. Raises DataError when one is missing or there are more."""
    found = set(item.attrs)
    if not names <= found <= names | allowed:
        raise DataError(
            f"{item.name}: attributes {', '.join(sorted(found)) or 'none'}; expected {sorted(names)}"
        )
    return found


def text_attribute(item: h5py.HLObject, name: str) -> str:
    """Return an attribute that is text. Raises DataError."""
    value = item.attrs[name]
    if not isinstance(value, str):
        raise DataError(f"{item.name}: {name} is not text")
    return value


def _axes(columns: Mapping[str, NDArray[Any]], first_axis: str) -> dict[str, int]:
    return {
        _axis(name, place, first_axis): length
        for name, column in columns.items()
        for place, length in enumerate(np.shape(column))
    }


def _axis(column: str, place: int, first_axis: str) -> str:
    return f"{column}_axis{place}" if place else first_axis
