"""What a world logs for checks: the latest of it, however long the world runs."""

from types import SimpleNamespace

import pytest

from qhal_simulators.physics import truth


def test_the_log_forgets_what_is_long_ago(monkeypatch):
    monkeypatch.setattr(truth, "_KEPT", 100)
    log = truth.TruthLog()
    for n in range(1000):
        log.add(SimpleNamespace(start_s=n * 0.5, stop_s=(n + 1) * 0.5))
    assert len(log._entries) <= 200
    latest = log.interval(460.0, 499.75)
    assert sum(duration for duration, _ in latest) == pytest.approx(39.75)
    with pytest.raises(ValueError, match=r"0\.0 s to 1\.0 s is not in the log"):
        log.interval(0.0, 1.0)
