"""Addresses: where a device is.

=================================================  ==============================================
``serial:///dev/ttyUSB0?baudrate=9600``             serial line or pty
``tcp://10.0.0.5:5025``                             raw TCP socket
``zmq+tcp://10.0.0.5:5555``                         ZeroMQ
``visa:TCPIP::10.0.0.5::5025::SOCKET?backend=@py``  any VISA resource; a bare resource name will do
``record+<address>?trace=FILE``                     any of these, writing a trace of the exchange
``replay:FILE``                                     no device: the recorded exchange
=================================================  ==============================================

A host is a name of letters, digits, ``-``, ``_`` and dots, an IPv4 address, or an IPv6 address in brackets.
"""

import ipaddress
import re
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from qhal.errors import ConfigurationError
from qhal.transport.schemes import is_scheme, scheme_names

_VISA_RESOURCE = re.compile(r"(TCPIP|GPIB|USB|VXI|PXI)\d*::|ASRL.+::INSTR", re.IGNORECASE)
_FLAGS = {"0": False, "1": True, "false": False, "true": True}
_LONGEST_HOST = 253
_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)


class Address:
    """An address taken apart: ``scheme``, ``path`` (what follows it) and options, which the transport takes one by one.

    ``trace``: the file to which the exchange is recorded (``record+``), or None.
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise ConfigurationError(f"address {text!r}: a text is needed, with a scheme of {scheme_names()}")
        if not text.isprintable():
            raise ConfigurationError(f"address {text!r}: only printable characters are allowed")
        recorded = text.startswith("record+")
        body = text.removeprefix("record+")
        if _VISA_RESOURCE.match(body):
            body = f"visa:{body}"
        self._text = text = f"record+{body}" if recorded else body
        scheme, separator, rest = body.partition(":")
        if not separator or not rest:
            raise ConfigurationError(f"address {text!r}: no scheme; allowed are {scheme_names()}")
        self.scheme = scheme.lower()
        if not is_scheme(self.scheme):
            raise ConfigurationError(
                f"address {text!r}: unknown scheme {scheme!r}; allowed are {scheme_names()}"
            )
        self.path, _, query = rest.partition("?")
        if not query and "&" in self.path:  # record+visa:RESOURCE&trace=FILE
            self.path, _, query = self.path.partition("&")
        self._options = self._taken_apart(query)
        self.trace = self._options.pop("trace", None) if recorded else None
        if recorded and not self.trace:
            raise ConfigurationError(f"address {text!r}: recording needs ?trace=FILE")

    def file(self) -> str:
        """Return the absolute path of ``scheme:///path``."""
        path = self.path.removeprefix("//")
        if not path.startswith("/"):
            raise ConfigurationError(
                f"address {self._text!r}: a {self.scheme} address is {self.scheme}:///dev/NAME"
            )
        return path

    def endpoint(self) -> tuple[str, int]:
        """Return host and TCP port of ``scheme://host:port``."""
        form = f"a {self.scheme} address is {self.scheme}://host:port"
        try:
            parts = urlsplit(f"{self.scheme}:{self.path}")
            host, tcp_port = parts.hostname or "", parts.port
        except ValueError as error:
            raise ConfigurationError(f"address {self._text!r}: {error}; {form}, port 1 to 65535") from error
        if not host or tcp_port is None or parts.path not in ("", "/") or parts.fragment:
            raise ConfigurationError(f"address {self._text!r}: {form}")
        if tcp_port == 0:
            raise ConfigurationError(f"address {self._text!r}: port 0; allowed are 1 to 65535")
        if "@" in parts.netloc or not _is_host(host):
            raise ConfigurationError(
                f"address {self._text!r}: {parts.netloc.rpartition(':')[0]!r} is not a host; allowed are names of"
                " 1 to 63 letters, digits, - or _ between dots, IPv4 addresses, and IPv6 addresses in brackets"
            )
        return host, tcp_port

    def _taken_apart(self, query: str) -> dict[str, str]:
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        except ValueError as error:
            raise ConfigurationError(
                f"address {self._text!r}: options are name=value, joined by &"
            ) from error
        options = dict(pairs)
        if len(options) < len(pairs):
            raise ConfigurationError(f"address {self._text!r}: an option is given twice")
        for name, value in pairs:
            if not (name + value).isprintable():
                raise ConfigurationError(f"address {self._text!r}: only printable characters are allowed")
        return options

    def __str__(self) -> str:
        return self._text

    def take(self, name: str) -> str | None:
        """Return an option's text and mark it as used; None when it is not given."""
        return self._options.pop(name, None)

    def take_word(self, name: str, *allowed: str) -> str | None:
        """Return an option that is one of the allowed words; None when it is not given."""
        text = self.take(name)
        if text is not None and text not in allowed:
            raise ConfigurationError(
                f"address {self._text!r}: {name}={text}, allowed are {', '.join(allowed)}"
            )
        return text

    def take_flag(self, name: str, *, default: bool = False) -> bool:
        """Return an option given as 0 or 1, or as false or true."""
        text = self.take_word(name, *_FLAGS)
        return default if text is None else _FLAGS[text]

    def take_int(self, name: str, default: int, *, low: int, high: int) -> int:
        """Return an option given as a whole number within limits; the default need not be."""
        text = self.take(name)
        if text is None:
            return default
        if re.fullmatch("[0-9]{1,9}", text) is None or not low <= int(text) <= high:
            raise ConfigurationError(
                f"address {self._text!r}: {name}={text}, a whole number from {low} to {high} is needed"
            )
        return int(text)

    def refuse_other_options(self) -> Self:
        """Raise ConfigurationError for options that are left."""
        if self._options:
            raise ConfigurationError(f"address {self._text!r}: unknown option {', '.join(self._options)}")
        return self


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return len(text) <= _LONGEST_HOST and _HOST.fullmatch(text) is not None
    return True
