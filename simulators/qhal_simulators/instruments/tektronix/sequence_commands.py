"""Sequences of the AWG5014: stored and read back; the simulated outputs play single waveforms."""

from functools import partial
from typing import Any

from qhal_simulators.instruments.tektronix.command_arguments import argument, channel, parsed, quoted, shown
from qhal_simulators.instruments.tektronix.waveform_generator import WaveformGenerator
from qhal_simulators.scpi_commands import Handler, ScpiError, integer, text

MAX_ELEMENTS = 8000
JUMP_PATTERNS = 512
ELEMENT: dict[str, tuple[Any, Any, Any]] = {
    "LOOP:COUNt": ("integer", 1, (1, 65536)),
    "LOOP:INFinite": ("boolean", False, None),
    "TWAit": ("integer", 0, (-1, 1)),
    "GOTO:STATe": ("boolean", False, None),
    "GOTO:INDex": ("integer", 1, (1, MAX_ELEMENTS)),
    "JTARget:TYPE": (("INDex", "NEXT", "OFF"), "OFF", None),
    "JTARget:INDex": ("integer", 1, (1, MAX_ELEMENTS)),
}


def sequence_commands(awg: WaveformGenerator) -> dict[str, Handler]:
    """Return length and elements of the sequence, and jumps."""

    def length(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        count = integer(argument(arguments), 0, MAX_ELEMENTS)
        defaults = {key: default for key, (_, default, _) in ELEMENT.items()}
        awg.sequence = awg.sequence[:count] + [dict(defaults) for _ in range(count - len(awg.sequence))]

    def waveform(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        name = text(argument(arguments))
        if name:
            awg.waveforms.find(name)
        _element(awg, suffixes)[f"waveform{channel(suffixes[1:])}"] = name

    return {
        "SEQuence:LENGth": length,
        "SEQuence:LENGth?": lambda s, a: str(len(awg.sequence)),
        "SEQuence:ELEMent#:WAVeform#": waveform,
        "SEQuence:ELEMent#:WAVeform#?": lambda s, a: quoted(str(_element(awg, s).get(f"waveform{s[1]}", ""))),
        "SEQuence:JUMP[:IMMediate]": lambda s, a: None,
        "AWGControl:SEQuencer:TYPE?": lambda s, a: "HARD",
        "AWGControl:SEQuencer:POSition?": lambda s, a: "1",
        **_element_settings(awg),
        **_jumps(),
    }


def _element(awg: WaveformGenerator, suffixes: tuple[int, ...]) -> dict[str, object]:
    if not 1 <= suffixes[0] <= len(awg.sequence):
        raise ScpiError(-222)
    return awg.sequence[suffixes[0] - 1]


def _element_settings(awg: WaveformGenerator) -> dict[str, Handler]:
    def store(key: str, suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        kind, _, limits = ELEMENT[key]
        low, high = limits or (0, 0)
        _element(awg, suffixes)[key] = parsed(kind, argument(arguments), low, high)

    def recall(key: str, suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        return shown(_element(awg, suffixes)[key])

    commands: dict[str, Handler] = {}
    for key in ELEMENT:
        commands[f"SEQuence:ELEMent#:{key}"] = partial(store, key)
        commands[f"SEQuence:ELEMent#:{key}?"] = partial(recall, key)
    return commands


def _jumps() -> dict[str, Handler]:
    jumps: dict[int, int] = {}

    def define(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        pattern = integer(argument(arguments), 0, JUMP_PATTERNS - 1)
        jumps[pattern] = integer(argument(arguments, 1), 1, MAX_ELEMENTS)

    def defined(suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        return str(jumps.get(integer(argument(arguments), 0, JUMP_PATTERNS - 1), -1))

    return {
        "AWGControl:EVENt:DJUMp:DEFine": define,
        "AWGControl:EVENt:DJUMp:DEFine?": defined,
    }
