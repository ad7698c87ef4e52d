"""qhal's own files: Arrow IPC streams for recording, Parquet for keeping. Any Arrow reader opens them.

Columns: ``time_ps`` (int64, since the start of the epoch), ``channel`` (uint8), ``epoch`` (uint32). What rows cannot
tell (spans, gaps, empty batches) is JSON: of an Arrow record batch its metadata ``qhal.batch``, of a Parquet file the
footer's ``qhal.batches``, a list with a number of rows each. An Arrow stream is readable up to its last whole batch
but one when its writer was killed; Parquet is smaller, and has its index at the end.

Each description in a Parquet file holds ``xxh3``: the hash (XXH3, 64 bits) of the description, its rows and all batches
before them. In an Arrow stream the hash stands one later, as ``before``: it is computed while its rows are written. A
file that was changed, cut or put together from others is found out. An Arrow stream ends with an empty record batch,
``qhal.end``. The hash has no key: it proves nothing about who wrote the file.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from qhal.errors import DataError
from qhal.files import NewFile
from qhal.tags.ahead import ROWS_WORTH_A_THREAD, Ahead
from qhal.tags.batch import TagBatch

VERSION = b"3"
_SCHEMA = pa.schema(
    [
        pa.field("time_ps", pa.int64(), nullable=False),
        pa.field("channel", pa.uint8(), nullable=False),
        pa.field("epoch", pa.uint32(), nullable=False),
    ],
    metadata={b"qhal.version": VERSION},
)
_ROW_GROUP = 1 << 20
_ONE, _MANY, _END = b"qhal.batch", b"qhal.batches", b"qhal.end"
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
_OF_LIBRARY = (
    pa.ArrowException, OSError, EOFError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError,
    NotImplementedError,
)  # fmt: skip
"""What pyarrow raises for content that it does not take."""


class ArrowWriter:
    """Write an Arrow IPC stream, one record batch per batch."""

    def __init__(self, file: NewFile) -> None:
        self._writer = pa.ipc.new_stream(file, _SCHEMA)
        self._sum = _Sum()
        self._batches = self._tags = 0

    def write(self, batch: TagBatch) -> None:
        """Append a batch."""
        rows = _rows(batch)
        content = {**batch.description(), "before": self._sum.digest()}
        with self._sum.adding(rows, content):
            self._writer.write_batch(rows, custom_metadata={_ONE: json.dumps(content)})
        self._batches += 1
        self._tags += len(batch)

    def close(self) -> None:
        """End the stream."""
        end = json.dumps({"batches": self._batches, "tags": self._tags, "before": self._sum.digest()})
        self._writer.write_batch(pa.RecordBatch.from_pylist([], _SCHEMA), custom_metadata={_END: end})
        self._writer.close()
        self._sum.close()

    def abandon(self) -> None:
        """Let go of a file that is not wanted any more."""
        with suppress(*_OF_LIBRARY, DataError):  # it may have failed before
            self._writer.close()
        self._sum.close()


class ParquetWriter:
    """Write a Parquet file in row groups of about a million tags."""

    def __init__(self, file: NewFile) -> None:
        # Plain values behind a fast compressor: times compress to a third, at ten times the rate of a tagger.
        self._writer = pq.ParquetWriter(
            file,
            _SCHEMA,
            compression="zstd",
            compression_level=1,
            use_dictionary=["channel", "epoch"],
            column_encoding={"time_ps": "DELTA_BINARY_PACKED"},
        )
        self._sum = _Sum()
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._described: list[dict[str, Any]] = []

    def write(self, batch: TagBatch) -> None:
        """Append a batch."""
        rows = _rows(batch)
        self._described.append({"rows": len(batch), **self._sum.after(rows, batch.description())})
        self._rows += len(batch)
        full = self._rows >= _ROW_GROUP
        # What waits is a copy: the caller may use its arrays again.
        self._waiting.append(
            rows
            if full
            else _rows(replace(batch, times_ps=batch.times_ps.copy(), channels=batch.channels.copy()))
        )
        if full:
            self._flush()

    def close(self) -> None:
        """Write what waits, and the footer."""
        self._flush()
        self._writer.add_key_value_metadata({_MANY: json.dumps(self._described)})
        self._writer.close()

    def abandon(self) -> None:
        """Let go of a file that is not wanted any more."""
        with suppress(*_OF_LIBRARY, DataError):  # it may have failed before
            self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_batches(self._waiting, _SCHEMA), row_group_size=self._rows)
        self._waiting, self._rows = [], 0


class ArrowReader:
    """Read an Arrow IPC stream of tags.

    Raises DataError for another file, and after the last whole batch of one that is cut, altered or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = pa.OSFile(str(path))
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        try:
            self._reader = pa.ipc.open_stream(self._file)
            _check_schema(self._reader.schema, path)
        except DataError:
            self._file.close()
            raise
        except _OF_LIBRARY as error:
            self._file.close()
            raise DataError(f"{path}: no Arrow stream: {error}", 0) from error
        self._ahead = Ahead(self._read)

    def __iter__(self) -> Iterator[TagBatch]:
        found, batches, tags = _Sum(), 0, 0
        waiting: tuple[Any, Mapping[str, Any]] | None = None  # what follows a batch says whether it is good
        while (read := self._ahead.take()) is not None:
            place, rows, told = read
            try:
                content = _described(told)
                found.check_before(content)
                batch = None if waiting is None else found.batch(*waiting)
            except ValueError as error:
                raise DataError(f"{self._path}: batch {batches}: {error}", place) from error
            if batch is not None:
                batches, tags = batches + 1, tags + len(batch)
                yield batch
            if _END in told:
                self._check_end(content, {"batches": batches, "tags": tags}, place)
                return
            found.add(rows, content)
            waiting = rows, {key: value for key, value in content.items() if key != "before"}
        raise DataError(f"{self._path}: cut: the end of the stream is not there", self._file.tell())

    def close(self) -> None:
        """Close the file."""
        self._ahead.close()
        self._file.close()

    def _read(self) -> tuple[Any, int] | None:
        place = self._file.tell()
        try:
            rows, metadata = self._reader.read_next_batch_with_custom_metadata()
            rows.validate(full=True)
            return (place, rows, dict(metadata or {})), len(rows)
        except StopIteration:
            return None
        except _OF_LIBRARY as error:
            raise DataError(f"{self._path}: damaged: {error}", place) from error

    def _check_end(self, content: Mapping[str, Any], counted: Mapping[str, int], place: int) -> None:
        if {key: value for key, value in content.items() if key != "before"} != counted:
            raise DataError(f"{self._path}: {counted} came of {content}", place)
        more = self._ahead.take()
        try:
            end, size = self._file.tell(), self._file.size()
            self._file.seek(max(0, end - len(_END_OF_STREAM)))
            last = self._file.read()
        except _OF_LIBRARY as error:
            raise DataError(f"{self._path}: cannot be read: {error}", place) from error
        if more is not None or end != size or last != _END_OF_STREAM:
            raise DataError(f"{self._path}: it does not end after its last batch", place)


