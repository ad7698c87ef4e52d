"""SCPI of a Time Controller: one ZeroMQ message each way, and a reply to commands, too."""

from qhal.devices.scpi import Scpi
from qhal.errors import DeviceError
from qhal.transport.connection import Connection
from qhal.transport.frames import message


class Controller(Scpi):
    """The SCPI dialect of the instrument."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, end=b"", frame=message)

    def set_up(self, command: str) -> None:
        """Send a command and read its reply, whose text is not established."""
        self.ask(command)

    def _text(self, reply: bytes) -> str:
        text = super()._text(reply)
        if "SCPI_ERR" in text or text.startswith("No "):
            raise DeviceError(text[:200])
        return text
