"""Run control, outputs and assigned waveforms of the AWG5014."""

from qhal_simulators.instruments.tektronix.awg_settings import CHANNELS
from qhal_simulators.instruments.tektronix.command_arguments import argument, channel, nr3, quoted
from qhal_simulators.instruments.tektronix.waveform_generator import WaveformGenerator
from qhal_simulators.scpi_commands import Handler, ScpiError, boolean, text


def run_commands(awg: WaveformGenerator) -> dict[str, Handler]:
    """Return run control, outputs and the assignment of waveforms to channels."""

    def assign(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        n, name = channel(suffixes), text(argument(arguments))
        if name:
            awg.waveforms.find(name)
            awg.assigned[n] = name
        else:
            awg.assigned.pop(n, None)
            awg.outputs[n - 1] = False
        awg.show()

    def output(suffixes: tuple[int, ...], arguments: list[bytes]) -> None:
        n, on = channel(suffixes), boolean(argument(arguments))
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
