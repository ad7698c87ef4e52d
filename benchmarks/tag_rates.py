"""Rates of the tag kernels beside numpy and other people's libraries, printed as one JSON outcome a line.

Two channels at 5 Mcps each, a fifth of them correlated with 50 ps jitter; PTU files of the same rate from the page
cache; BB84 clicks at 10 Mcps of a 1.25 GHz sender. Peers get their data in the shape they like best, outside the time.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars
import ptufile
import pycorrelate
import tttrlib
from pytimetag.analysers import HistogramAnalyser

from benchmarks.runner import Outcome, compare
from qhal.link.pattern import SymbolPattern
from qhal.link.sifting import Sifter, StraightClock
from qhal.tags.analysis.correlation import CrossCorrelation, PairCounter, StartStop
from qhal.tags.batch import TagBatch
from qhal.tags.codecs import decoding_kernels
from qhal.tags.codecs.idq import IdqDecoder
from qhal.tags.codecs.picoquant import LAYOUTS, decode_words, encode_words
from qhal.tags.codecs.ptu_header import PtuHeader, build_header
from qhal.tags.codecs.sfifteen import TDC2
from qhal.tags.codecs.units import MAX_PS
from qhal.tags.formats import TagWriter

TAGS = 4_000_000
LOW_PS, HIGH_PS = 500, 1500
BIN_PS, BINS = 100, 1000
ROUNDS = 9


def poisson(count: int, rate_hz: float, seed: int) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).exponential(1e12 / rate_hz, count)).astype(np.int64)


def two_channels() -> tuple[np.ndarray, np.ndarray, TagBatch]:
    a = poisson(TAGS // 2, 5e6, 2)
    rng = np.random.default_rng(3)
    chosen = a[rng.random(len(a)) < 0.2]
    echoes = chosen + 1000 + rng.normal(0, 50, len(chosen)).astype(np.int64)
    b = np.sort(np.concatenate((echoes, poisson(TAGS // 2 - len(chosen), 4e6, 5))))
    times = np.concatenate((a, b))
    order = np.argsort(times, kind="stable")
    channels = np.repeat(np.array([1, 2], np.uint8), (len(a), len(b)))[order]
    return a, b, TagBatch(times[order], channels, 0, int(times.max()) + 1)


def faster(name: str, ours, theirs, bound: float, *, count: int = TAGS, rounds: int = ROUNDS) -> Outcome:
    """Return how many times as fast ours is."""
    outcome = compare(name, theirs, ours, bound, wanted="at least", rounds=rounds)
    best_s = float(outcome.detail.split()[3]) * 1e-3
    return Outcome(name, "at least", bound, outcome.ratios, f"{count / best_s / 1e6:.0f} Mtags/s")


def decoding() -> Iterator[Outcome]:
    rng = np.random.default_rng(2)
    count = 6_000_000
    ticks = np.sort(rng.integers(0, 1 << 50, count)).astype(np.uint64)
    words = (
        ticks << np.uint64(10)
        | np.uint64(0x300)
        | np.uint64(1) << rng.integers(0, 4, count).astype(np.uint64)
    )
    times, channels = np.empty(count + 4096, np.int64), np.empty(count + 4096, np.uint8)
    moved = np.ones(count * 17 // 16)
    target = np.empty_like(moved)

    def ours() -> None:
        decoding_kernels.decode_patterns(
            words, 0, 0, 0, 0, 10, 54, 125, 5, np.uint64(16), np.uint64(0x300), 1_000_000_000, MAX_PS, times, channels,
            0,
        )  # fmt: skip

    def copy() -> None:  # reads and writes together as many bytes as the decoder
        np.copyto(target, moved)

    yield faster("64-bit decode / numpy copy of as many bytes", ours, copy, 0.8, count=count)


def picoquant(folder: Path) -> Iterator[Outcome]:
    for code, name in ((0x01010204, "T2"), (0x01010304, "T3")):
        layout = LAYOUTS[code]
        rng = np.random.default_rng(code)
        times = poisson(TAGS, 5e6, 1)
        channels = rng.integers(1, 5, TAGS).astype(np.uint8)
        ticks = times // 100_000 if layout.is_t3 else times
        dtimes = (times % 100_000 // 4).astype(np.uint16)
        words, _ = encode_words(ticks, channels, dtimes, layout)
        header, count_at = build_header(layout, Fraction(100_000 if layout.is_t3 else 1), Fraction(4))
        header = header[:count_at] + np.int64(len(words)).tobytes() + header[count_at + 8 :]
        path = folder / f"{name}.ptu"
        path.write_bytes(header + words.tobytes())

        def ours(path=path):
            with path.open("rb") as file:
                found = PtuHeader.parse(file.read(1 << 16))
            raw = np.memmap(path, "<u4", "r", offset=found.length)
            return decode_words(raw, found.layout)

        def by_ptufile(path=path):
            with ptufile.PtuFile(path) as file:
                return file.decode_records()

        def by_tttrlib(path=path):
            return tttrlib.TTTR(str(path), "PTU")

        mine, theirs, others = ours(), by_ptufile(), by_tttrlib()
        photons = theirs["channel"] >= 0
        assert (mine.ticks == theirs["time"][photons]).all()
        assert (mine.channels == theirs["channel"][photons] + 1).all()
        assert (mine.ticks == np.array(others.macro_times)).all()
        yield faster(f"{name} decode / ptufile", ours, by_ptufile, 2, count=len(words))
        yield faster(f"{name} decode / tttrlib", ours, by_tttrlib, 6, count=len(words), rounds=5)


def pairs() -> Iterator[Outcome]:
    a, b, batch = two_channels()
    left = polars.DataFrame({"t": a + 1000}).set_sorted("t")
    right = polars.DataFrame({"t": b, "u": b}).set_sorted("t")

    def ours() -> int:
        counter = PairCounter(1, 2, LOW_PS, HIGH_PS)
        counter.add(batch)
        return counter.pairs

    def by_searchsorted() -> int:
        low, high = np.searchsorted(b, a + LOW_PS), np.searchsorted(b, a + HIGH_PS, side="right")
        return int((high - low).sum())

    def by_polars() -> int:
        joined = left.join_asof(right, on="t", strategy="nearest", tolerance=500)
        return joined.height - joined["u"].null_count()

    assert ours() == by_searchsorted()
    yield faster("exact coincidences / numpy searchsorted", ours, by_searchsorted, 6)
    yield faster("exact coincidences / polars join_asof (nearest only)", ours, by_polars, 1.8)


def histograms() -> Iterator[Outcome]:
    a, b, batch = two_channels()
    edges = np.arange(-BINS // 2, BINS // 2 + 1) * BIN_PS

    def ours() -> np.ndarray:
        found = CrossCorrelation(1, 2, BIN_PS, BINS)
        found.add(batch)
        return found.histogram

    def by_pycorrelate() -> np.ndarray:
        return pycorrelate.pcorrelate(a, b, edges)

    def by_pytimetag() -> np.ndarray:
        return HistogramAnalyser.analysisOneListJIT(a, b, float(edges[0]), float(edges[-1]), BINS, 1)

    def start_stop() -> np.ndarray:
        found = StartStop(1, (2,), BIN_PS, BINS)
        found.add(batch)
        return found.histogram[0]

    def start_stop_numpy() -> np.ndarray:
        start = np.searchsorted(a, b, side="right") - 1
        lag = b - a[np.maximum(start, 0)]
        lag = lag[(start >= 0) & (lag < BINS * BIN_PS)] // BIN_PS
        return np.bincount(lag, minlength=BINS)

    # Lags on an edge belong to the bin they begin; PyTimeTag counts the last edge, too.
    assert abs(int(by_pytimetag().sum()) - int(ours().sum())) <= np.sum(ours()) * 1e-3
    assert (start_stop() == start_stop_numpy()).all()
    yield faster("g2 in linear bins / pycorrelate", ours, by_pycorrelate, 100, rounds=1)
    yield faster("g2 in linear bins / PyTimeTag", ours, by_pytimetag, 1)
    yield faster("start-stop histogram / numpy", start_stop, start_stop_numpy, 3.5)


def sifting() -> Iterator[Outcome]:
    rng = np.random.default_rng(9)
    length, period_ps = 1 << 16, 800
    symbols = np.cumsum(rng.geometric(0.008, TAGS))
    intensity = rng.choice(np.array([0, 1, 2], np.uint8), length, p=[0.5, 0.25, 0.25])
    basis, bit = rng.integers(0, 2, (2, length)).astype(np.uint8)
    pattern = SymbolPattern(intensity, basis, bit, float(period_ps), (0.5, 0.1, 5e-4))
    detector = rng.integers(0, 4, TAGS)
    same = rng.random(TAGS) < 0.5
    detector[same] = pattern.states[symbols[same] % length]
    times = symbols * period_ps + 400 + rng.normal(0, 60, TAGS).astype(np.int64)
    words = (times * 32 // 125).astype(np.uint64) << np.uint64(10) | np.uint64(0x300)
    words |= np.uint64(1) << detector.astype(np.uint64)
    clock = StraightClock(0, 0, -0.5, 1 / period_ps)
    sifter = Sifter(pattern, 0)
    pass_length = -(-(int(symbols[-1]) + 1) // length) * length
    passes = 0

    def ours() -> None:
        nonlocal passes
        first = passes * pass_length
        here = StraightClock(0, first, -0.5, clock.rate)
        sifter.push_words(words, TDC2, here, range(first, first + pass_length), 400.0)
        passes += 1

    detector_of = np.zeros(16, np.uint8)
    detector_of[[1, 2, 4, 8]] = 0, 1, 2, 3

    def numpy_pipeline() -> tuple[int, int]:
        t = ((words >> np.uint64(10)).astype(np.int64) * 125) >> 5
        clicked = detector_of[(words & np.uint64(15)).astype(np.uint8)]
        symbol = t // period_ps
        phase = t - symbol * period_ps
        inside = (phase > 200) & (phase < 600)
        symbol, clicked = symbol[inside], clicked[inside]
        relation = pattern.states[symbol & (length - 1)] ^ clicked
        sifted = relation < 2
        return int(sifted.sum()), int((relation[sifted] & 1).sum())

    def full_numpy_pipeline() -> np.ndarray:
        """The same by intensity, over live symbols, with the click matrix: what our pass gives."""
        t = ((words >> np.uint64(10)).astype(np.int64) * 125) >> 5
        clicked = detector_of[(words & np.uint64(15)).astype(np.uint8)]
        symbol = t // period_ps
        inside = np.abs(t - symbol * period_ps - 400) < 200
        place = symbol & (length - 1)
        code = pattern.intensity[place] + 4 * pattern.states[place]
        outcome = np.bincount((code * 4 + clicked)[inside], minlength=64)
        fresh = np.diff(symbol, prepend=-1) > 0
        dead = np.bincount(pattern.intensity[(symbol[fresh] + 1) & (length - 1)], minlength=3)
        return np.concatenate((outcome, dead))

    yield faster(
        "decode, gate, sift, QBER in one pass / numpy, gate and sift only", ours, numpy_pipeline, 2.5
    )
    sifter = Sifter(pattern, 0)
    passes = 0
    outcome = faster(
        "decode, gate, sift, QBER in one pass / numpy, the same figures", ours, full_numpy_pipeline, 3
    )
    yield outcome
    counts = sifter.counts()
    assert counts.errors.sum() / counts.sifted.sum() < 0.5
    rate = float(outcome.detail.split()[0])
    yield Outcome(
        "one pass, Mtags/s (a USB 3 tagger's full rate)", "at least", 90, {"best": rate}, outcome.detail
    )


def keeping(folder: Path) -> Iterator[Outcome]:
    raw = poisson(TAGS, 5e6, 4).astype("<u8").tobytes()
    chunk = 1 << 22

    def ours() -> None:
        decoder = IdqDecoder()
        with TagWriter(folder / "kept.parquet") as writer:
            for start in range(0, len(raw), chunk):
                writer.write(decoder.feed(raw[start : start + chunk]))
            writer.write(decoder.finish())

    outcome = compare("", ours, ours, 1, rounds=5)
    best = TAGS / float(outcome.detail.split()[0]) * 1e-3
    yield Outcome("parse and write to Parquet, Mtags/s", "at least", 10, {"best": best}, "2.8 bytes a tag")


def main() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for group in (decoding(), picoquant(folder), pairs(), histograms(), sifting(), keeping(folder)):
            for outcome in group:
                print(json.dumps(asdict(outcome)), flush=True)


if __name__ == "__main__":
    main()
