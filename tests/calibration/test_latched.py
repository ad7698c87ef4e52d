"""What was counted by a latched detector is refused, whatever became of a connection of it."""

import pytest

from qhal.calibration.framework.runner import _refuse_latched
from qhal.errors import DeviceError, Disconnected
from qhal.transport.connection import ConnectionState


@pytest.mark.parametrize("state", [ConnectionState.READY, ConnectionState.TAINTED, ConnectionState.LOST])
@pytest.mark.parametrize("connection", ["main", "counts"])
def test_a_latched_detector_is_refused_whatever_its_connections_are(connection, state, bench):
    detector, background = bench("singlequantum.websq")
    unit = background.unit("singlequantum.websq").instrument.readings
    detector.set_bias_ua([10.0] * detector.capabilities.channels)
    detector.enable()
    _refuse_latched([detector])
    unit.voltages_v = lambda: (0.007, 2.4, 0.007, 0.007)
    detector.session.connection(connection).state = state
    cause = Disconnected("of a laser")
    if connection == "main" and state is not ConnectionState.READY:
        _refuse_latched([detector], cause)  # that the detector is lost is the cause itself
    else:
        with pytest.raises(DeviceError, match=r"channels \[2\] are latched"):
            _refuse_latched([detector], cause)
    with pytest.raises(DeviceError, match=r"channels \[2\] are latched"):
        _refuse_latched([detector])
