"""The command table of the AWG5014: stored settings, waveforms, run control, sequences, files, status."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qhal_simulators.instruments.tektronix.awg_settings import CHANNELS, MARKERS, SETTINGS, Setting
from qhal_simulators.instruments.tektronix.waveform_list import MAX_POINTS
from qhal_simulators.scpi_commands import (
    TEXTS,
    Handler,
    ScpiError,
    block,
    boolean,
    choice,
    integer,
    number,
    text,
)

if TYPE_CHECKING:
    from qhal_simulators.instruments.tektronix.awg5014 import Awg5014

_MOST_ELEMENTS = 8000
_JUMP_PATTERNS = 512
_MOST_FILES, _DISK_BYTES = 1000, 100_000_000
"""Files that this simulator keeps; the unit has a whole disk."""
_ELEMENT: dict[str, tuple[Any, Any, Any]] = {
    "LOOP:COUNt": ("integer", 1, (1, 65536)),
    "LOOP:INFinite": ("boolean", False, None),
    "TWAit": ("integer", 0, (-1, 1)),
    "GOTO:STATe": ("boolean", False, None),
    "GOTO:INDex": ("integer", 1, (1, _MOST_ELEMENTS)),
    "JTARget:TYPE": (("INDex", "NEXT", "OFF"), "OFF", None),
    "JTARget:INDex": ("integer", 1, (1, _MOST_ELEMENTS)),
}


def table(awg: Awg5014) -> dict[str, Handler]:
    """Return all commands, bound to one generator."""
    commands: dict[str, Handler] = {}
    for setting in SETTINGS:
        commands[setting.header] = partial(_store, awg, setting)
        commands[f"{setting.header}?"] = partial(_recall, awg, setting)
    commands |= _common(awg)
    commands |= _run_control(awg)
    commands |= _waveforms(awg)
    commands |= _sequences(awg)
    commands |= _files(awg)
    return commands


def nr3(value: float) -> str:
    """Return a number as the instrument prints it: 8 decimals, three-digit exponent."""
    mantissa, _, exponent = f"{value:.8E}".partition("E")
    return f"{mantissa}E{int(exponent):+04d}"


def shown(value: Any) -> str:
    """Return a value as a reply."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return nr3(value)
    return str(value)


def quoted(value: str) -> str:
    """Return a text in quotes."""
    return f'"{value}"'


def _argument(arguments: list[bytes], place: int = 0) -> bytes:
    if len(arguments) <= place:
        raise ScpiError(-109)
    return arguments[place]


def _value(kind: str | tuple[str, ...], argument: bytes, low: float, high: float) -> Any:
    if kind == "boolean":
        return boolean(argument)
    if kind == "text":
        return text(argument)
    if isinstance(kind, tuple):
        word = choice(argument, kind)
        return {"ENH": "SEQ", "ASYNC": "ASYN"}.get(word, word)
    value = number(argument, low, high)
    return round(value) if kind == "integer" else value


def _key(setting: Setting, suffixes: tuple[int, ...]) -> str:
    numbers = suffixes if "{n}" in setting.key else ()
    limits = (CHANNELS, MARKERS)
    if any(not 1 <= n <= limit for n, limit in zip(numbers, limits, strict=False)):
        raise ScpiError(-113)
    n, m = (*suffixes, 1, 1)[:2]
    return setting.key.format(n=n, m=m)


