"""The file system of the AWG5014: its memory holds few files, and restores setups by name alone."""

from qhal_simulators.instruments.tektronix.command_arguments import argument, quoted
from qhal_simulators.instruments.tektronix.waveform_generator import WaveformGenerator
from qhal_simulators.scpi_commands import Handler, ScpiError, block, text

MAX_FILES, DISK_BYTES = 1000, 100_000_000
"""Capacity of this simulator; the unit has a whole disk."""


def file_commands(awg: WaveformGenerator) -> dict[str, Handler]:
    """Return mass memory and setups."""

    def change(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        awg.directory = text(argument(arguments))

    def catalog(suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        used = sum(map(len, awg.files.values()))
        entries = [
            quoted(f"{name},{'DIR' if not data else ''},{len(data)}") for name, data in awg.files.items()
        ]
        return ",".join([str(used), "100000000000", *entries])

    def store(name: str, content: bytes) -> None:
        others = {other: data for other, data in awg.files.items() if other != name}
        if len(others) >= MAX_FILES or sum(map(len, others.values())) + len(content) > DISK_BYTES:
            raise ScpiError(-225)
        awg.files[name] = content

    def write(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        store(text(argument(arguments)), block(argument(arguments, 1)))

    def make(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        store(text(argument(arguments)), b"")

    def delete(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        if awg.files.pop(text(argument(arguments)), None) is None:
            raise ScpiError(-256)

    def restore(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        name = text(argument(arguments))
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
