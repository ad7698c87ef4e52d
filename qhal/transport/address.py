"""Addresses: where a device is.

=================================================  ==============================================
``serial:///dev/ttyUSB0?baudrate=9600``             serial line or pty
``tcp://10.0.0.5:5025``                             raw TCP socket
``zmq+tcp://10.0.0.5:5555``                         ZeroMQ
``visa:TCPIP::10.0.0.5::5025::SOCKET?backend=@py``  any VISA resource; a bare resource name will do
``record+<address>&trace=FILE``                     any of these, writing a trace of the exchange
``replay:FILE``                                     no device: the recorded exchange
=================================================  ==============================================
"""

import re
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from qhal.errors import ConfigurationError

_VISA_RESOURCE = re.compile(r"(TCPIP|ASRL|GPIB|USB|VXI|PXI)\d*.*::(INSTR|SOCKET|RAW)$", re.IGNORECASE)
_FLAGS = {"0": False, "1": True, "false": False, "true": True}
_SCHEMES = "serial, tcp, zmq+tcp, visa, replay"


class Address:
    """An address taken apart: ``scheme``, ``host``, ``port``, ``path`` and options to be taken one by one."""

    def __init__(self, text: str) -> None:
        if _VISA_RESOURCE.match(text):
            text = f"visa:{text}"
        self._text = text
        self.record = text.startswith("record+")
        body = text.removeprefix("record+")
        scheme, separator, rest = body.partition(":")
        if not separator or not rest:
            raise ConfigurationError(f"address {text!r}: no scheme; allowed are {_SCHEMES}")
        self.scheme = scheme.lower()
        self.host = ""
        self.port: int | None = None
        if self.scheme in ("visa", "replay"):
            self.path, _, query = rest.partition("?")
            if not query and "&" in self.path:  # record+visa:RESOURCE&trace=FILE
                self.path, _, query = self.path.partition("&")
        elif self.scheme in ("serial", "tcp", "zmq+tcp"):
            query = self._split_url(body)
        else:
            raise ConfigurationError(f"address {text!r}: unknown scheme {scheme!r}; allowed are {_SCHEMES}")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        except ValueError as error:
            raise ConfigurationError(f"address {text!r}: options are name=value, joined by &") from error
        self._options = dict(pairs)
        self.trace = self._options.pop("trace", None) if self.record else None
        if self.record and not self.trace:
            raise ConfigurationError(f"address {text!r}: recording needs &trace=FILE")

    def _split_url(self, body: str) -> str:
        body, _, trace = body.partition("&trace=")
        try:
            parts = urlsplit(body)
            self.host, self.port = parts.hostname or "", parts.port
        except ValueError as error:
            raise ConfigurationError(f"address {self._text!r}: {error}") from error
        self.path = parts.path
        return "&".join(filter(None, [parts.query, trace and f"trace={trace}"]))

    def __str__(self) -> str:
        return self._text

    def take(self, name: str) -> str | None:
        """Return an option's text and mark it as used; None when it is not given."""
        return self._options.pop(name, None)

    def take_flag(self, name: str, *, default: bool = False) -> bool:
        """Return an option given as 0 or 1, or as false or true."""
        text = self.take(name)
        if text is None:
            return default
        if text not in _FLAGS:
            raise ConfigurationError(
                f"address {self._text!r}: {name}={text}, allowed are {', '.join(_FLAGS)}"
            )
        return _FLAGS[text]

    def take_int(self, name: str, default: int) -> int:
        """Return an option given as a whole number."""
        text = self.take(name)
        if text is None:
            return default
        if re.fullmatch("[0-9]{1,9}", text) is None:
            raise ConfigurationError(f"address {self._text!r}: {name}={text}, a whole number is needed")
        return int(text)

    def refuse_other_options(self) -> Self:
        """Raise ConfigurationError for options that nobody took."""
        if self._options:
            raise ConfigurationError(f"address {self._text!r}: unknown option {', '.join(self._options)}")
        return self
