"""qhal's own files: Arrow IPC streams for recording, Parquet for keeping. Any Arrow reader opens them.

Columns: ``time_ps`` (int64, since the start of the epoch), ``channel`` (uint8), ``epoch`` (uint32). What rows cannot
tell (spans, gaps, empty batches) is JSON: of an Arrow record batch its metadata ``qhal.batch``, of a Parquet file the
footer's ``qhal.batches``, a list with a number of rows each. An Arrow stream is readable up to its last whole batch
when its writer was killed; Parquet is smaller, and has its index at the end.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qhal.errors import DataError
from qhal.tags.batch import TagBatch

VERSION = b"1"
_SCHEMA = pa.schema(
    [
        pa.field("time_ps", pa.int64(), nullable=False),
        pa.field("channel", pa.uint8(), nullable=False),
        pa.field("epoch", pa.uint32(), nullable=False),
    ],
    metadata={b"qhal.version": VERSION},
)
_ROW_GROUP = 1 << 20
_ONE, _MANY = b"qhal.batch", b"qhal.batches"


class ArrowWriter:
    """Write an Arrow IPC stream, one record batch per batch."""

    def __init__(self, file: IO[bytes]) -> None:
        self._writer = pa.ipc.new_stream(file, _SCHEMA)

    def write(self, batch: TagBatch) -> None:
        """Append a batch."""
        self._writer.write_batch(_rows(batch), custom_metadata={_ONE: json.dumps(batch.description())})

    def close(self) -> None:
        """End the stream."""
        self._writer.close()


class ParquetWriter:
    """Write a Parquet file in row groups of about a million tags."""

    def __init__(self, file: IO[bytes]) -> None:
        # Plain values behind a fast compressor: times compress to a third, at ten times the rate of a tagger.
        self._writer = pq.ParquetWriter(
            file,
            _SCHEMA,
            compression="zstd",
            compression_level=1,
            use_dictionary=["channel", "epoch"],
            column_encoding={"time_ps": "DELTA_BINARY_PACKED"},
        )
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._described: list[dict[str, Any]] = []

    def write(self, batch: TagBatch) -> None:
        """Append a batch."""
        self._described.append({"rows": len(batch), **batch.description()})
        self._waiting.append(_rows(batch))
        self._rows += len(batch)
        if self._rows >= _ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what waits, and the footer."""
        self._flush()
        self._writer.add_key_value_metadata({_MANY: json.dumps(self._described)})
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_batches(self._waiting, _SCHEMA), row_group_size=self._rows)
        self._waiting, self._rows = [], 0


class ArrowReader:
    """Read an Arrow IPC stream of tags.

    Raises DataError for another file, and after the last whole batch of one that is cut or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        try:
            self._reader = pa.ipc.open_stream(self._file)
            _check_schema(self._reader.schema, path)
        except (pa.ArrowException, OSError) as error:
            self._file.close()
            raise DataError(f"{path}: no Arrow stream: {error}", 0) from error
        except DataError:
            self._file.close()
            raise

    def __iter__(self) -> Iterator[TagBatch]:
        while True:
            place = self._file.tell()
            try:
                rows, metadata = self._reader.read_next_batch_with_custom_metadata()
                rows.validate(full=True)
            except StopIteration:
                return
            except (pa.ArrowException, OSError, EOFError) as error:
                raise DataError(f"{self._path}: damaged: {error}", place) from error
            if metadata is None or _ONE not in metadata:
                raise DataError(f"{self._path}: a record batch without {_ONE.decode()}", place)
            yield _batch(rows, json.loads(metadata[_ONE]))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ParquetReader:
    """Read a Parquet file of tags. Raises DataError for another or a damaged file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: no Parquet file: {error}") from error
        try:
            _check_schema(self._file.schema_arrow, path)
            listed = self._file.metadata.metadata.get(_MANY)
            if listed is None:
                raise DataError(f"{path}: no {_MANY.decode()} in the footer")
            self._described: list[dict[str, Any]] = json.loads(listed)
            rows = sum(each["rows"] for each in self._described)
            if rows != self._file.metadata.num_rows:
                raise DataError(f"{path}: {self._file.metadata.num_rows} rows, {rows} described")
        except DataError:
            self._file.close()
            raise

    def __iter__(self) -> Iterator[TagBatch]:
        groups = iter(range(self._file.num_row_groups))
        rest = _SCHEMA.empty_table()
        for described in self._described:
            while len(rest) < described["rows"]:
                try:
                    group = self._file.read_row_group(next(groups))
                except (pa.ArrowException, OSError) as error:
                    raise DataError(f"{self._path}: damaged: {error}") from error
                rest = pa.concat_tables([rest, group]) if len(rest) else group
            yield _batch(rest.slice(0, described["rows"]), described)
            rest = rest.slice(described["rows"])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _rows(batch: TagBatch) -> pa.RecordBatch:
    epoch = np.full(len(batch), batch.epoch, np.uint32)
    return pa.RecordBatch.from_arrays(
        [pa.array(batch.times_ps), pa.array(batch.channels), pa.array(epoch)], schema=_SCHEMA
    )


def _batch(rows: Any, description: dict[str, Any]) -> TagBatch:
    return TagBatch.described(
        rows.column("time_ps").to_numpy(), rows.column("channel").to_numpy(), description
    )


def _check_schema(schema: pa.Schema, path: Path) -> None:
    version = (schema.metadata or {}).get(b"qhal.version")
    if not schema.equals(_SCHEMA):
        raise DataError(f"{path}: no tags: its columns are {', '.join(schema.names)}")
    if version != VERSION:
        raise DataError(f"{path}: version {version!r} of the tag schema; this qhal reads {VERSION!r}")
