"""Any bytes in a file of tags: a DataError or tags in order within their span; nothing untyped, nothing that hangs."""

import io
import random
import struct
import time
import zlib
from contextlib import suppress
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from qhal.errors import DataError, ProtocolError
from qhal.tags.batch import Gap, Loss, TagBatch
from qhal.tags.codecs.picoquant import LAYOUTS, encode_words
from qhal.tags.codecs.ptu_header import build_header
from qhal.tags.formats import FORMATS, TagFile, TagWriter, open_tags
from qhal.tags.sequence import Numberer, Resequencer, from_message, to_message

MUTATIONS = 200_000
LONGEST_S = 3.0
"""A file of two hundred tags that takes longer hangs, whatever else the machine does."""
MARKS = (
    b"\xff" * 8,
    bytes(8),
    b"\xff\xff\xff\x7f" + bytes(4),
    bytes(7) + b"\x80",
    b"\xff" * 7 + b"\x7f",
    (1 << 40).to_bytes(8, "little"),
    (2**63 - 2).to_bytes(8, "little"),
)
"""Numbers at which counters turn over."""


def mutated(content, rng):
    """Return the content with one to four changes, half of them near its beginning."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not data:
            break
        place = rng.randrange(min(len(data), 1200) if rng.random() < 0.5 else len(data))
        kind = rng.randrange(8)
        if kind == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[place] = rng.choice((0, 255, 127, 128, rng.randrange(256)))
        elif kind == 2:
            data[place : place + 8] = rng.choice(MARKS)
        elif kind == 3:
            del data[place:]
        elif kind == 4:
            del data[place : place + rng.randrange(1, 17)]
        elif kind == 5:
            data[place:place] = rng.randbytes(rng.randrange(1, 17))
        elif kind == 6:
            other = rng.randrange(len(data))
            data[place : place + 16] = data[other : other + 16]
        else:
            data[place : place + 32] = rng.randbytes(32)
    return bytes(data)


def made(count=100):
    rng = np.random.default_rng(1)
    times = np.sort(rng.integers(0, 10**9, count)) // 2000 * 2000
    channels = rng.integers(1, 5, count).astype(np.uint8)
    return times, channels


def own(path, name):
    times, channels = made(60)
    with TagWriter(path, name) as writer:
        for n in range(3):
            part = slice(20 * n, 20 * n + 20)
            gap = Gap(int(times[part][0]), int(times[part][5]), 7, Loss.EXACT, (2,))
            start, stop = int(times[part][0]), int(times[part][-1]) + 1
            writer.write(TagBatch(times[part], channels[part], start, stop, gaps=(gap,)))
    return path.read_bytes()


def ptu_files():
    times, channels = made()
    for layout in LAYOUTS.values():
        ticks = times // 100_000 if layout.is_t3 else times
        dtimes = (times % 100_000 // 64).astype(np.uint16) if layout.is_t3 else np.zeros(0, np.uint16)
        words, _ = encode_words(ticks, channels, dtimes, layout)
        header, at = build_header(layout, Fraction(100_000 if layout.is_t3 else 1), Fraction(64))
        yield header[:at] + struct.pack("<q", len(words)) + header[at + 8 :] + words.tobytes()


def written(path, name):
    times, channels = made()
    if name.startswith("idq"):
        channels[:] = 1
    with TagWriter(path, name) as writer:
        writer.write(TagBatch(times, channels, 0, 10**9))
    return path.read_bytes()


def seeds(name, path):
    """Return good files of a format."""
    if name in ("arrow", "parquet"):
        return [own(path, name)]
    if name == "ptu":
        return list(ptu_files())
    if name == "idq-bin-ref":
        return [np.column_stack((made()[0], np.full(len(made()[0]), 5))).astype("<u8").tobytes()]
    if name == "qutag-binary":
        return [bytes(40) + written(path, "qutag-raw")]
    return [written(path, name)]


OPTIONS = ({}, {"disorder_ps": 10**12}, {"skip": "others", "map": "0..7:1", "disorder_ps": 0})


class InMemory:
    """A path whose file is a content in memory."""

    def __init__(self, content):
        self._content = content

    def open(self, mode):
        assert mode == "rb"
        return io.BytesIO(self._content)

    def __str__(self):
        return "tags"


def opened(content, name, options, path):
    """Open a content as a file; only our own formats, whose library wants a name, need one on a disk."""
    if path is None:
        return TagFile(InMemory(content), FORMATS[name], parsed(name, tuple(options.items())), None)
    path.write_bytes(content)
    return open_tags(path, name, options)


@cache
def parsed(name, options):
    return FORMATS[name].reading.model_validate(dict(options))


def read(file, name):
    """Read a file as far as it goes, and return how many tags it gave; check what every reader owes."""
    count, stop, epoch = 0, None, None
    own = name in ("arrow", "parquet")
    with file:
        for batch in file:
            times = batch.times_ps
            assert (times[1:] >= times[:-1]).all(), "a batch out of order"
            assert batch.stop_ps >= batch.start_ps, "a span that goes back"
            if len(times):
                assert batch.start_ps <= times[0] <= times[-1] < batch.stop_ps, "tags out of their span"
            before, here = (epoch, stop), (batch.epoch, batch.start_ps)
            assert stop is None or before == here or (own and before < here), "batches apart"
            stop, epoch = batch.stop_ps, batch.epoch
            count += len(times)
    return count


@pytest.mark.parametrize("name", FORMATS)
def test_mutations_of_a_file(name, attacks, tmp_path):
    path = tmp_path / "tags"
    good = seeds(name, path)
    rng = random.Random(zlib.crc32(name.encode()))
    options = OPTIONS if FORMATS[name].decoder is not None or name == "ptu" else OPTIONS[:1]
    for content in good:
        assert read(opened(content, name, {}, path), name) >= 60
    for number in range(attacks(MUTATIONS)):
        content = mutated(rng.choice(good), rng)
        chosen = rng.choice(options)
        on_disk = name in ("arrow", "parquet") or number % 50 == 0
        began = time.thread_time()
        try:
            with suppress(DataError):
                read(opened(content, name, chosen, path if on_disk else None), name)
        except BaseException as error:
            error.add_note(f"mutation {number} of {name}, options {chosen}: {content!r:.4000}")
            raise
        took = time.thread_time() - began
        assert took < LONGEST_S, f"mutation {number} of {name} took {took:.1f} s"


@pytest.mark.parametrize("name", ["arrow", "parquet"])
def test_no_change_of_an_own_file_is_read_as_good(name, attacks, tmp_path):
    path = tmp_path / "tags"
    content = own(path, name)
    expected = batches(path)
    rng = random.Random(5)
    for _ in range(attacks(MUTATIONS // 4)):
        changed = bytearray(content)
        place = rng.randrange(len(content))
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        with suppress(DataError):  # padding between what counts may change
            assert batches(path) == expected


def batches(path):
    with open_tags(path, "parquet" if path.read_bytes()[:4] == b"PAR1" else "arrow") as file:
        return [(b.times_ps.tolist(), b.channels.tolist(), b.description()) for b in file]


def test_mutations_of_a_message(attacks):
    rng, numberer = random.Random(8), Numberer(5)
    times, channels = made(20)
    gap = Gap(5, 7, 2, Loss.EXACT, (1,))
    reader = Resequencer()
    for number in range(attacks(MUTATIONS)):
        shift = number * 10**9
        batch = TagBatch(times + shift, channels, shift, shift + 10**9, gaps=(gap,) if number % 2 else ())
        parts = [bytes(part) for part in to_message(numberer.number(batch))]
        place = rng.randrange(len(parts))
        parts[place] = mutated(parts[place], rng)
        with suppress(ProtocolError):
            for found in reader.push(from_message(parts)):
                assert (np.diff(found.times_ps) >= 0).all()
                assert found.missed >= 0
