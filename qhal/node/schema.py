"""The node file: what stands in a rack, where it is, how light and clocks go between.

The models are the schema. An unknown key is an error; an error names file, table and key. Imports only
pydantic and :mod:`qhal.errors`, so that simulators can write node files with it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from qhal.errors import ConfigurationError
from qhal.explain import explain
from qhal.toml_file import read_toml

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]


Carries = Literal["quantum", "traffic"]
IdentityField = Literal["manufacturer", "model", "serial_number", "firmware", "shape"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NodeTable(_Table):
    """``[node]``: the rack itself, and what is made safe when.

    ``safe_on_exit``: also when the node is closed in good order. ``safe_on_failure``: when it is left by an exception,
    SIGINT, SIGTERM or SIGHUP. ``guard``: a small process makes it safe when this one dies; only with
    ``safe_on_failure``, and where something can be hazardous (detectors, sources, attenuators).
    """

    name: Name
    safe_on_exit: bool = False
    safe_on_failure: bool = True
    guard: bool = True


class ClockTable(_Table):
    """``[clock]``: by which clock devices are waited for; anything but the wall needs a simulator."""

    mode: Literal["wall", "stepped"] = "wall"
    speed: float = Field(default=1.0, gt=0)
    address: str | None = None

    @model_validator(mode="after")
    def _stepped_needs_address(self) -> Self:
        if (self.mode == "stepped") != (self.address is not None):
            raise ValueError(
                "address is the control connection of a simulator: needed with mode 'stepped' only"
            )
        return self


class DeviceTable(_Table):
    """``[devices.NAME]``: driver, address of the main connection, further connections, options, expected identity.

    ``carries``: a device that carries a customer's traffic, such as the laser of a classical channel, is never made
    safe by anyone.
    """

    driver: Name
    address: str
    connections: dict[Name, str] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    expected: dict[IdentityField, str] = Field(default_factory=dict)
    carries: Carries = "quantum"


class PathElement(_Table):
    """One element of an optical path: a device (with ports), or a passive part with its loss.

    A switch has ``ingress`` and ``egress``. ``uncertainty_db`` is the standard uncertainty of the loss (k = 1).
    """

    name: str = ""
    device: Name | None = None
    ingress: int | None = Field(default=None, ge=1)
    egress: int | None = Field(default=None, ge=1)
    loss_db: float | None = Field(default=None, ge=0, le=200)
    uncertainty_db: float = Field(default=0.0, ge=0)
    length_km: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _is_something(self) -> Self:
        if self.device is None and self.loss_db is None:
            raise ValueError("an element is a device, or has a loss_db")
        if (self.ingress is None) != (self.egress is None):
            raise ValueError("ingress and egress go together")
        return self


class PathTable(_Table):
    """``[paths.NAME]``: the elements that light passes, in order.

    ``carries``: on a path that carries a customer's traffic every device does; of a switch it is the named ports only.
    """

    elements: tuple[PathElement, ...] = Field(min_length=1)
    carries: Carries = "quantum"


class RecordTable(_Table):
    """``[[records]]``: a calibration record that the node uses. ``file`` is relative to the node file."""

    file: Path


class NodeFile(_Table):
    """A whole node file. ``clock_tree`` maps a device to what its clock is locked to."""

    node: NodeTable
    clock: ClockTable = ClockTable()
    devices: dict[Name, DeviceTable] = Field(min_length=1)
    paths: dict[Name, PathTable] = Field(default_factory=dict)
    clock_tree: dict[Name, Name | Literal["internal"]] = Field(default_factory=dict)
    records: tuple[RecordTable, ...] = ()
    _source: str = ""

    @property
    def source(self) -> str:
        """The file that it was read from, empty when from none."""
        return self._source

    def carries_traffic(self, name: str) -> bool:
        """Return whether a device carries a customer's traffic, by its own table or by a path."""
        return self.devices[name].carries == "traffic" or any(
            path.carries == "traffic" and element.device == name and element.ingress is None
            for path in self.paths.values()
            for element in path.elements
        )

    def traffic_ports(self, name: str) -> frozenset[int]:
        """Return the ports of a switch that are on paths of a customer's traffic."""
        return frozenset(
            port
            for path in self.paths.values()
            if path.carries == "traffic"
            for element in path.elements
            if element.device == name
            for port in (element.ingress, element.egress)
            if port is not None
        )

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for path, table in self.paths.items():
            for position, element in enumerate(table.elements, 1):
                if element.device is not None and element.device not in self.devices:
                    raise ValueError(f"paths.{path}, element {position}: no device {element.device!r}")
        for device, source in self.clock_tree.items():
            for name in (device, source):
                if name != "internal" and name not in self.devices:
                    raise ValueError(f"clock_tree.{device}: no device {name!r}")
        self._refuse_clock_loops()
        return self

    def _refuse_clock_loops(self) -> None:
        for start in self.clock_tree:
            seen, name = {start}, self.clock_tree[start]
            while name in self.clock_tree:
                if name in seen:
                    raise ValueError(f"clock_tree.{start}: {name!r} is locked to itself in the end")
                seen.add(name)
                name = self.clock_tree[name]


def load_node_file(path: str | Path) -> NodeFile:
    """Read and check a node file. Raises ConfigurationError naming file, table and key."""
    path = Path(path)
    file = parse_node(read_toml(path), str(path))
    records = tuple(RecordTable(file=path.parent / table.file) for table in file.records)
    located = file.model_copy(update={"records": records})
    located._source = str(path)
    return located


def parse_node(content: dict[str, Any], source: str) -> NodeFile:
    """Check the content of a node file. Raises ConfigurationError naming source, table and key."""
    try:
        return NodeFile.model_validate(content)
    except ValidationError as error:
        raise ConfigurationError(f"{source}: {explain(error, NodeFile)}") from error
