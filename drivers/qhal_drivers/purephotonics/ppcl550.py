"""Pure Photonics PPCL550, and any module of the OIF ITLA agreement: UART, 9600 8N1, four bytes each way.

Rests on the register tables of OIF-ITLA-MSA-01.2 as two independent public clients use them. Opening raises
neither DTR nor RTS, because on some boards that makes the module emit; it writes nothing, so a laser that was
on stays on. What the CE bit means is contradictory in the sources: it is learnt from the first reply, which
answers a read with a good checksum.
"""

from collections.abc import Callable

from qhal.devices.declaration import ConnectionSpec, Declaration, Evidence, Identity, IdentityGrade, UsbId
from qhal.devices.device import Device, SubDevice
from qhal.devices.interface import check_read
from qhal.devices.power_meter import PowerMeter, PowerMeterCapabilities
from qhal.devices.source import Source, SourceCapabilities
from qhal.errors import DeviceError, ProtocolError, WrongDevice
from qhal.transport import replies
from qhal.transport.frames import exactly
from qhal.transport.proof import Proof, align
from qhal.transport.settings import SerialSettings
from qhal_drivers.purephotonics import itla

_NOP, _EAR, _STATUS_F = 0x00, 0x0B, 0x20
_DEVTYP, _MFGR, _MODEL, _SERNO, _RELEASE = 0x01, 0x02, 0x03, 0x04, 0x06
_CHANNEL, _PWR, _RESENA, _FCF1, _FCF2, _LF1, _LF2, _OOP = 0x30, 0x31, 0x32, 0x35, 0x36, 0x40, 0x41, 0x42
_OPSL, _OPSH, _LFL1, _LFH1, _FTF = 0x50, 0x51, 0x52, 0x54, 0x62
_SENA = 0x08
_DARK_DBM = -50.0
_POWERS_DBM, _FREQUENCIES_THZ = (-60.0, 40.0), (150.0, 350.0)
_LONGEST_TEXT = 256
_RESENDS = 3
_POLL_S = 0.05
_READY_S, _LOCK_S, _FADE_S = 10.0, 60.0, 1.0
_FAULTS = ("power fatal", "thermal fatal", "frequency fatal", "vendor fatal")
_FRAME = exactly(4)


def _answers(register: int) -> Callable[[bytes], bool]:
    return lambda frame: frame[1] == register and itla.is_whole(frame)


_PROOFS = tuple(
    # Registers that this driver never writes: a reply names the register, not whether that was read or written.
    Proof(itla.request(register), _FRAME, _answers(register))
    for register in (_OPSL, _OPSH, _LFL1, _LFH1, _STATUS_F)
)
_LONGEST_REST = 3
"""Bytes by which a frame of another program may be incomplete."""


class _OutputMeter(SubDevice["Ppcl550"], PowerMeter):
    """The laser's own power monitor."""

    def _read_capabilities(self) -> PowerMeterCapabilities:
        """One channel, the output."""
        return PowerMeterCapabilities(channels=(1,), min_power_dbm=_DARK_DBM, max_power_dbm=20.0)

    def _read_power_dbm(self, channel: int) -> float:
        return self.device._read_output_dbm()


