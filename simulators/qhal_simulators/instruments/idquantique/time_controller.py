"""A Time Controller from power-up to power-down: its settings, and the parts that work by them."""

from collections.abc import Callable

from qhal_simulators.instrument import PairEndpoint
from qhal_simulators.instruments.idquantique.block_signals import History, Wiring
from qhal_simulators.instruments.idquantique.blocks import GENERATORS, INPUTS
from qhal_simulators.instruments.idquantique.datalink_service import DataLinkService
from qhal_simulators.instruments.idquantique.event_counters import EventCounters
from qhal_simulators.instruments.idquantique.generators import Generator
from qhal_simulators.instruments.idquantique.id900_options import Id900Options
from qhal_simulators.instruments.idquantique.input_counters import InputCounter, Watched
from qhal_simulators.instruments.idquantique.presets import keep_inputs, preset
from qhal_simulators.instruments.idquantique.record_progress import RecordProgress
from qhal_simulators.instruments.idquantique.recorder import Recorder
from qhal_simulators.instruments.idquantique.tag_readers import TagReaders
from qhal_simulators.instruments.idquantique.unit_clock import UnitClock
from qhal_simulators.instruments.idquantique.unit_settings import UnitSettings
from qhal_simulators.physics.ports import Port, TaggerSettings
from qhal_simulators.physics.readings import TaggerReadings
from qhal_simulators.simulated_time import SimulationClock

_BIN_PS = {
    ("ID900", "LOWRES"): 100,
    ("ID900", "HIRES"): 13,
    ("ID1000", "LOWRES"): 100,
    ("ID1000", "HIRES"): 1,
}


class TimeController:
    """Settings of the wiring INIT, all inputs off; counters, generators, the recorder, and the service beside it."""

    def __init__(
        self,
        options: Id900Options,
        world: SimulationClock,
        port: Port[TaggerSettings],
        readings: TaggerReadings,
        bind_pair: Callable[[int], PairEndpoint],
    ) -> None:
        self.options = options
        self.settings = settings = UnitSettings(preset("INIT", options.gate))
        self._port = port
        clock = UnitClock(world, port, readings)
        readers = TagReaders(readings)
        self.generators: dict[int, Generator] = {}
        for n in range(1, GENERATORS + 1):
            self.generators[n] = Generator(n, settings, clock, self.generators)
        record = RecordProgress()
        wiring = Wiring(
            settings=settings,
            port=port,
            generators=self.generators,
            record=record,
            start_period_ps=options.start_period_ps,
        )

        def new_history() -> History:
            return History(wiring, readers)

        self.datalink = DataLinkService(options, world, bind_pair)
        self.recorder = Recorder(
            settings, options, clock, (port, readings), record, new_history, self.datalink
        )
        self.event_counters = EventCounters(settings, clock, new_history)
        self.watched = Watched(settings, world, readings)
        self.input_counters = [
            InputCounter(n, settings, world, readings, self.watched) for n in range(1, INPUTS + 1)
        ]
        self.apply()

    def power_off(self) -> None:
        """End everything that runs."""
        self.recorder.stop()
        self.event_counters.forget()
        self.watched.forget()
        for counter in self.input_counters:
            counter.forget()
        self.datalink.forget()

    def change(self, block: str, number: int, key: str, value: str) -> None:
        """Set one value, with its consequences."""
        self.settings.values[block, number, key] = value
        self.apply()
        if block == "TSGE":
            self.recorder.gate(on=value == "ON")
        if key.startswith("COUN:"):
            self._restart_counter(block, number)

    def load(self, name: str) -> None:
        """Take a built-in wiring."""
        self.recorder.stop()
        self.event_counters.forget()
        for generator in self.generators.values():
            generator.stop()
        wiring = preset(name, self.options.gate)
        keeps = self.options.load_keeps_inputs and name in ("HISTO", "COUNT")
        self.settings.values = keep_inputs(wiring, self.settings.values) if keeps else wiring
        self.apply()

    def count(self, block: str, number: int) -> str:
        """Return the value of a counter."""
        if block == "INPU" and self.settings.is_plain_input(number):
            return str(self.input_counters[number - 1].value)
        return str(self.event_counters.value(block, number))

    def reset_counter(self, block: str, number: int) -> str:
        """Set a counter to 0."""
        if block == "INPU" and self.settings.is_plain_input(number):
            return self.input_counters[number - 1].reset()
        return self.event_counters.reset(block, number)

    def apply(self) -> None:
        """Apply the settings of the inputs."""
        settings, inputs = self.settings, range(1, INPUTS + 1)
        self._port.apply(
            TaggerSettings(
                enabled=tuple(
                    settings.is_on("INPU", n, "ENAB") and settings.is_plain_input(n) for n in inputs
                ),
                threshold_v=tuple(settings.threshold_v(n) for n in inputs),
                delay_ps=tuple(settings.own_delay_ps(n) for n in inputs),
                resolution_ps=self.bin_ps,
            )
        )

    @property
    def bin_ps(self) -> int:
        """The bin width of the resolution mode."""
        return _BIN_PS[self.options.model, self.settings.value("DEVI", 1, "RES")]

    def _restart_counter(self, block: str, number: int) -> None:
        if block == "INPU" and self.settings.is_plain_input(number):
            self.input_counters[number - 1].restart()
        else:
            self.event_counters.reset(block, number)
