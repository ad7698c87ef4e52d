"""Files of tags: read one, write one, and the table of formats."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from qhal.errors import ConfigurationError, DataError, QhalError
from qhal.explain import explain
from qhal.files import NewFile
from qhal.tags.batch import TagBatch
from qhal.tags.closing import Closing
from qhal.tags.codecs import idq, ptu, qutag, sfifteen, swabian
from qhal.tags.codecs.codec import CodecOptions, Disorder, ReadingOptions, TagDecoder, TagEncoder
from qhal.tags.codecs.ptu_header import MOST_BYTES, Incomplete, PtuHeader
from qhal.tags.numbering import ALL, ranges

_CHUNK_BYTES = 1 << 22
_HEADER_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Format:
    """A file format.

    Attributes
    ----------
    name, description
        Name in :data:`FORMATS`, and the vendor's.
    suffix
        Suffix of file names from which it is recognised; empty: none.
    decoder, encoder
        Classes of the codec; None if a library reads and writes the format, or if it is only read.
    reading, writing
        Models of the options.
    header_bytes
        Bytes before the first record.
    """

    name: str
    description: str
    suffix: str
    decoder: Callable[..., TagDecoder] | None
    encoder: Callable[..., TagEncoder] | None
    reading: type[CodecOptions] = ReadingOptions
    writing: type[CodecOptions] = CodecOptions
    header_bytes: int = 0


FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (
        Format("arrow", "qhal's own, Arrow IPC stream", ".arrows", None, encoder=None, reading=CodecOptions),
        Format("parquet", "qhal's own, Parquet", ".parquet", None, encoder=None, reading=CodecOptions),
        Format("ptu", "PicoQuant PTU, T2 and T3", ".ptu", None, encoder=ptu.PtuEncoder, reading=ReadingOptions,
               writing=ptu.PtuOptions),
        Format("swabian-dump", "Swabian raw dump", "", swabian.SwabianDecoder, encoder=swabian.SwabianEncoder,
               reading=swabian.SwabianReading, writing=swabian.SwabianOptions),
        Format("qutag-raw", "quTAG RAW", "", qutag.QutagDecoder, encoder=qutag.QutagEncoder, reading=qutag.QutagReading,
               writing=qutag.QutagOptions),
        Format("qutag-binary", "quTAG BINARY", "", qutag.QutagBinaryDecoder, encoder=None, reading=qutag.QutagReading,
               header_bytes=40),
        Format("idq-bin", "IDQ Time Controller .bin, one input", "", idq.IdqDecoder, encoder=idq.IdqEncoder,
               reading=idq.IdqReading, writing=idq.IdqOptions),
        Format("idq-bin-ref", "IDQ Time Controller .bin with reference index", "", idq.IdqReferencedDecoder,
               encoder=None, reading=idq.IdqReading),
        Format("tdc1", "S-Fifteen TDC1, 32-bit words", "", sfifteen.Tdc1Decoder, encoder=sfifteen.Tdc1Encoder),
        Format("tdc1-64", "S-Fifteen TDC1, consolidated", "", sfifteen.ConsolidatedTdc1Decoder,
               encoder=sfifteen.ConsolidatedTdc1Encoder, reading=sfifteen.WordReading, writing=sfifteen.WordOptions),
        Format("tdc2", "S-Fifteen TDC2 and timestamp7", "", sfifteen.Tdc2Decoder, encoder=sfifteen.Tdc2Encoder,
               reading=sfifteen.WordReading, writing=sfifteen.WordOptions),
        Format("timestamp3", "S-Fifteen timestamp3", "", sfifteen.Timestamp3Decoder,
               encoder=sfifteen.Timestamp3Encoder, reading=sfifteen.WordReading, writing=sfifteen.WordOptions),
    )
}  # fmt: skip
"""Formats by name."""


class TagFile(Closing):
    """An open file of tags: an iterator of its batches, and a context manager; :func:`open_tags` makes one.

    A damaged file raises DataError with the position, after the tags before it.

    Attributes
    ----------
    path, format
        File and name of its format.
    details
        Content of the file's header.
    """

    def __init__(
        self, path: Path, form: Format, options: CodecOptions, channels: frozenset[int] | None
    ) -> None:
        self.path = path
        self.format = form.name
        self.details: dict[str, Any] = {}
        self._channels = channels
        self._own: Any = None
        self._decoder: TagDecoder | None = None
        if form.name in ("arrow", "parquet"):
            from qhal.tags.arrow import ArrowReader, ParquetReader

            self._own = ArrowReader(path) if form.name == "arrow" else ParquetReader(path)
            return
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        try:
            self._decoder = self._make_decoder(form, options)
        except BaseException:
            self._file.close()
            raise

    def __iter__(self) -> Iterator[TagBatch]:
        for batch in self._own if self._own is not None else self._decoded():
            yield batch if self._channels is None else batch.select(self._channels)

    @property
    def position(self) -> int:
        """Bytes read so far; 0 for a format that a library reads."""
        return self._file.tell() if self._own is None else 0

    def close(self) -> None:
        """Close the file."""
        (self._own if self._own is not None else self._file).close()

    def _decoded(self) -> Iterator[TagBatch]:
        assert self._decoder is not None
        while data := self._read(_CHUNK_BYTES):
            batch = self._decoder.feed(data)
            if batch.stop_ps > batch.start_ps or batch.gaps:
                yield batch
        yield self._decoder.finish()
        self._decoder.verify()

    @property
    def disorder(self) -> Disorder:
        """How far out of order the records were so far; batches are in order."""
        return Disorder() if self._decoder is None else self._decoder.disorder

    def _make_decoder(self, form: Format, options: CodecOptions) -> TagDecoder:
        source = str(self.path)
        if form.name == "ptu":
            header = self._ptu_header(source)
            self.details = {"record type": header.layout.name, **header.tags}
            assert isinstance(options, ReadingOptions)
            return ptu.PtuDecoder(header, options, source)
        assert form.decoder is not None
        if len(self._read(form.header_bytes)) < form.header_bytes:
            raise DataError(f"{source}: cut within the header of {form.header_bytes} bytes", 0)
        return form.decoder(options, source=source, offset=form.header_bytes)

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}", self.position) from error

    def _ptu_header(self, source: str) -> PtuHeader:
        data, more = b"", _HEADER_BYTES
        while True:
            data += (read := self._read(more))
            try:
                header = PtuHeader.parse(data, source)
            except Incomplete as error:
                if not read or len(data) > MOST_BYTES:
                    why = f"no end of the header in {MOST_BYTES} bytes" if read else "cut within the header"
                    raise DataError(f"{source}: {why}", len(data)) from error
                more = len(data)  # twice as much each time: at most that much is parsed again
                continue
            self._file.seek(header.length)
            return header


def open_tags(
    path: str | Path,
    format: str | None = None,
    options: Mapping[str, Any] | None = None,
    channels: Iterable[int] | None = None,
) -> TagFile:
    """Open a file of tags.

    Parameters
    ----------
    path
        The file.
    format
        Name in :data:`FORMATS`; by default recognised from the content or the suffix.
    options
        Options of the format.
    channels
        Channels to read; by default all.

    Raises
    ------
    ConfigurationError
        If the format must be named, or has no such option or channel.
    DataError
        If the file is of another kind.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from qhal.tags import TagBatch, TagWriter
    >>> batch = TagBatch(np.arange(0, 1000, 10), np.ones(100, np.uint8), 0, 1000)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with TagWriter(f"{folder}/run.arrows") as writer:
    ...         writer.write(batch)
    ...     with open_tags(f"{folder}/run.arrows") as tags:
    ...         sum(len(batch) for batch in tags)
    100
    """
    file = Path(path)
    if not file.is_file():
        what = "is not a plain file" if file.exists() else "no such file"
        raise ConfigurationError(f"{file}: {what}")
    form = _format(format or _recognise(file), file)
    parsed = _options(form, form.reading, options)
    selected = None if channels is None else frozenset(channels)
    if selected is not None and (unknown := selected - (available := _channels(form, parsed))):
        raise ConfigurationError(
            f"{file}: {form.name} has no channel {min(unknown)}; it has {ranges(available)}"
        )
    return TagFile(file, form, parsed, selected)


class TagWriter:
    """Writes batches to a file that appears when it is complete; a context manager.

    Until :meth:`close` the content has another name beside it. An error, of ``write``, of ``close`` or in the ``with``
    block, removes it.

    Parameters
    ----------
    path
        The file.
    format
        Name in :data:`FORMATS`; by default that of the suffix.
    options
        Options of the format.
    drop_gaps
        Write formats that cannot express gaps as if nothing were lost, instead of an error.

    Attributes
    ----------
    written
        Number of tags written.

    Raises
    ------
    ConfigurationError
        If the format is unknown, or the file cannot be created.
    Busy
        While another program writes it.
    """

    def __init__(
        self,
        path: str | Path,
        format: str | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        drop_gaps: bool = False,
    ) -> None:
        self._path = Path(path)
        form = _format(format or _by_suffix(self._path), self._path)
        self.written = 0
        self._after: tuple[int, int] | None = None
        self._own: Any = None
        self._encoder: TagEncoder | None = None
        parsed = _options(form, form.writing, options)
        if form.encoder is not None:
            self._encoder = form.encoder(parsed)
            self._encoder.drop_gaps = drop_gaps
        elif form.name not in ("arrow", "parquet"):
            raise ConfigurationError(f"{form.name} is read only: its header is not public")
        self._file = NewFile(self._path)
        with self._all_or_nothing():
            if self._encoder is not None:
                self._file.write(self._encoder.begin())
                return
            from qhal.tags.arrow import ArrowWriter, ParquetWriter

            self._own = ArrowWriter(self._file) if form.name == "arrow" else ParquetWriter(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._discard()

    @property
    def paused_ps(self) -> int:
        """Pauses of the tagger that the format cannot express, in ps."""
        return 0 if self._encoder is None else self._encoder.paused_ps

    @property
    def rounded_ps(self) -> int:
        """Largest rounding of a time in a format with coarser steps, in ps."""
        return 0 if self._encoder is None else self._encoder.rounded_ps

    def write(self, batch: TagBatch) -> None:
        """Append a batch.

        Raises DataError for a batch that the format cannot express, that :meth:`TagBatch.check` refuses or that
        begins before the end of the last one, and if the disk is full or fails.
        """
        with self._all_or_nothing():
            batch.check(self._after)
            if self._encoder is not None:
                self._file.write(self._encoder.encode(batch))
            else:
                self._own.write(batch)
        self._after = (batch.epoch, batch.stop_ps)
        self.written += len(batch)

    def close(self) -> None:
        """Complete the file under its name. Raises DataError if the disk is full or fails."""
        with self._all_or_nothing():
            if self._encoder is not None:
                for position, content in self._encoder.amend():
                    self._file.seek(position)
                    self._file.write(content)
            else:
                self._own.close()
            self._file.commit()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._discard()
            if isinstance(error, ValueError | OSError) and not isinstance(error, QhalError):
                raise DataError(f"{self._path}: {error}") from error
            raise

    def _discard(self) -> None:
        self._file.discard()
        if self._own is not None:
            self._own.abandon()


def _format(name: str | None, path: Path) -> Format:
    if name is None:
        known = ", ".join(
            f"{form.name} ({form.suffix})" if form.suffix else form.name for form in FORMATS.values()
        )
        raise ConfigurationError(f"{path}: neither content nor name says the format; name one of {known}")
    if name not in FORMATS:
        raise ConfigurationError(f"no format {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def _recognise(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            begins = file.read(8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if begins == b"PQTTTR\0\0":
        return "ptu"
    if begins[:4] == b"PAR1":
        return "parquet"
    return "arrow" if begins[:4] == b"\xff\xff\xff\xff" else _by_suffix(path)


def _by_suffix(path: Path) -> str | None:
    return next((form.name for form in FORMATS.values() if form.suffix and form.suffix == path.suffix), None)


def _options(form: Format, kind: type[CodecOptions], options: Mapping[str, Any] | None) -> Any:
    try:
        return kind.model_validate(dict(options or {}))
    except ValidationError as error:
        raise ConfigurationError(f"format {form.name}: {explain(error, kind)}") from error


def _channels(form: Format, options: CodecOptions) -> frozenset[int]:
    if form.encoder is None:  # our own files, and what is read only, hold any
        return ALL
    shared = {name: value for name, value in options if name in form.writing.model_fields}
    held = form.encoder(form.writing.model_validate(shared)).channels
    return held | (frozenset(options.map.values()) if isinstance(options, ReadingOptions) else frozenset())