class Ppcl550(Device, Source):
    """A tunable laser with an OIF ITLA interface."""

    sub_device_types = (_OutputMeter,)
    declaration = Declaration(
        model="Pure Photonics PPCL550",
        connections={
            "main": ConnectionSpec(
                ("serial",),
                timeout_s=1.0,  # the unit answers within 50 ms; clients wait 0.25 to 0.5 s, too short on a busy host
                settings={"serial": SerialSettings(baudrate=9600, dtr=False, rts=False)},
            )
        },
        identity=IdentityGrade.SERIAL,
        evidence=(Evidence.CLIENTS,),
        usb=(UsbId(0x0403, 0x6001), UsbId(0x0403, 0x6015)),
    )

    def _align(self) -> None:
        align(self.connection, _PROOFS, b"\0", _LONGEST_REST)

    def _proofs(self) -> tuple[Proof, ...]:
        return _PROOFS

    def _start(self) -> None:
        reply = self.connection.exchange(itla.request(_NOP), _FRAME, parse=itla.parse)
        self._good_flag = reply.checksum_flag
        left_s = _READY_S
        while not self._read(_NOP) & 0x10:
            if left_s <= 0:
                raise DeviceError(f"{self.name}: not ready {_READY_S:g} s after opening")
            self.clock.sleep_s(_POLL_S)
            left_s -= _POLL_S

    def _resynchronise(self) -> None:
        if self._read(_NOP) & 0x10 == 0:
            raise DeviceError(f"{self.name}: the module is not ready")

    def _identify(self) -> Identity:
        device_type = self._read_text(_DEVTYP)
        if "ITLA" not in device_type:
            raise WrongDevice(f"{self.name}: device type {device_type!r} is not an ITLA")
        maker, model, serial, release = map(self._read_text, (_MFGR, _MODEL, _SERNO, _RELEASE))
        return Identity(
            manufacturer=maker, model=model, serial_number=serial, firmware=release, shape=device_type
        )

    def _read_capabilities(self) -> SourceCapabilities:
        powers_dbm = [
            check_read(
                self, "limit of the power", itla.signed(self._read(register)) / 100, *_POWERS_DBM, "dBm"
            )
            for register in (_OPSL, _OPSH)
        ]
        frequencies_thz = [
            check_read(
                self, "limit of the frequency", self._read_frequency(register), *_FREQUENCIES_THZ, "THz"
            )
            for register in (_LFL1, _LFH1)
        ]
        return SourceCapabilities(
            min_power_dbm=powers_dbm[0],
            max_power_dbm=powers_dbm[1],
            power_resolution_db=0.01,
            min_frequency_thz=frequencies_thz[0],
            max_frequency_thz=frequencies_thz[1],
            frequency_resolution_thz=1e-4,
            tunes_while_emitting=False,
        )

    def _write_power_dbm(self, power_dbm: float) -> None:
        self._write(_PWR, round(power_dbm * 100))

    def _read_set_power_dbm(self) -> float:
        return itla.signed(self._read(_PWR)) / 100

    def _read_output_dbm(self) -> float:
        return itla.signed(self._read(_OOP)) / 100

    def _write_frequency_thz(self, frequency_thz: float) -> None:
        thz, tenths_of_ghz = divmod(round(frequency_thz * 1e4), 10000)
        self._write(_FTF, 0)
        self._write(_FCF1, thz)
        self._write(_FCF2, tenths_of_ghz)
        self._write(_CHANNEL, 1)
        self._wait_until_locked()

    def _read_frequency_thz(self) -> float:
        return self._read_frequency(_LF1)

    def _write_emitting(self, emitting: bool) -> None:
        self._write(_RESENA, _SENA if emitting else 0)
        if emitting:
            self._wait_until_locked()

    def _read_emitting(self) -> bool:
        """Return whether the output is enabled and light comes out. Raises DeviceError when only one is true."""
        enabled, left_s = bool(self._read(_RESENA) & _SENA), _FADE_S
        while (output_dbm := self._read_output_dbm()) > _DARK_DBM and not enabled and left_s > 0:
            self.clock.sleep_s(_POLL_S)
            left_s -= _POLL_S
        if enabled == (output_dbm > _DARK_DBM):
            return enabled
        state = "enabled" if enabled else f"disabled for {_FADE_S:g} s"
        raise DeviceError(f"{self.name}: the output is {state} and has {output_dbm:g} dBm")

    def _read_problems(self) -> tuple[str, ...]:
        status = self._read(_STATUS_F)
        return tuple(text for bit, text in enumerate(_FAULTS, 8) if status >> bit & 1)

    def _read_frequency(self, register: int) -> float:
        return (self._read(register) * 10000 + self._read(register + 1)) / 1e4

    def _wait_until_locked(self) -> None:
        left_s = _LOCK_S
        while pending := self._read(_NOP) >> 8:
            if left_s <= 0:
                raise DeviceError(f"{self.name}: {pending:#04x} still pending after {_LOCK_S:g} s")
            self.clock.sleep_s(_POLL_S)
            left_s -= _POLL_S

    def _read_text(self, register: int) -> str:
        length = self._ask(register, None, (itla.AEA,)).data
        if length > _LONGEST_TEXT:
            raise ProtocolError(f"{self.name}: register {register:#04x} announces a text of {length} bytes")
        text = b"".join(self._read(_EAR).to_bytes(2, "big") for _ in range((length + 1) // 2))
        return replies.label(replies.text(text[:length]))

    def _read(self, register: int) -> int:
        return self._ask(register, None, (itla.OK,)).data

    def _write(self, register: int, data: int) -> None:
        self._ask(register, data, (itla.OK, itla.PENDING))

    def _ask(self, register: int, data: int | None, allowed: tuple[int, ...]) -> itla.Reply:
        def parse(frame: bytes) -> itla.Reply:
            reply = itla.parse(frame)
            if reply.register != register:
                raise ProtocolError(f"register {reply.register:#04x} answers for {register:#04x}")
            return reply

        for _ in range(1 + _RESENDS):
            reply = self.connection.exchange(itla.request(register, data), _FRAME, parse=parse)
            if reply.checksum_flag == self._good_flag:
                break
        else:
            raise ProtocolError(
                f"{self.name}: register {register:#04x}: checksum refused {_RESENDS + 1} times"
            )
        if reply.status == itla.EXECUTION_ERROR:
            reason = self._read(_NOP) & 0x0F
            what = "read" if data is None else f"write {data}"
            raise DeviceError(
                f"{self.name}: {what} register {register:#04x}: {itla.ERRORS.get(reason, f'error {reason}')}"
            )
        if reply.status not in allowed:
            raise ProtocolError(f"{self.name}: register {register:#04x} answers with status {reply.status}")
        return reply
