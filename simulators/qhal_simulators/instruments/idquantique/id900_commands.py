"""The command table of a Time Controller: settings, counters, records, generators, states."""

from collections.abc import Callable

from qhal_simulators.instruments.idquantique import state_texts
from qhal_simulators.instruments.idquantique.blocks import BLOCKS, COMBINERS, DELAYS, GENERATORS, INPUTS
from qhal_simulators.instruments.idquantique.presets import NAMES
from qhal_simulators.instruments.idquantique.setting_forms import WRONG_TYPE, Setting
from qhal_simulators.instruments.idquantique.time_controller import TimeController
from qhal_simulators.scpi_commands import Handler, ScpiError

_UNDEFINED = -113
_MISSING = -109


def table(unit: TimeController) -> dict[str, Handler]:
    """Return all commands of a unit's firmware."""
    commands = _device(unit) | _inputs(unit) | _outputs_of_records(unit)
    commands |= _generators(unit)
    if unit.options.firmware == "new":
        commands |= _recorder(unit)
    for pattern, setting in BLOCKS.items():
        if setting.exists(unit.options.firmware):
            commands[pattern] = _setter(unit, setting)
            commands[f"{pattern}?"] = _getter(unit, setting)
    return commands


def _number(count: int, suffixes: tuple[int, ...]) -> int:
    number = suffixes[0] if suffixes else 1
    if not 1 <= number <= count:
        raise ScpiError(_UNDEFINED)
    return number


def _numbered(count: int, action: Callable[[int], str]) -> Handler:
    """Return a handler for a command of one of several blocks."""
    return lambda suffixes, arguments: action(_number(count, suffixes))


def _plain(action: Callable[[], str]) -> Handler:
    return lambda suffixes, arguments: action()


def _text(arguments: list[bytes]) -> str:
    return arguments[0].decode("ascii", "replace") if arguments else ""


def _setter(unit: TimeController, setting: Setting) -> Handler:
    def handle(suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        number = _number(setting.count, suffixes)
        value = setting.parse(_text(arguments))
        unit.change(setting.block, number, setting.key, value)
        return value

    return handle


def _getter(unit: TimeController, setting: Setting) -> Handler:
    return _numbered(setting.count, lambda n: unit.settings.value(setting.block, n, setting.key))


def _device(unit: TimeController) -> dict[str, Handler]:
    def load(suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        name = _text(arguments).strip().upper()
        if name not in NAMES:
            raise ScpiError(WRONG_TYPE)
        unit.load(name)
        return name

    return {
        "*IDN?": _plain(lambda: unit.options.identity),
        "DEVIce:RESolution:BWIDth?": _plain(lambda: str(unit.bin_ps)),
        "DEVIce:CONFiguration:LOAD": load,
        "DEVIce:SAMPling:RECAlibrate": _plain(lambda: "Recalibration done"),
        "DEVIce:STATe?": _plain(lambda: state_texts.device_state(unit.settings)),
    }


def _inputs(unit: TimeController) -> dict[str, Handler]:
    """Return inputs, START, delays and the counters of combiners."""
    firmware = unit.options.firmware
    commands: dict[str, Handler] = {
        "INPUt#:HIREs:ERROr?": _numbered(INPUTS, lambda n: str(unit.input_counters[n - 1].hires_error)),
        "INPUt#:HIREs:ERROr:CLEAr": _numbered(INPUTS, lambda n: unit.input_counters[n - 1].clear_error()),
        "INPUt#:STATe?": _numbered(INPUTS, lambda n: state_texts.input_state(unit.settings, "INPU", n)),
        "STARt:HIREs:ERROr?": _plain(lambda: "0"),
        "STARt:HIREs:ERROr:CLEAr": _plain(lambda: "Cleared Highres errors"),
        "STARt:STATe?": _plain(lambda: state_texts.input_state(unit.settings, "STAR", 1)),
        "DELAy#:STATe?": _numbered(DELAYS, lambda n: state_texts.delay_state(unit.settings, n, firmware)),
    }
    for pattern, block, count in (
        ("INPUt#", "INPU", INPUTS),
        ("STARt", "STAR", 1),
        ("TSCOmbiner#", "TSCO", COMBINERS),
    ):
        commands[f"{pattern}:COUNter?"] = _counter(count, block, unit.count)
        commands[f"{pattern}:COUNter:RESEt"] = _counter(count, block, unit.reset_counter)
    return commands


def _counter(count: int, block: str, action: Callable[[str, int], str]) -> Handler:
    return _numbered(count, lambda n: action(block, n))


def _outputs_of_records(unit: TimeController) -> dict[str, Handler]:
    """Return timestamps and histograms."""
    firmware = unit.options.firmware

    def clear(n: int) -> str:
        unit.recorder.raw_errors[n - 1] = 0
        return "0"

    return {
        "RAW#:ERRORS?": _numbered(INPUTS, lambda n: str(unit.recorder.raw_errors[n - 1])),
        "RAW#:ERRORS:CLEAR": _numbered(INPUTS, clear),
        "HISTogram#:FLUSh": _numbered(INPUTS, lambda n: unit.recorder.flush(n)),
        "HISTogram#:DATA?": _numbered(INPUTS, lambda n: unit.recorder.histogram_text(n)),
        "HISTogram#:STATe?": _numbered(
            INPUTS, lambda n: state_texts.histogram_state(unit.settings, n, firmware)
        ),
    }


def _generators(unit: TimeController) -> dict[str, Handler]:
    return {
        "GENerator#:PLAY": _numbered(GENERATORS, lambda n: unit.generators[n].play()),
        "GENerator#:STOP": _numbered(GENERATORS, lambda n: unit.generators[n].stop()),
        "GENerator#:TRIGger:ARM": _numbered(GENERATORS, lambda n: unit.generators[n].arm()),
    }


def _recorder(unit: TimeController) -> dict[str, Handler]:
    def duration(suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        """One record of this length: the pulse of the recorder, with the shortest pause."""
        if not arguments:
            raise ScpiError(_MISSING)
        length = BLOCKS["RECord:PWIDth"].parse(_text(arguments))
        unit.change("REC", 1, "PWID", length)
        unit.change("REC", 1, "PPER", f"{int(length.removesuffix('TB')) + 40_000}TB")
        return length

    return {
        "RECord:PLAY": _plain(lambda: unit.recorder.play()),
        "RECord:STOP": _plain(lambda: unit.recorder.stop()),
        "RECord:STAGe?": _plain(lambda: unit.recorder.stage),
        "RECord:DURation": duration,
    }
