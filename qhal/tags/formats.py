"""Files of tags by format: open one for reading, write one, and say which formats there are."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pydantic import ValidationError

from qhal.errors import ConfigurationError, DataError
from qhal.tags.batch import TagBatch
from qhal.tags.closing import Closing
from qhal.tags.codecs import idq, ptu, qutag, sfifteen, swabian
from qhal.tags.codecs.codec import CodecOptions, TagDecoder, TagEncoder
from qhal.tags.codecs.ptu_header import Incomplete, PtuHeader
from qhal.tags.numbering import ALL, ranges

_CHUNK_BYTES = 1 << 22
_HEADER_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Format:
    """One file format. ``decoder`` and ``encoder`` are None where qhal has no own codec or must not write."""

    name: str
    description: str
    suffix: str
    decoder: Callable[..., TagDecoder] | None
    encoder: Callable[..., TagEncoder] | None
    options: type[CodecOptions] = CodecOptions
    header_bytes: int = 0


FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (
        Format("arrow", "qhal's own, Arrow IPC stream", ".arrows", None, None),
        Format("parquet", "qhal's own, Parquet", ".parquet", None, None),
        Format("ptu", "PicoQuant PTU, T2 and T3", ".ptu", None, ptu.PtuEncoder, ptu.PtuOptions),
        Format("swabian-dump", "Swabian raw dump", "", swabian.SwabianDecoder, swabian.SwabianEncoder,
               swabian.SwabianOptions),
        Format("qutag-raw", "quTAG RAW", "", qutag.QutagDecoder, qutag.QutagEncoder, qutag.QutagOptions),
        Format("qutag-binary", "quTAG BINARY", "", qutag.QutagBinaryDecoder, None, qutag.QutagOptions, 40),
        Format("idq-bin", "IDQ Time Controller .bin, one input", "", idq.IdqDecoder, idq.IdqEncoder,
               idq.IdqOptions),
        Format("idq-bin-ref", "IDQ Time Controller .bin with reference index", "", idq.IdqReferencedDecoder,
               None, idq.IdqOptions),
        Format("tdc1", "S-Fifteen TDC1, 32-bit words", "", sfifteen.Tdc1Decoder, sfifteen.Tdc1Encoder),
        Format("tdc1-64", "S-Fifteen TDC1, consolidated", "", sfifteen.ConsolidatedTdc1Decoder,
               sfifteen.ConsolidatedTdc1Encoder, sfifteen.WordOptions),
        Format("tdc2", "S-Fifteen TDC2 and timestamp7", "", sfifteen.Tdc2Decoder, sfifteen.Tdc2Encoder,
               sfifteen.WordOptions),
        Format("timestamp3", "S-Fifteen timestamp3", "", sfifteen.Timestamp3Decoder,
               sfifteen.Timestamp3Encoder, sfifteen.WordOptions),
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
        self._file = path.open("rb")
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
        while data := self._file.read(_CHUNK_BYTES):
            yield self._decoder.feed(data)
        yield self._decoder.finish()
        self._decoder.verify()

    def _make_decoder(self, form: Format, options: CodecOptions) -> TagDecoder:
        source = str(self.path)
        if form.name == "ptu":
            header = self._ptu_header(source)
            self.details = {"record type": header.layout.name, **header.tags}
            return ptu.PtuDecoder(header, source)
        assert form.decoder is not None
        if len(self._file.read(form.header_bytes)) < form.header_bytes:
            raise DataError(f"{source}: cut within the header of {form.header_bytes} bytes", 0)
        if form.options is CodecOptions:
            return form.decoder(source=source, offset=form.header_bytes)
        return form.decoder(options, source=source, offset=form.header_bytes)

    def _ptu_header(self, source: str) -> PtuHeader:
        data = b""
        while True:
            more = self._file.read(_HEADER_BYTES)
            data += more
            try:
                header = PtuHeader.parse(data, source)
            except Incomplete as error:
                if not more:
                    raise DataError(f"{source}: cut within the header", len(data)) from error
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
        raise ConfigurationError(f"{place}: no such file")
    form = _format(format or _recognise(place), place)
    wanted = None if channels is None else frozenset(channels)
    if wanted is not None and (strange := wanted - (held := _channels(form, options))):
        raise ConfigurationError(f"{place}: {form.name} has no channel {min(strange)}; it has {ranges(held)}")
    return TagFile(place, form, _options(form, options), wanted)


class TagWriter:
    """Write batches to a file that appears only when it is complete; a context manager.

    Until :meth:`close` the content is in ``<path>.part``; leaving the context with an error removes it.
    ``drop_gaps``: write formats that hold no gaps as if nothing were missing, instead of refusing.
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
        self._own: Any = None
        self._encoder: TagEncoder | None = None
        parsed = _options(form, options)
        if form.encoder is not None:
            self._encoder = form.encoder() if form.options is CodecOptions else form.encoder(parsed)
            self._encoder.drop_gaps = drop_gaps
        elif form.name not in ("arrow", "parquet"):
            raise ConfigurationError(f"{form.name} is read only: its header is not public")
        if not self._path.parent.is_dir():
            raise ConfigurationError(f"{self._path}: no folder {self._path.parent}")
        self._part = self._path.with_name(f"{self._path.name}.part")
        self._file: IO[bytes] = self._part.open("wb")
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
            if self._own is not None:
                self._own.close()  # pyarrow would complete its file later, into a closed one
            self._file.close()
            self._part.unlink(missing_ok=True)

    def write(self, batch: TagBatch) -> None:
        """Append a batch. Raises DataError for what the format cannot hold."""
        if self._encoder is not None:
            self._file.write(self._encoder.encode(batch))
        else:
            self._own.write(batch)
        self.written += len(batch)

    def close(self) -> None:
        """Complete the file and give it its name."""
        if self._encoder is not None:
            for place, content in self._encoder.amend():
                self._file.seek(place)
                self._file.write(content)
        else:
            self._own.close()
        self._file.close()
        os.replace(self._part, self._path)


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
    with path.open("rb") as file:
        begins = file.read(8)
    if begins == b"PQTTTR\0\0":
        return "ptu"
    if begins[:4] == b"PAR1":
        return "parquet"
    return "arrow" if begins[:4] == b"\xff\xff\xff\xff" else _by_suffix(path)


def _by_suffix(path: Path) -> str | None:
    return next((form.name for form in FORMATS.values() if form.suffix and form.suffix == path.suffix), None)


def _options(form: Format, options: Mapping[str, Any] | None) -> CodecOptions:
    try:
        return form.options.model_validate(dict(options or {}))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']} (given: {each['input']!r})"
            for each in error.errors()
        )
        known = ", ".join(form.options.model_fields) or "none"
        raise ConfigurationError(f"format {form.name}: {problems}; options are {known}") from error


def _channels(form: Format, options: Mapping[str, Any] | None) -> frozenset[int]:
    if form.encoder is None:  # our own files, and what is read only, hold any
        return ALL
    parsed = _options(form, options)
    return (form.encoder() if form.options is CodecOptions else form.encoder(parsed)).channels
