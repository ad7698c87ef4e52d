"""A third-party power meter in the few lines that a driver takes: a dark head is an answer, not a loss."""

from math import inf

import pytest

from qhal.devices.declaration import ConnectionSpec, Declaration, Evidence, Identity, IdentityGrade
from qhal.devices.device import Device
from qhal.devices.power_meter import PowerMeter, PowerMeterCapabilities
from qhal.devices.scpi import Scpi
from qhal.devices.status import Quality
from qhal.errors import NoValue, ProtocolError
from qhal.transport.memory import pair


def answering(answers):
    """Return a transport on which each request has an answer in a table."""
    near, far = pair()

    def answer():
        far.write(answers[far.read_chunk(inf, 1).strip().decode()].encode() + b"\n", inf)

    far.on_arrival = answer
    return near


class Meter(Device, PowerMeter):
    declaration = Declaration(
        model="PM42",
        connections={"main": ConnectionSpec(("tcp",))},
        identity=IdentityGrade.SERIAL,
        evidence=(Evidence.SINGLE,),
    )

    def _start(self):
        self._scpi = Scpi(self.connection)

    def _identify(self):
        maker, model, serial, firmware = self._scpi.ask("*IDN?").split(",")
        return Identity(manufacturer=maker, model=model, serial_number=serial, firmware=firmware)

    def _read_capabilities(self):
        return PowerMeterCapabilities(channels=(1, 2), min_power_dbm=-60.0, max_power_dbm=10.0)

    def _read_settings(self):
        return {}

    def _read_power_dbm(self, channel):
        return self._scpi.ask_float(f"READ{channel}:POW?")


@pytest.mark.parametrize("dark", ["-INF", "-9.9E37", "-9.900000E+37", "-75.2", "NINF"])
def test_a_dark_head_costs_nothing(dark):
    transport = answering({"*IDN?": "ACME,PM42,7,1.0", "READ1:POW?": dark, "READ2:POW?": "1550.E-3"})
    with Meter({"main": transport}) as meter:
        for _ in range(3):
            assert meter.read_power_dbm(1) is None
            status = meter.status()
            assert (status.power_dbm, status.below_range) == ({1: None, 2: 1.55}, (1,))
            assert (status.quality, status.problems) == (Quality.GOOD, ())
        assert (meter.health.state, meter.health.reconnects) == ("ready", 0)


@pytest.mark.parametrize(
    ("reply", "error"),
    [("NAN", NoValue), ("9.9E37", NoValue), ("-INFX", ProtocolError), ("40", ProtocolError)],
)
def test_one_head_without_a_value_costs_no_other(reply, error):
    transport = answering({"*IDN?": "ACME,PM42,7,1.0", "READ1:POW?": reply, "READ2:POW?": "-3.5"})
    with Meter({"main": transport}) as meter:
        status = meter.status()
        assert (status.power_dbm, status.below_range) == ({1: None, 2: -3.5}, ())
        assert status.quality is Quality.FAULTED
        assert "READ1:POW?" in status.problems[0] or "channel 1" in status.problems[0]
        with pytest.raises(error):
            meter.read_power_dbm(1)
        assert meter.read_power_dbm(2) == -3.5