def _store(awg: Awg5014, setting: Setting, suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
    key = _key(setting, suffixes)
    awg.values[key] = _value(setting.kind, _argument(arguments), setting.low, setting.high)
    if key == "run_mode" and awg.state:
        awg.run()
    elif key.startswith(("amplitude", "offset", "frequency")):
        awg.show()


def _recall(awg: Awg5014, setting: Setting, suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
    value = awg.values[_key(setting, suffixes)]
    return quoted(value) if setting.kind == "text" else shown(value)


def _common(awg: Awg5014) -> dict[str, Handler]:
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
        enables[register] = integer(_argument(arguments), 0, 255)

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


def _run_control(awg: Awg5014) -> dict[str, Handler]:
    def channel(suffixes: tuple[int, ...]) -> int:
        if not 1 <= suffixes[0] <= CHANNELS:
            raise ScpiError(-113)
        return suffixes[0]

    def assign(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        n, name = channel(suffixes), text(_argument(arguments))
        if name:
            awg.waveforms.find(name)
            awg.assigned[n] = name
        else:
            awg.assigned.pop(n, None)
            awg.outputs[n - 1] = False
        awg.show()

    def output(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        n, on = channel(suffixes), boolean(_argument(arguments))
        if on and n not in awg.assigned:
            raise ScpiError(-221)
        awg.outputs[n - 1] = on
        awg.show()

    def rate(suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        points = [len(awg.waveforms.find(name).values) for name in awg.assigned.values()]
        return nr3(awg.values["frequency"] / points[0] if points else 0.0)

    return {
        "AWGControl:RUN[:IMMediate]": lambda s, a: awg.run(),
        "AWGControl:STOP[:IMMediate]": lambda s, a: awg.stop(),
        "AWGControl:RSTate?": lambda s, a: str(awg.state),
        "AWGControl:RST?": lambda s, a: str(awg.state),
        "AWGControl:RRATe?": rate,
        "AWGControl:CONFigure:CNUMber?": lambda s, a: str(CHANNELS),
        "TRIGger[:SEQuence][:IMMediate]": lambda s, a: None,
        "EVENt[:IMMediate]": lambda s, a: None,
        "[SOURce#]:WAVeform": assign,
        "[SOURce#]:WAVeform?": lambda s, a: quoted(awg.assigned.get(channel(s), "")),
        "[SOURce#]:FUNCtion:USER": lambda s, a: awg.assigned.pop(channel(s), None) and None,
        "[SOURce#]:FUNCtion:USER?": lambda s, a: '"",""',
        "OUTPut#[:STATe]": output,
        "OUTPut#[:STATe]?": lambda s, a: str(int(awg.outputs[channel(s) - 1])),
    }


def _waveforms(awg: Awg5014) -> dict[str, Handler]:
    def find(arguments: list[bytes]) -> Any:
        return awg.waveforms.find(text(_argument(arguments)))

    def name(suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        names = list(awg.waveforms.entries)
        return quoted(names[integer(_argument(arguments), 0, len(names) - 1)])

    def new(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        points, kind = (
            integer(_argument(arguments, 1), 1, MAX_POINTS),
            choice(_argument(arguments, 2), ("INTeger", "REAL")),
        )
        awg.waveforms.new(text(arguments[0]), points, kind)

    def delete(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        argument = _argument(arguments)
        if argument.upper() == b"ALL":
            awg.waveforms.delete_all()
        elif text(argument) in awg.waveforms.entries:
            awg.waveforms.delete(text(argument))
        elif awg.options.delete_unknown_is_error:
            raise ScpiError(-224)
        lost = [n for n, used in awg.assigned.items() if used not in awg.waveforms.entries]
        for n in lost:
            del awg.assigned[n]
            awg.outputs[n - 1] = False
        if lost:
            awg.stop()

    def place(arguments: list[bytes]) -> tuple[int, int | None]:
        start = integer(arguments[1], 0, MAX_POINTS) if len(arguments) > 1 else 0
        return start, integer(arguments[2], 0, MAX_POINTS) if len(arguments) > 2 else None

    def write(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        *where, data = arguments if len(arguments) > 1 else (_argument(arguments, 1),)
        start, size = place(where)
        content = block(data)
        find(where).write(start, size, content)
        if text(where[0]) in awg.assigned.values():
            awg.show()

    def read(suffixes: tuple[int, ...], arguments: list[bytes]) -> bytes:
        return _as_block(find(arguments).read(*place(arguments)))

    def write_markers(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        *where, data = arguments if len(arguments) > 1 else (_argument(arguments, 1),)
        start, _ = place(where)
        content, wave = block(data), find(where)
        if start + len(content) > len(wave.markers):
            raise ScpiError(-223)
        wave.markers[start : start + len(content)] = [byte & 0xC0 for byte in content]

    def read_markers(suffixes: tuple[int, ...], arguments: list[bytes]) -> bytes:
        start, size = place(arguments)
        markers = find(arguments).markers[start : None if size is None else start + size]
        return _as_block(markers.tobytes())

    return {
        "WLISt:SIZE?": lambda s, a: str(len(awg.waveforms.entries)),
        "WLISt:NAME?": name,
        "WLISt:WAVeform:NEW": new,
        "WLISt:WAVeform:DELete": delete,
        "WLISt:WAVeform:DATA": write,
        "WLISt:WAVeform:DATA?": read,
        "WLISt:WAVeform:MARKer:DATA": write_markers,
        "WLISt:WAVeform:MARKer:DATA?": read_markers,
        "WLISt:WAVeform:LENGth?": lambda s, a: str(len(find(a).values)),
        "WLISt:WAVeform:TYPE?": lambda s, a: str(find(a).kind),
        "WLISt:WAVeform:TSTamp?": lambda s, a: quoted(awg.timestamp()) if find(a) else "",
        "WLISt:WAVeform:PREDefined?": lambda s, a: str(int(find(a).predefined)),
    }


def _sequences(awg: Awg5014) -> dict[str, Handler]:
    def element(suffixes: tuple[int, ...]) -> dict[str, object]:
        if not 1 <= suffixes[0] <= len(awg.sequence):
            raise ScpiError(-222)
        return awg.sequence[suffixes[0] - 1]

    def length(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        wanted = integer(_argument(arguments), 0, _MOST_ELEMENTS)
        fresh = {key: default for key, (_, default, _) in _ELEMENT.items()}
        awg.sequence = awg.sequence[:wanted] + [dict(fresh) for _ in range(wanted - len(awg.sequence))]

    def store(key: str, suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        kind, _, limits = _ELEMENT[key]
        low, high = limits or (0, 0)
        element(suffixes)[key] = _value(kind, _argument(arguments), low, high)

    def waveform(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        name = text(_argument(arguments))
        if name:
            awg.waveforms.find(name)
        if not 1 <= suffixes[1] <= CHANNELS:
            raise ScpiError(-113)
        element(suffixes)[f"waveform{suffixes[1]}"] = name

    jumps: dict[int, int] = {}

    def define_jump(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        pattern = integer(_argument(arguments), 0, _JUMP_PATTERNS - 1)
        jumps[pattern] = integer(_argument(arguments, 1), 1, _MOST_ELEMENTS)

    commands: dict[str, Handler] = {
        "SEQuence:LENGth": length,
        "SEQuence:LENGth?": lambda s, a: str(len(awg.sequence)),
        "SEQuence:ELEMent#:WAVeform#": waveform,
        "SEQuence:ELEMent#:WAVeform#?": lambda s, a: quoted(str(element(s).get(f"waveform{s[1]}", ""))),
        "SEQuence:JUMP[:IMMediate]": lambda s, a: None,
        "AWGControl:SEQuencer:TYPE?": lambda s, a: "HARD",
        "AWGControl:SEQuencer:POSition?": lambda s, a: "1",
        "AWGControl:EVENt:DJUMp:DEFine": define_jump,
        "AWGControl:EVENt:DJUMp:DEFine?": lambda s, a: str(
            jumps.get(integer(_argument(a), 0, _JUMP_PATTERNS - 1), -1)
        ),
    }

    def recall(key: str, suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        return shown(element(suffixes)[key])

    for key in _ELEMENT:
        commands[f"SEQuence:ELEMent#:{key}"] = partial(store, key)
        commands[f"SEQuence:ELEMent#:{key}?"] = partial(recall, key)
    return commands


def _files(awg: Awg5014) -> dict[str, Handler]:
    def change(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        awg.directory = text(_argument(arguments))

    def catalog(suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        used = sum(map(len, awg.files.values()))
        entries = [
            quoted(f"{name},{'DIR' if not data else ''},{len(data)}") for name, data in awg.files.items()
        ]
        return ",".join([str(used), "100000000000", *entries])

    def keep(name: str, content: bytes) -> None:
        others = {other: data for other, data in awg.files.items() if other != name}
        if len(others) >= _MOST_FILES or sum(map(len, others.values())) + len(content) > _DISK_BYTES:
            raise ScpiError(-225)
        awg.files[name] = content

    def write(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        keep(text(_argument(arguments)), block(_argument(arguments, 1)))

    def make(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        keep(text(_argument(arguments)), b"")

    def delete(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        if awg.files.pop(text(_argument(arguments)), None) is None:
            raise ScpiError(-256)

    def restore(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        name = text(_argument(arguments))
        if name not in awg.files:
            raise ScpiError(-256)
        awg.setup = (name, "D:")

    return {
        "MMEMory:CDIRectory": change,
        "MMEMory:CDIRectory?": lambda s, a: quoted(awg.directory),
        "MMEMory:CATalog?": catalog,
        "MMEMory:DATA": write,
        "MMEMory:MDIRectory": make,
        "MMEMory:DELete": delete,
        "AWGControl:SREStore": restore,
        "AWGControl:SNAMe?": lambda s, a: f"{quoted(awg.setup[0])},{quoted(awg.setup[1])}",
    }


def _as_block(data: bytes) -> bytes:
    count = str(len(data)).encode()
    return b"#" + str(len(count)).encode() + count + data
