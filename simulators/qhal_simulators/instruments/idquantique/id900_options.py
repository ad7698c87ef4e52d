"""Options of a simulated Time Controller."""

from typing import Literal

from pydantic import Field

from qhal_simulators.instrument import Options


class Id900Options(Options):
    """What the sources leave open.

    ``idn``: text of ``*IDN?``. ``set_reply``: what a set command answers. ``separator`` between the replies of one
    message; by default the line end that the vendor's examples split at, and a semicolon with the old firmware, as its
    client does. ``firmware``: the old one has TSGE8 instead of REC and INPOrt in links. ``end_frame``: a stream ends
    with a frame of length 0. ``empty_frame``: a sub-record without tags is sent as a frame of length 0, or not at all
    (it is counted in both cases). ``flush_at_stop``: a sub-record that is stopped is sent.
    ``load_keeps_inputs``: the wirings HISTO and COUNT leave the settings and delays of the inputs as they were (the
    vendor's examples load one and count at once). ``record_number_zero``: what REC:NUM 0 means (one client takes it
    for endless; the vendor writes INF). ``shortest_period_s``: least REC:PPER of several sub-records.
    ``save_to``: folder of the files of ``start-save``; names are relative to it or lead into it.
    ``pulse_rate_hz``: standing alone, random pulses on every input. ``start_period_ps``: pulses at START (None:
    nothing is connected).
    """

    model: Literal["ID900", "ID1000"] = "ID900"
    idn: str = "ID Quantique,{model},20210042,1.12.0"
    set_reply: Literal["echo", "value", "empty"] = "echo"
    separator: Literal["semicolon", "newline"] | None = None
    firmware: Literal["new", "old"] = "new"
    end_frame: bool = True
    empty_frame: bool = True
    flush_at_stop: bool = False
    load_keeps_inputs: bool = True
    record_number_zero: Literal["endless", "one"] = "endless"
    shortest_period_s: float = Field(default=1e-3, ge=1e-4)
    save_to: str | None = None
    pulse_rate_hz: float = Field(default=1000.0, ge=0, le=1e6)
    start_period_ps: int | None = Field(default=None, ge=100_000)

    @property
    def between(self) -> str:
        """What stands between the replies of one message."""
        separator = self.separator or ("semicolon" if self.firmware == "old" else "newline")
        return ";" if separator == "semicolon" else "\n"

    @property
    def gate(self) -> str:
        """The block that gates records."""
        return "TSGE8" if self.firmware == "old" else "REC"

    @property
    def identity(self) -> str:
        """The text of ``*IDN?``."""
        return self.idn.format(model=self.model)
