"""Common and status commands of the AWG5014."""

from functools import partial

from qhal_simulators.instruments.tektronix.command_arguments import argument
from qhal_simulators.instruments.tektronix.waveform_generator import WaveformGenerator
from qhal_simulators.scpi_commands import TEXTS, Handler, integer


def common_commands(awg: WaveformGenerator) -> dict[str, Handler]:
    """Return identity, status registers, error queue and synchronisation."""

    def clear(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        awg.errors.clear()
        awg.event_status = 0

    def event_status(suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        found, awg.event_status = awg.event_status, 0
        return str(found)

    def error(suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        code = awg.errors.pop()
        return f'{code},"{TEXTS[code]}"'

    def identity(suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        options = awg.options
        return f"TEKTRONIX,{options.model},{options.serial_number},{options.firmware}"

    enables = {"ESE": 0, "SRE": 0}

    def enable(register: str, suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        enables[register] = integer(argument(arguments), 0, 255)

    return {
        "*IDN?": identity,
        "*OPT?": lambda s, a: awg.options.option_codes,
        "*RST": lambda s, a: awg.reset(),
        "*CLS": clear,
        "*WAI": lambda s, a: None,
        "*OPC": lambda s, a: awg.refuse(-800),
        "*OPC?": lambda s, a: "1",
        "*ESR?": event_status,
        "*ESE": partial(enable, "ESE"),
        "*ESE?": lambda s, a: str(enables["ESE"]),
        "*SRE": partial(enable, "SRE"),
        "*SRE?": lambda s, a: str(enables["SRE"]),
        "*STB?": lambda s, a: str(4 if len(awg.errors) else 0),
        "*TST?": lambda s, a: "0",
        "*TRG": lambda s, a: None,
        "SYSTem:ERRor[:NEXT]?": error,
        "SYSTem:VERSion?": lambda s, a: "1999.0",
    }
