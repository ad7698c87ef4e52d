"""The smallest instrument and its driver, on any wire: for tests and benchmarks of what lies between."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar

from qhal.devices.declaration import (
    Capabilities,
    ConnectionSpec,
    Declaration,
    Evidence,
    Identity,
    IdentityGrade,
)
from qhal.devices.device import Device
from qhal.devices.status import Status
from qhal.errors import ProtocolError
from qhal.transport.frames import line
from qhal_simulators.instrument import Connection, Instrument, LineConnection, Send, Wire
from qhal_simulators.physics.ports import Settings
from qhal_simulators.servers.background import Background
from qhal_simulators.servers.simulation import Simulation, Unit
from qhal_simulators.simulated_time import SimulationClock

LINE = line(b"\n")


class EchoDevice(Device):
    """``MEAS?`` reads a number; ``ASK n`` answers ``n``; ``SET n`` sets a value without an answer."""

    declaration = Declaration(
        model="Echo",
        connections={
            "main": ConnectionSpec(("serial", "tcp", "visa", "zmq+tcp"), timeout_s=1.0, line_delay_s=0.1)
        },
        identity=IdentityGrade.SERIAL,
        evidence=(Evidence.SINGLE,),
    )

    def read(self) -> float:
        return float(self.connection.exchange(b"MEAS?\n", LINE))

    def ask(self, number: int, timeout_s: float | None = None) -> int:
        return int(self.connection.exchange(b"ASK %d\n" % number, LINE, timeout_s=timeout_s))

    def set(self, value: int) -> None:
        self.connection.exchange(b"SET %d;*IDN?\n" % value, LINE)
        self.note_settings(value=value)

    def status(self) -> Status:
        return Status(time=datetime.now(UTC))

    def _identify(self) -> Identity:
        reply = self.connection.exchange(b"*IDN?\n", LINE).decode()
        if reply.count(",") != 3:
            raise ProtocolError(
                f"{self.name}: identity {reply!r} is not of the form maker,model,serial,firmware"
            )
        maker, model, serial, firmware = reply.split(",")
        return Identity(manufacturer=maker, model=model, serial_number=serial, firmware=firmware)

    def _read_capabilities(self) -> Capabilities:
        return Capabilities()

    def _read_settings(self) -> dict[str, Any]:
        return {"value": int(self.connection.exchange(b"VAL?\n", LINE))}


class Echo(Instrument):
    """The simulated side; ``wire`` says on what."""

    wires: ClassVar[dict[str, Wire]] = {"main": Wire.TCP}
    settings_type = Settings
    serial = "0001"

    def power_on(self) -> None:
        self.value = 0
        self.asked = 0

    def connect(self, link: str, send: Send) -> Connection:
        return _Echo(self, send)

    def answer(self, text: str) -> str:
        answers: dict[str, Callable[[], str]] = {
            "*IDN?": lambda: f"ACME,ECHO,{self.serial},1.0",
            "MEAS?": lambda: "1.234500E-03",
            "VAL?": lambda: str(self.value),
        }
        self.asked += 1
        if text.startswith("SET "):
            number, _, text = text[4:].partition(";")
            self.value = int(number)
        return answers[text]() if text in answers else text.removeprefix("ASK ")


class _Echo(LineConnection):
    def __init__(self, instrument: Echo, send: Send) -> None:
        super().__init__(send)
        self._instrument = instrument

    def line(self, line: bytes) -> None:
        self.send(self._instrument.answer(line.decode()).encode() + b"\n")


def echo_simulation(wire: Wire, count: int = 1) -> Background:
    """Return a simulation of echo instruments, called echo1, echo2, ..."""

    class Wired(Echo):
        wires: ClassVar[dict[str, Wire]] = {"main": wire}

    clock = SimulationClock()
    return Background(
        Simulation([Unit(f"echo{n}", "test.echo", Wired(clock)) for n in range(1, count + 1)], clock)
    )
