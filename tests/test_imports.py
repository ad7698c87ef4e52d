"""What importing costs: only names, checked in a fresh interpreter."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import qhal", ("serial", "pyvisa", "zmq", "numpy", "numba", "pydantic", "typer")),
        ("import qhal.calibration", ("h5py", "numpy", "numba", "pydantic", "scipy", "uncertainties")),
        ("import qhal_drivers, qhal_simulators", ("serial", "pyvisa", "zmq", "numpy", "numba", "pydantic")),
        (
            "from qhal.transport.address import Address; from qhal.transport.open import make_transport; "
            "make_transport(Address('tcp://h:1'))",
            ("serial", "pyvisa", "zmq", "numpy"),
        ),
    ],
)
def test_nothing_heavy_is_loaded(code, absent):
    script = f"{code}\nimport sys; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
