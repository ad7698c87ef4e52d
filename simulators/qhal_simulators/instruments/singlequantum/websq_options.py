"""Options of a simulated WebSQ unit."""

from typing import Literal

from pydantic import Field

from qhal_simulators.instrument import Options


class WebSqOptions(Options):
    """Options of a simulated WebSQ unit: properties that its documents leave open.

    ``voltage_unit``: unit of the label BiasVoltage and of an IV scan. ``broadcast``: label changes go to all clients,
    or only to the one that asked. ``glued``: several objects come in one chunk. ``unix_start_s``: wall clock of the
    unit at world time 0. ``dark_rate_hz``: standing alone, counts of a detector biased far below its switching current.
    ``search_counts``: whether the automatic bias search is asked for dark counts in a measurement period or a second.
    ``new_period``: setting the measurement period begins one at once, or the one that runs ends first; then the unit
    counts without a pause, whether a client listens or not. ``shown_after_s``: until the labels show a set-up.
    ``label_order``: where the bias voltages stand in a reply to a request for all labels.
    """

    detectors: int = Field(default=4, ge=1, le=4)
    voltage_unit: Literal["mV", "V"] = "mV"
    broadcast: bool = True
    glued: bool = False
    unix_start_s: float = 1_700_000_000.0
    dark_rate_hz: float = Field(default=100.0, ge=0, le=1e5)
    search_counts: Literal["period", "second"] = "period"
    label_order: Literal["voltages last", "voltages first"] = "voltages last"
    new_period: Literal["at once", "next"] = "at once"
    shown_after_s: float = Field(default=0.0, ge=0)
