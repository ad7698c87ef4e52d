"""Read a calibration record with h5py and with xarray, without qhal, and compare with what qhal wrote.

Arguments: the record, and JSON with what is in it.
"""

import json
import sys
import warnings

import h5py
import numpy as np
import xarray

warnings.simplefilter("error")
path, expected = sys.argv[1], json.loads(sys.argv[2])

with h5py.File(path) as file:
    document = json.loads(file.attrs["record"])
    assert document["instruments"][0]["serial_number"] == expected["serial_number"]
    assert file["quantities/value"][:].tolist() == expected["values"]
    assert file["quantities/unit"].asstr()[:].tolist() == expected["units"]

quantities = xarray.open_dataset(path, group="quantities", engine="h5netcdf")
assert quantities["value"].dims == ("quantity",)
assert quantities["value"].values.tolist() == expected["values"]
assert quantities["name"].values.tolist() == expected["names"]
total = np.hypot(quantities["statistical"], quantities["systematic"])
assert np.allclose(total, expected["uncertainties"], rtol=1e-12)

for table, columns in expected["tables"].items():
    data = xarray.open_dataset(path, group=f"data/{table}", engine="h5netcdf")
    assert set(data.data_vars) == set(columns), (table, set(data.data_vars))
    for name, column in columns.items():
        assert data[name].dims[0] == "row"
        assert data[name].values.tolist() == column["values"], (table, name)
        assert data[name].attrs.get("units", "") == column["unit"], (table, name)
    # What it is for: selecting and averaging along named axes.
    numeric = [name for name in data.data_vars if data[name].dtype.kind in "if"]
    assert all(np.isfinite(data[name].mean("row")).all() for name in numeric)

assert xarray.open_dataset(path, engine="h5netcdf").attrs["format"] == "qhal calibration record"
print("h5py and xarray read", path)