class ParquetReader:
    """Read a Parquet file of tags. Raises DataError for another, and for one that is altered or damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = pq.ParquetFile(path)
        except _OF_LIBRARY as error:
            raise DataError(f"{path}: no Parquet file: {error}") from error
        try:
            _check_schema(self._file.schema_arrow, path)
            self._described = self._read_footer()
        except DataError:
            self._file.close()
            raise
        except _OF_LIBRARY as error:
            self._file.close()
            raise DataError(f"{path}: damaged footer: {error}") from error
        self._groups = iter(range(self._file.num_row_groups))
        self._ahead = Ahead(self._read)

    def __iter__(self) -> Iterator[TagBatch]:
        rest, found = _SCHEMA.empty_table(), _Sum()
        for number, described in enumerate(self._described):
            count = described["rows"]
            while len(rest) < count:
                group = self._ahead.take()
                if group is None:
                    raise DataError(f"{self._path}: {len(rest)} of {count} rows of batch {number}")
                rest = pa.concat_tables([rest, group]) if len(rest) else group
            rows, rest = rest.slice(0, count), rest.slice(count)
            try:
                batch = found.checked(rows, {key: value for key, value in described.items() if key != "rows"})
            except ValueError as error:
                raise DataError(f"{self._path}: batch {number}: {error}") from error
            yield batch

    def close(self) -> None:
        """Close the file."""
        self._ahead.close()
        self._file.close()

    def _read(self) -> tuple[Any, int] | None:
        if (number := next(self._groups, None)) is None:
            return None
        try:
            group = self._file.read_row_group(number)
            group.validate(full=True)
        except _OF_LIBRARY as error:
            raise DataError(f"{self._path}: damaged: {error}") from error
        return group, len(group)

    def _read_footer(self) -> list[dict[str, Any]]:
        listed = (self._file.metadata.metadata or {}).get(_MANY)
        if listed is None:
            raise DataError(f"{self._path}: no {_MANY.decode()} in the footer")
        described = _json(listed)
        if not isinstance(described, list) or not all(map(_has_rows, described)):
            raise DataError(
                f"{self._path}: {_MANY.decode()} in the footer is not a list of batches with rows"
            )
        rows = sum(each["rows"] for each in described)
        if rows != self._file.metadata.num_rows:
            raise DataError(f"{self._path}: {self._file.metadata.num_rows} rows, {rows} described")
        return described


class _Sum:
    """The hash of a file so far."""

    def __init__(self) -> None:
        self._sum = xxhash.xxh3_64()
        self._after: tuple[int, int] | None = None
        self._pool: ThreadPoolExecutor | None = None

    def digest(self) -> str:
        """Return the hash of all that was added."""
        return self._sum.hexdigest()

    def add(self, rows: Any, description: Mapping[str, Any]) -> None:
        """Add rows and their description."""
        self._sum.update(json.dumps(description).encode())
        for name in ("time_ps", "channel"):
            self._sum.update(_numbers(rows, name))

    @contextmanager
    def adding(self, rows: Any, description: Mapping[str, Any]) -> Iterator[None]:
        """Add rows, in a thread while the body works where they are many."""
        if len(rows) < ROWS_WORTH_A_THREAD:
            self.add(rows, description)
            yield
            return
        self._pool = self._pool or ThreadPoolExecutor(1, "tags-hash")
        added = self._pool.submit(self.add, rows, description)
        try:
            yield
        finally:
            added.result()

    def close(self) -> None:
        """End the thread."""
        if self._pool is not None:
            self._pool.shutdown()

    def after(self, rows: Any, description: Mapping[str, Any]) -> dict[str, Any]:
        """Add rows, and return their description with the hash up to there."""
        self.add(rows, description)
        return {**description, "xxh3": self.digest()}

    def check_before(self, content: Mapping[str, Any]) -> None:
        """Raise ValueError when the content says another hash of what was added."""
        if content.get("before") != self.digest():
            raise ValueError(
                "what comes before is altered or damaged: it does not have the hash that follows it"
            )

    def checked(self, rows: Any, told: Any) -> TagBatch:
        """Return the next batch. Raises ValueError when it, or one before it, is not what was written."""
        if not isinstance(told, dict):
            raise ValueError(f"not a description: {str(told)[:80]}")
        description = {key: value for key, value in told.items() if key != "xxh3"}
        if self.after(rows, description) != told:
            raise ValueError("altered or damaged: its content does not have the hash beside it")
        return self.batch(rows, description)

    def batch(self, rows: Any, description: Mapping[str, Any]) -> TagBatch:
        """Return the batch of rows. Raises ValueError for one that cannot be there."""
        batch = TagBatch.described(
            _numbers(rows, "time_ps"), _numbers(rows, "channel"), description, self._after
        )
        if (_numbers(rows, "epoch") != batch.epoch).any():
            raise ValueError(f"altered or damaged: not all of its rows are of epoch {batch.epoch}")
        self._after = batch.epoch, batch.stop_ps
        return batch


def _numbers(rows: Any, name: str) -> Any:
    return rows.column(name).to_numpy()


def _described(metadata: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    text = metadata.get(_END, metadata.get(_ONE))
    if text is None:
        raise ValueError(f"a record batch without {_ONE.decode()}")
    content = _json(text)
    if not isinstance(content, dict):
        raise ValueError(f"not a description: {str(content)[:80]}")
    return content


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"JSON that is nested too deep: {text[:40]!r}") from None


def _has_rows(described: Any) -> bool:
    return isinstance(described, dict) and type(described.get("rows")) is int and described["rows"] >= 0


def _rows(batch: TagBatch) -> pa.RecordBatch:
    epoch = _constant(batch.epoch, 1 << len(batch).bit_length())[: len(batch)]
    return pa.RecordBatch.from_arrays(
        [pa.array(batch.times_ps), pa.array(batch.channels), epoch], schema=_SCHEMA
    )


@lru_cache(1)
def _constant(epoch: int, count: int) -> pa.Array:
    return pa.array(np.full(count, epoch, np.uint32))


def _check_schema(schema: pa.Schema, path: Path) -> None:
    version = (schema.metadata or {}).get(b"qhal.version")
    if not schema.equals(_SCHEMA):
        raise DataError(f"{path}: no tags: its columns are {', '.join(schema.names)}")
    if version != VERSION:
        raise DataError(f"{path}: version {version!r} of the tag schema; this qhal reads {VERSION!r}")
