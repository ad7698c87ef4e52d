"""What the man in the middle knows of each driver's protocol: where a request ends, and a reply with a number in it.

``encoded`` is the value that a driver must read out of a reply with a number; where values have limits, numbers
come again after some hundreds, far more than can be under way.
"""

import re
import struct
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from qhal.devices.power_meter import PowerMeter
from qhal_simulators.instruments.purephotonics.itla_packets import Status
from qhal_simulators.instruments.purephotonics.itla_packets import reply as itla_reply
from qhal_simulators.instruments.thorlabs import apt_messages


class Dialect(ABC):
    """One protocol. ``stray`` is a frame that answers nothing."""

    model: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    stray: ClassVar[bytes] = b"spam\n"
    through_visa = False

    def split(self, buffer: bytes) -> tuple[list[bytes], bytes]:
        """Return complete requests and the rest."""
        *lines, rest = buffer.split(self.end)
        return [line + self.end for line in lines], rest

    end: ClassVar[bytes] = b"\n"

    @abstractmethod
    def is_numbered(self, request: bytes) -> bool:
        """Tell whether the reply to a request carries a number."""

    @abstractmethod
    def numbered(self, reply: bytes, number: int) -> bytes:
        """Return the reply with a number in it."""

    @abstractmethod
    def encoded(self, number: int) -> float:
        """Return the value that belongs to a number."""

    @abstractmethod
    def ask(self, device: Any) -> float:
        """Ask one numbered question through a driver."""


class Dd100(Dialect):
    model, options, end, stray = "ozoptics.dd100", {"homed": True}, b"\r", b"Error-2\r\nDone\r\n\r\n"

    def is_numbered(self, request: bytes) -> bool:
        return request == b"A?\r"

    def numbered(self, reply: bytes, number: int) -> bytes:
        return b"Atten:%.2f(dB)\r\nDone\r\n\r\n" % self.encoded(number)

    def encoded(self, number: int) -> float:
        return 2.0 + number % 5000 / 100

    def ask(self, device: Any) -> float:
        return device.read_attenuation_db()


class Ppcl550(Dialect):
    model, stray = (
        "purephotonics.ppcl550",
        itla_reply(Status.OK, 0x30, 1, checksum_error=False, constant_bit=True),
    )

    def split(self, buffer: bytes) -> tuple[list[bytes], bytes]:
        whole = len(buffer) // 4 * 4
        return [buffer[i : i + 4] for i in range(0, whole, 4)], buffer[whole:]

    def is_numbered(self, request: bytes) -> bool:
        return request[1] == 0x42

    def numbered(self, reply: bytes, number: int) -> bytes:
        data = 600 + number % 700
        return itla_reply(Status.OK, 0x42, data, checksum_error=False, constant_bit=True)

    def encoded(self, number: int) -> float:
        return (600 + number % 700) / 100

    def ask(self, device: Any) -> float:
        return device._read_output_dbm()


class Mpc320(Dialect):
    model, stray = "thorlabs.mpc320", apt_messages.short(0x0464, 1)

    def split(self, buffer: bytes) -> tuple[list[bytes], bytes]:
        requests = []
        while len(buffer) >= 6:
            size = 6 + (int.from_bytes(buffer[2:4], "little") if buffer[4] & 0x80 else 0)
            if len(buffer) < size:
                break
            requests.append(buffer[:size])
            buffer = buffer[size:]
        return requests, buffer

    def is_numbered(self, request: bytes) -> bool:
        return request[:4] == bytes.fromhex("90 04 01 00")

    def numbered(self, reply: bytes, number: int) -> bytes:
        return apt_messages.long(0x0491, struct.pack("<HihhI", 1, number % 1371, 0, 0, 0x8000_0000))

    def encoded(self, number: int) -> float:
        return number % 1371

    def ask(self, device: Any) -> float:
        return device._status(1).counts


class Polatis(Dialect):
    model, options = "hubersuhner.polatis", {"monitors": "outputs"}

    def is_numbered(self, request: bytes) -> bool:
        return b"PMON:POW?" in request

    def numbered(self, reply: bytes, number: int) -> bytes:
        return b"(%.3f)\n" % self.encoded(number)

    def encoded(self, number: int) -> float:
        return round(-20.0 + number % 30000 / 1000, 3)

    def ask(self, device: Any) -> float:
        return device.get(PowerMeter).read_power_dbm(17)


class VisaPolatis(Polatis):
    through_visa = True


class Awg5014(Dialect):
    model = "tektronix.awg5014"

    def is_numbered(self, request: bytes) -> bool:
        return b"SOUR1:FREQ?" in request

    def numbered(self, reply: bytes, number: int) -> bytes:
        return b"%d\n" % self.encoded(number)

    def encoded(self, number: int) -> float:
        return 10_000_000 + number

    def ask(self, device: Any) -> float:
        return device._scpi.ask_float("SOUR1:FREQ?")


class VisaAwg5014(Awg5014):
    through_visa = True


class WebSq(Dialect):
    model, stray = "singlequantum.websq", b'{"label": "InptMeasurementPeriod", "value": 100}\x17'

    def is_numbered(self, request: bytes) -> bool:
        return b"labelProps" in request

    def numbered(self, reply: bytes, number: int) -> bytes:
        value = b"%.2f" % self.encoded(number)
        return re.sub(
            rb'("label": "BiasCurrent", "value": \{"value": \[)[^],]*', lambda found: found[1] + value, reply
        )

    def encoded(self, number: int) -> float:
        return number % 4000 / 100

    def ask(self, device: Any) -> float:
        return device._read_bias_ua()[0]


class Id900(Dialect):
    model, stray = "idquantique.id900", b"spam"

    def is_numbered(self, request: bytes) -> bool:
        return request.startswith(b"INPU1:COUN?")

    def numbered(self, reply: bytes, number: int) -> bytes:
        return b"%d" % number

    def encoded(self, number: int) -> float:
        return number

    def ask(self, device: Any) -> float:
        return device._scpi.ask_int("INPU1:COUN?")
