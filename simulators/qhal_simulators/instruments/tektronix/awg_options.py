"""Options of a simulated AWG5014."""

from typing import Literal

from pydantic import Field

from qhal_simulators.instrument import Options


class Awg5014Options(Options):
    """Options of a simulated AWG5014: properties that its documents leave open.

    ``delete_unknown_is_error``: whether deleting an unknown waveform puts an error into the queue.
    ``pending_error``: an error that another client left in the queue. ``reply_end``: LF, or CR LF.
    """

    model: Literal["AWG5014", "AWG5014B", "AWG5014C"] = "AWG5014C"
    serial_number: str = Field(default="B010101", pattern=r"^[A-Z0-9]+$")
    firmware: str = "SCPI:99.0 FW:4.6.0.7"
    option_codes: str = "0"
    delete_unknown_is_error: bool = True
    pending_error: bool = False
    reply_end: Literal["lf", "crlf"] = "lf"
