"""Suite of single-photon detectors."""

import pytest

from qhal.devices.detector import Detector, DetectorState
from qhal.errors import OutOfRange


@pytest.mark.reads
def test_status_covers_every_channel(detector: Detector) -> None:
    """State, bias and trigger are there for every channel."""
    status, channels = detector.status(), detector.capabilities.channels
    assert len(status.states) == len(status.bias_ua) == len(status.trigger_mv) == channels


@pytest.mark.reads
def test_wrong_requests_send_nothing(detector: Detector) -> None:
    """A bias beyond the limits, too many values and too short a period are refused."""
    limits, before = detector.capabilities, detector.device.health.exchanges
    with pytest.raises(OutOfRange, match="bias of channel 1"):
        detector.set_bias_ua([limits.max_bias_ua + 1] * limits.channels)
    with pytest.raises(OutOfRange, match="values of bias"):
        detector.set_bias_ua([limits.min_bias_ua] * (limits.channels + 1))
    with pytest.raises(OutOfRange, match="period"):
        detector.read_counts(limits.min_period_s / 2)
    assert detector.device.health.exchanges == before


@pytest.mark.biases
def test_bias_goes_on_and_off(detector: Detector) -> None:
    """At a tenth of the highest bias the group comes on, counts, and goes off when made safe."""
    limits, before = detector.capabilities, detector.status()
    bias_ua = [bias for bias in before.bias_ua if bias is not None]
    gentle = [limits.max_bias_ua / 10] * limits.channels
    try:
        detector.disable()
        assert detector.set_bias_ua(gentle) == pytest.approx(gentle, abs=0.1)
        detector.enable()
        assert set(detector.status().states) == {DetectorState.BIASED}
        counts = detector.read_counts(max(limits.min_period_s, 0.1))
        assert len(counts.counts) == limits.channels
        assert all(count >= 0 for count in counts.counts)
    finally:
        detector.make_safe()
        detector.set_bias_ua(bias_ua)
    assert set(detector.status().states) == {DetectorState.OFF}
