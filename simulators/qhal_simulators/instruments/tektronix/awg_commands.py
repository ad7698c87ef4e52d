"""The command table of the AWG5014; here its stored settings, each set and read back."""

from functools import partial

from qhal_simulators.instruments.tektronix.awg_settings import CHANNELS, MARKERS, SETTINGS, Setting
from qhal_simulators.instruments.tektronix.command_arguments import argument, parsed, quoted, shown
from qhal_simulators.instruments.tektronix.common_commands import common_commands
from qhal_simulators.instruments.tektronix.file_commands import file_commands
from qhal_simulators.instruments.tektronix.run_commands import run_commands
from qhal_simulators.instruments.tektronix.sequence_commands import sequence_commands
from qhal_simulators.instruments.tektronix.waveform_commands import waveform_commands
from qhal_simulators.instruments.tektronix.waveform_generator import WaveformGenerator
from qhal_simulators.scpi_commands import Handler, ScpiError


def table(awg: WaveformGenerator) -> dict[str, Handler]:
    """Return all commands, bound to one generator."""
    commands: dict[str, Handler] = {}
    for setting in SETTINGS:
        commands[setting.header] = partial(_store, awg, setting)
        commands[f"{setting.header}?"] = partial(_recall, awg, setting)
    for group in (common_commands, run_commands, waveform_commands, sequence_commands, file_commands):
        commands |= group(awg)
    return commands


def _key(setting: Setting, suffixes: tuple[int, ...]) -> str:
    numbers = suffixes if "{n}" in setting.key else ()
    limits = (CHANNELS, MARKERS)
    if any(not 1 <= n <= limit for n, limit in zip(numbers, limits, strict=False)):
        raise ScpiError(-113)
    n, m = (*suffixes, 1, 1)[:2]
    return setting.key.format(n=n, m=m)


def _store(
    awg: WaveformGenerator, setting: Setting, suffixes: tuple[int, ...], arguments: list[bytes]
) -> None:
    key = _key(setting, suffixes)
    awg.values[key] = parsed(setting.kind, argument(arguments), setting.low, setting.high)
    if key == "run_mode" and awg.state:
        awg.run()
    elif key.startswith(("amplitude", "offset", "frequency")):
        awg.show()


def _recall(
    awg: WaveformGenerator, setting: Setting, suffixes: tuple[int, ...], arguments: list[bytes]
) -> str:
    value = awg.values[_key(setting, suffixes)]
    return quoted(value) if setting.kind == "text" else shown(value)
