"""Files of tags by format: open one for reading, write one, and say which formats there are."""

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
    """One file format. ``decoder`` and ``encoder`` are None where qhal has no own codec or must not write.

    ``reading``, ``writing``: the options of each.
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
        Format("arrow", "qhal's own, Arrow IPC stream", ".arrows", None, None, CodecOptions),
        Format("parquet", "qhal's own, Parquet", ".parquet", None, None, CodecOptions),
        Format("ptu", "PicoQuant PTU, T2 and T3", ".ptu", None, ptu.PtuEncoder, ReadingOptions, ptu.PtuOptions),
        Format("swabian-dump", "Swabian raw dump", "", swabian.SwabianDecoder, swabian.SwabianEncoder,
               swabian.SwabianReading, swabian.SwabianOptions),
        Format("qutag-raw", "quTAG RAW", "", qutag.QutagDecoder, qutag.QutagEncoder, qutag.QutagReading,
               qutag.QutagOptions),
        Format("qutag-binary", "quTAG BINARY", "", qutag.QutagBinaryDecoder, None, qutag.QutagReading,
               header_bytes=40),
        Format("idq-bin", "IDQ Time Controller .bin, one input", "", idq.IdqDecoder, idq.IdqEncoder,
               idq.IdqReading, idq.IdqOptions),
        Format("idq-bin-ref", "IDQ Time Controller .bin with reference index", "", idq.IdqReferencedDecoder,
               None, idq.IdqReading),
        Format("tdc1", "S-Fifteen TDC1, 32-bit words", "", sfifteen.Tdc1Decoder, sfifteen.Tdc1Encoder),
        Format("tdc1-64", "S-Fifteen TDC1, consolidated", "", sfifteen.ConsolidatedTdc1Decoder,
               sfifteen.ConsolidatedTdc1Encoder, sfifteen.WordReading, sfifteen.WordOptions),
        Format("tdc2", "S-Fifteen TDC2 and timestamp7", "", sfifteen.Tdc2Decoder, sfifteen.Tdc2Encoder,
               sfifteen.WordReading, sfifteen.WordOptions),
        Format("timestamp3", "S-Fifteen timestamp3", "", sfifteen.Timestamp3Decoder,
               sfifteen.Timestamp3Encoder, sfifteen.WordReading, sfifteen.WordOptions),
    )
}  # fmt: skip
"""The formats by name."""


class TagFile(Closing):
    """An open file of tags: iterate for its batches, in order; a context manager.

    A damaged file raises DataError that names the byte, after all before it was handed out. ``details``: what the
    file's header says.
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
        """How many bytes of the file were read (0 where only its library knows)."""
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
        """How far from ascending order the records were that were read so far; they are handed out in order."""
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
                more = len(data)  # twice as much each time: what is parsed again is no more than that
                continue
            self._file.seek(header.length)
            return header


def open_tags(
    path: str | Path,
    format: str | None = None,
    options: Mapping[str, Any] | None = None,
    channels: Iterable[int] | None = None,
) -> TagFile:
    """Open a file of tags. The format is found from the content, or the suffix, where either says it.

    ``channels``: hand out these only. Raises ConfigurationError when the format must be named, or an option or a
    channel is not one of the format's; DataError when the file is of another kind.
    """
    place = Path(path)
    if not place.is_file():
        what = "is not a plain file" if place.exists() else "no such file"
        raise ConfigurationError(f"{place}: {what}")
    form = _format(format or _recognise(place), place)
    parsed = _options(form, form.reading, options)
    wanted = None if channels is None else frozenset(channels)
    if wanted is not None and (strange := wanted - (held := _channels(form, parsed))):
        raise ConfigurationError(f"{place}: {form.name} has no channel {min(strange)}; it has {ranges(held)}")
    return TagFile(place, form, parsed, wanted)


class TagWriter:
    """Write batches to a file that appears only when it is complete; a context manager.

    Until :meth:`close` the content has a hidden name beside it; leaving the context with an error, or an error of
    ``write`` or ``close``, removes it. ``drop_gaps``: write formats that hold no gaps as if nothing were lost, instead
    of refusing. ``paused_ps``: pauses of the tagger that the format does not say; ``rounded_ps``: how much earlier than
    its tag a time is written at most, in formats with coarser steps. Raises ConfigurationError when the file cannot be
    made, Busy while another program writes it.
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
        """How long the tagger paused in what was written, as far as the file does not say so."""
        return 0 if self._encoder is None else self._encoder.paused_ps

    @property
    def rounded_ps(self) -> int:
        """How much earlier than its tag a time was written at most."""
        return 0 if self._encoder is None else self._encoder.rounded_ps

    def write(self, batch: TagBatch) -> None:
        """Append a batch.

        Raises DataError for what the format cannot hold, for a batch that :meth:`TagBatch.check` refuses or that
        begins before the end of the last one, and when the disk is full or fails.
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
        """Complete the file and give it its name. Raises DataError when the disk is full or fails."""
        with self._all_or_nothing():
            if self._encoder is not None:
                for place, content in self._encoder.amend():
                    self._file.seek(place)
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
