"""Files of tags for other people's readers, and what qhal reads in them.

PTU records are random words put together here, field by field, not by qhal's encoder.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np

from qhal.tags.batch import Gap, Loss, TagBatch
from qhal.tags.codecs.picoquant import LAYOUTS, decode_words
from qhal.tags.codecs.ptu_header import build_header
from qhal.tags.formats import TagWriter

RECORDS = 50_000


def write_all(folder: Path) -> None:
    """Write one file of each kind and, beside it, what qhal says is in it."""
    for code in LAYOUTS:
        for suffix in ("", "-plain"):  # plain: without markers
            write_ptu(folder, code, suffix)
    write_tables(folder)


def write_ptu(folder: Path, code: int, suffix: str) -> None:
    """Write one PTU file and its records as qhal reads them."""
    layout = LAYOUTS[code]
    words = random_words(np.random.default_rng(code), layout.name, 0.0 if suffix else 0.05)
    header, count_at = build_header(layout, Fraction(12_500 if layout.is_t3 else 1), Fraction(4))
    header = header[:count_at] + np.int64(len(words)).tobytes() + header[count_at + 8 :]
    name = layout.name.replace(" ", "-") + suffix
    (folder / f"{name}.ptu").write_bytes(header + words.astype("<u4").tobytes())
    found = decode_words(words, layout)
    assert found.bad is None
    np.savez(folder / f"{name}.npz", ticks=found.ticks, channels=found.channels, dtimes=found.dtimes)


def random_words(rng: np.random.Generator, name: str, markers: float) -> np.ndarray:
    """Return words of a record type: photons of two inputs or more, markers, sync events (T2), overflows."""
    t3, picoharp = name.endswith("T3"), name.startswith("PicoHarp")
    kinds = rng.choice(
        ["photon", "marker", "sync", "overflow"], RECORDS, p=[0.9 - markers, markers, 0.05, 0.05]
    )
    top = {(True, True): 1 << 16, (True, False): 1 << 10, (False, True): 210_000_000, (False, False): 1 << 25}
    time = rng.integers(0, top[t3, picoharp], RECORDS)
    dtime = rng.integers(1, 1 << (12 if picoharp else 15), RECORDS)
    bits = rng.integers(1, 16, RECORDS)
    # A count of 0 is one overflow; tttrlib 0.26 takes it for none in some T3 types.
    count = rng.integers(1 if t3 and not name.startswith("Generic") else 0, 5, RECORDS)
    # Between two overflows time goes on.
    block = np.cumsum(kinds == "overflow")
    time = time[np.lexsort((time, block))]
    if picoharp:
        channel = rng.integers(1, 5, RECORDS)
        if t3:
            kinds[kinds == "sync"] = "photon"
        special = kinds != "photon"
        marker = np.where(kinds == "overflow", 0, bits)
        if t3:
            words = np.where(special, 15 << 28 | marker << 16 | time, channel << 28 | dtime << 16 | time)
        else:
            time = time // 16 * 16
            words = np.where(special, 15 << 28 | time | marker, channel << 28 | time | bits)
            words = np.where(kinds == "sync", time, words)
            words = np.where(kinds == "overflow", 15 << 28, words)
        return words.astype(np.uint32)
    channel = rng.integers(0, 8, RECORDS)
    wraps = 1 << 31 | 63 << 25 | (0 if "V1" in name else count)
    if t3:
        kinds[kinds == "sync"] = "photon"
        words = np.where(kinds == "marker", 1 << 31 | bits << 25 | time, channel << 25 | dtime << 10 | time)
    else:
        words = np.where(kinds == "marker", 1 << 31 | bits << 25 | time, channel << 25 | time)
        words = np.where(kinds == "sync", 1 << 31 | time, words)
    return np.where(kinds == "overflow", wraps, words).astype(np.uint32)


def write_tables(folder: Path) -> None:
    """Write our own files, with several batches, epochs and gaps."""
    rng = np.random.default_rng(1)
    times = np.sort(rng.integers(0, 10**12, RECORDS))
    channels = rng.integers(1, 5, RECORDS).astype(np.uint8)
    cut = RECORDS // 3
    for format, name in (("arrow", "own.arrows"), ("parquet", "own.parquet")):
        with TagWriter(folder / name, format) as writer:
            middle = int(times[cut])
            gap = Gap(middle, middle + 1000, 12, Loss.EXACT, (2,))
            writer.write(TagBatch(times[:cut], channels[:cut], 0, middle))
            writer.write(TagBatch(times[cut:], channels[cut:], middle, 10**12, gaps=(gap,)))
            writer.write(TagBatch(times[:10], channels[:10], 0, middle, epoch=1))
    epoch = np.repeat(np.array([0, 1], np.uint32), [RECORDS, 10])
    np.savez(
        folder / "own.npz",
        time_ps=np.concatenate((times, times[:10])),
        channel=np.concatenate((channels, channels[:10])),
        epoch=epoch,
    )
