"""The DataLinkTargetService: takes requests as shell-like texts, pushes or saves what the instrument sends."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.instrument import PairEndpoint
from qhal_simulators.instruments.idquantique.id900_options import Id900Options
from qhal_simulators.request_numbers import whole
from qhal_simulators.simulated_time import SimulationClock

_FIRST_PORT = 5556
_KNOWN = {
    "list": (),
    "start-save": ("address", "channel", "filename", "format", "with-ref-index", "id"),
    "start-stream": ("address", "channel", "stream-port", "with-ref-index", "id"),
    "status": ("id",),
    "stop": ("id",),
}
_FLAGS = ("with-ref-index",)
_MOST_ACQUISITIONS, _LONGEST_ID = 64, 255
_LONGEST_REQUEST = 4096


@dataclass(slots=True)
class _Acquisition:
    channel: int
    with_ref_index: bool
    stream: PairEndpoint | None = None
    file: Path | None = None
    ascii: bool = False
    messages: int = 0
    timestamps: int = 0
    last_s: float = 0.0
    errors: list[dict[str, str]] = field(default_factory=list)


class _Refused(Exception):
    pass


class DataLinkService:
    """Acquisitions by id, ``<instrument's address>:<5555 + channel>`` unless the client names them."""

    def __init__(
        self, options: Id900Options, clock: SimulationClock, bind_pair: Callable[[int], PairEndpoint]
    ) -> None:
        self._options, self._clock, self._bind_pair = options, clock, bind_pair
        self._acquisitions: dict[str, _Acquisition] = {}

    def answer(self, request: str) -> str:
        """Return the JSON reply to one request."""
        try:
            command, options = _parsed(request)
            handler = getattr(self, f"_{command.replace('-', '_')}")
            return json.dumps(handler(options))
        except _Refused as error:
            return json.dumps({"error": {"description": str(error)}})

    def push(self, channel: int, times: NDArray[np.int64], indices: NDArray[np.int64]) -> None:
        """Deliver one sub-record of a channel."""
        for acquisition in self._acquisitions.values():
            if acquisition.channel != channel:
                continue
            acquisition.messages += 1
            acquisition.timestamps += len(times)
            acquisition.last_s = self._clock.now_s()
            content = np.column_stack((times, indices)) if acquisition.with_ref_index else times
            if acquisition.file is not None:
                try:
                    _append(acquisition.file, content, ascii_text=acquisition.ascii)
                except OSError as error:
                    acquisition.errors = [{"description": f"{acquisition.file}: {error.strerror}"}]
            if acquisition.stream is not None and (len(times) or self._options.empty_frame):
                acquisition.stream.send(content.astype("<u8").tobytes())

    def end(self) -> None:
        """Tell all streams that the record is over."""
        for acquisition in self._acquisitions.values():
            self._end_stream(acquisition)

    def forget(self) -> None:
        """Drop all acquisitions."""
        for acquisition in self._acquisitions.values():
            if acquisition.stream is not None:
                acquisition.stream.close()
        self._acquisitions.clear()

    def _end_stream(self, acquisition: _Acquisition) -> None:
        if acquisition.stream is not None and self._options.end_frame:
            acquisition.stream.send(b"")

    def _list(self, options: dict[str, str]) -> list[str]:
        return list(self._acquisitions)

    def _start_save(self, options: dict[str, str]) -> dict[str, str]:
        if self._options.save_to is None:
            raise _Refused("no output directory")
        style = options.get("format", "bin")
        if style not in ("bin", "ascii"):
            raise _Refused(f"unknown format '{style}'")
        self._check(options)
        path = _inside(Path(self._options.save_to), _needed(options, "filename"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        except OSError as error:
            raise _Refused(f"{path}: {error.strerror}") from error
        return self._start(options, file=path, ascii=style == "ascii")

    def _start_stream(self, options: dict[str, str]) -> dict[str, str]:
        port = _needed(options, "stream-port")
        try:
            number = whole(port, 1, 65_535)
        except ValueError as error:
            raise _Refused(f"the argument ('{port[:80]}') for option '--stream-port' is invalid") from error
        self._check(options)
        try:
            stream = self._bind_pair(number)
        except OSError as error:
            raise _Refused(str(error)) from error
        return self._start(options, stream=stream)

    def _check(self, options: dict[str, str]) -> tuple[str, int]:
        """Return id and channel of a new acquisition."""
        address, channel = _needed(options, "address"), _needed(options, "channel")
        if channel not in ("1", "2", "3", "4"):
            raise _Refused(f"the argument ('{channel[:80]}') for option '--channel' is invalid")
        name = options.get("id", f"{address}:{_FIRST_PORT - 1 + int(channel)}")
        if name in self._acquisitions:
            raise _Refused(f"acquisition '{name[:80]}' is already running")
        if len(self._acquisitions) >= _MOST_ACQUISITIONS or len(name) > _LONGEST_ID:
            raise _Refused(f"more than {_MOST_ACQUISITIONS} acquisitions, or a name of too many letters")
        return name, int(channel)

    def _start(self, options: dict[str, str], **target: Any) -> dict[str, str]:
        name, channel = self._check(options)
        self._acquisitions[name] = _Acquisition(
            channel, "with-ref-index" in options, last_s=self._clock.now_s(), **target
        )
        return {"id": name}

    def _status(self, options: dict[str, str]) -> dict[str, Any]:
        return self._described(self._found(options))

    def _stop(self, options: dict[str, str]) -> dict[str, Any]:
        acquisition = self._found(options)
        del self._acquisitions[options["id"]]
        if acquisition.stream is not None:
            self._end_stream(acquisition)
            acquisition.stream.close()
        return {"status": self._described(acquisition)}

    def _found(self, options: dict[str, str]) -> _Acquisition:
        name = _needed(options, "id")
        if name not in self._acquisitions:
            raise _Refused(f"no acquisition '{name[:80]}'")
        return self._acquisitions[name]

    def _described(self, acquisition: _Acquisition) -> dict[str, Any]:
        return {
            "acquisitions_count": acquisition.messages,
            "errors": acquisition.errors,
            "inactivity": round(self._clock.now_s() - acquisition.last_s, 3),
            "timestamps_count": acquisition.timestamps,
        }


def _parsed(request: str) -> tuple[str, dict[str, str]]:
    if len(request) > _LONGEST_REQUEST:
        raise _Refused("the request is too long")
    try:
        words = shlex.split(request)
    except ValueError as error:
        raise _Refused(str(error)) from error
    if not words or words[0] not in _KNOWN:
        raise _Refused(f"unrecognised command '{words[0][:80] if words else ''}'")
    command, options = words[0], {}
    rest = iter(words[1:])
    for word in rest:
        name = word.removeprefix("--")
        if not word.startswith("--") or name not in _KNOWN[command]:
            raise _Refused(f"unrecognised option '{word[:80]}'")
        options[name] = "" if name in _FLAGS else next(rest, "")
    return command, options


def _needed(options: dict[str, str], name: str) -> str:
    if not options.get(name):
        raise _Refused(f"the option '--{name}' is required but missing")
    return options[name]


def _inside(folder: Path, name: str) -> Path:
    """Return the path that a file name means; it must lie inside the folder of the service."""
    path = folder.joinpath(name) if "\0" not in name else folder
    if path.resolve() == folder.resolve() or not path.resolve().is_relative_to(folder.resolve()):
        raise _Refused(f"'{name[:80]}' is not a file inside {folder}")
    return path


def _append(path: Path, content: NDArray[np.int64], *, ascii_text: bool) -> None:
    with path.open("ab") as file:
        if ascii_text:
            rows = content.reshape(len(content), -1)
            file.writelines(";".join(map(str, row)).encode() + b"\n" for row in rows.tolist())
        else:
            file.write(content.astype("<u8").tobytes())
