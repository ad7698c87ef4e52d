"""The waveform list of the AWG5014: entries, samples and markers."""

from qhal_simulators.instruments.tektronix.command_arguments import argument, as_block, quoted
from qhal_simulators.instruments.tektronix.waveform_generator import WaveformGenerator
from qhal_simulators.instruments.tektronix.waveform_list import MAX_POINTS, Waveform
from qhal_simulators.scpi_commands import Handler, ScpiError, block, choice, integer, text


def waveform_commands(awg: WaveformGenerator) -> dict[str, Handler]:
    """Return all commands of the waveform list."""
    return {**_entries(awg), **_samples(awg), **_markers(awg)}


def _find(awg: WaveformGenerator, arguments: list[bytes]) -> Waveform:
    return awg.waveforms.find(text(argument(arguments)))


def _entries(awg: WaveformGenerator) -> dict[str, Handler]:
    def name(suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        names = list(awg.waveforms.entries)
        return quoted(names[integer(argument(arguments), 0, len(names) - 1)])

    def new(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        points = integer(argument(arguments, 1), 1, MAX_POINTS)
        kind = choice(argument(arguments, 2), ("INTeger", "REAL"))
        awg.waveforms.new(text(arguments[0]), points, kind)

    def delete(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        which = argument(arguments)
        if which.upper() == b"ALL":
            awg.waveforms.delete_all()
        elif text(which) in awg.waveforms.entries:
            awg.waveforms.delete(text(which))
        elif awg.options.delete_unknown_is_error:
            raise ScpiError(-224)
        lost = [n for n, used in awg.assigned.items() if used not in awg.waveforms.entries]
        for n in lost:
            del awg.assigned[n]
            awg.outputs[n - 1] = False
        if lost:
            awg.stop()

    return {
        "WLISt:SIZE?": lambda s, a: str(len(awg.waveforms.entries)),
        "WLISt:NAME?": name,
        "WLISt:WAVeform:NEW": new,
        "WLISt:WAVeform:DELete": delete,
        "WLISt:WAVeform:LENGth?": lambda s, a: str(len(_find(awg, a).values)),
        "WLISt:WAVeform:TYPE?": lambda s, a: str(_find(awg, a).kind),
        "WLISt:WAVeform:TSTamp?": lambda s, a: quoted(awg.timestamp()) if _find(awg, a) else "",
        "WLISt:WAVeform:PREDefined?": lambda s, a: str(int(_find(awg, a).predefined)),
    }


def _samples(awg: WaveformGenerator) -> dict[str, Handler]:
    def write(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        where, data = _where_and_data(arguments)
        start, size = _span(where)
        content = block(data)
        _find(awg, where).write(start, size, content)
        if text(where[0]) in awg.assigned.values():
            awg.show()

    def read(suffixes: tuple[int, ...], arguments: list[bytes]) -> bytes:
        return as_block(_find(awg, arguments).read(*_span(arguments)))

    return {"WLISt:WAVeform:DATA": write, "WLISt:WAVeform:DATA?": read}


def _markers(awg: WaveformGenerator) -> dict[str, Handler]:
    def write(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        where, data = _where_and_data(arguments)
        start, _ = _span(where)
        content, waveform = block(data), _find(awg, where)
        if start + len(content) > len(waveform.markers):
            raise ScpiError(-223)
        waveform.markers[start : start + len(content)] = [byte & 0xC0 for byte in content]

    def read(suffixes: tuple[int, ...], arguments: list[bytes]) -> bytes:
        start, size = _span(arguments)
        markers = _find(awg, arguments).markers[start : None if size is None else start + size]
        return as_block(markers.tobytes())

    return {"WLISt:WAVeform:MARKer:DATA": write, "WLISt:WAVeform:MARKer:DATA?": read}


def _where_and_data(arguments: list[bytes]) -> tuple[list[bytes], bytes]:
    *where, data = arguments if len(arguments) > 1 else (argument(arguments, 1),)
    return where, data


def _span(arguments: list[bytes]) -> tuple[int, int | None]:
    """Return start and size that follow a name; None without a size."""
    start = integer(arguments[1], 0, MAX_POINTS) if len(arguments) > 1 else 0
    return start, integer(arguments[2], 0, MAX_POINTS) if len(arguments) > 2 else None
