"""Anything written to any format: a typed refusal, or a file that is read back with what the writer reported."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from qhal.errors import ConfigurationError, DataError
from qhal.tags.batch import Gap, Loss, TagBatch
from qhal.tags.codecs.picoquant import LAYOUTS
from qhal.tags.formats import FORMATS, TagWriter, open_tags
from qhal.tags.numbering import ALL

WRITABLE = [name for name, form in FORMATS.items() if form.encoder or form.decoder is None]
EDGES = [0, 1, 2000, 2**28, 2**37, 10**12, 2**53, 2**62, 2**63 - 3, 2**63 - 2, -1, -(2**40), -(2**63)]
UNITS = [
    "1",
    "4",
    "1/3",
    "80.9553",
    "12500",
    "1000003/7",
    "80.95531234567",
    "10000",
    "10001",
    "0.0001",
    "1e3",
]
ROUNDS = 60


def options_of(name, rng):
    pick = rng.choice
    return {
        "ptu": lambda: {
            "record_type": str(pick([layout.name for layout in LAYOUTS.values()])),
            "resolution_ps": str(pick(UNITS)),
            "sync_period_ps": str(pick([*UNITS, str(10**12), str(10**13)])),
        },
        "qutag-raw": lambda: {
            "unit_ps": str(pick(UNITS)),
            "first_channel": int(rng.integers(0, 101)),
            "first_marker": int(pick([8, 20, 100, 101, 30_000])),
        },
        "idq-bin": lambda: {"channel": int(rng.integers(1, 4))},
        "swabian-dump": lambda: {"types": [int(n) for n in pick([0, 1, 2, 3, 4, 5, 255, 256, -1], 5)]},
        "tdc2": lambda: {"swapped": bool(rng.integers(2))},
    }.get(name, dict)() if rng.random() < 0.7 else {}  # fmt: skip


def times_of(rng, start, count):
    """Return ascending times, several of them equal or within one step."""
    step = int(rng.choice([1, 100, 3000, 10**6]))
    times = [min(start + int(each), 2**63 - 2) for each in np.sort(rng.integers(0, step, count))]
    return np.array(times, np.int64)


def gaps_of(rng, start, stop):
    for _ in range(int(rng.integers(0, 3))):
        begins, ends = sorted(int(each) for each in rng.integers(start, stop, 2, endpoint=True))
        if rng.random() < 0.05:
            begins, ends = ends, begins
        channels = tuple(int(each) for each in rng.integers(1, 5, rng.integers(0, 3)))
        missed = int(rng.choice([0, 0, 7, 65535, 200_000, 2**40, -1]))
        yield Gap(begins, ends, missed, Loss(str(rng.choice([*Loss]))), channels)


def batches_of(name, rng):
    """Return batches that are mostly good, some of them at the edges of what can be or beyond."""
    position, epoch = int(rng.choice(EDGES)) if rng.random() < 0.5 else 0, 0
    usual = (1, 2, 3, 4) if name != "idq-bin" else (1,)
    for _ in range(int(rng.integers(1, 4))):
        times = times_of(rng, position, int(rng.integers(0, 12)))
        channels = rng.choice(usual if rng.random() < 0.8 else sorted(ALL), len(times)).astype(np.uint8)
        stop = max(position, int(times[-1]) + 1 if len(times) else position)
        gaps = tuple(gaps_of(rng, position, stop)) if rng.random() < 0.4 else ()
        number = [int, np.int64][int(rng.integers(2))]
        fields = [number(position), number(stop), number(epoch)]
        if rng.random() < 0.05:
            fields[int(rng.integers(3))] = [2**63, -(2**63) - 1, 2**32, -1, 1.5, "1", None, True][
                int(rng.integers(8))
            ]
        yield TagBatch(times, channels, *fields, gaps)
        if rng.random() < 0.2:
            epoch, position = epoch + 1, 0
        elif rng.random() < 0.1:
            position = max(position - 10, -(2**63))
        else:
            position = min(stop + int(rng.integers(0, 3)) * 10**6, 2**63 - 2)


def by_channel(batches):
    found = defaultdict(list)
    for batch in batches:
        for channel in np.unique(batch.channels).tolist():
            found[batch.epoch, channel].extend(batch.times_ps[batch.channels == channel].tolist())
    return found


def missed_of(batches):
    found = Counter()
    for batch in batches:
        for gap in batch.gaps:
            if gap.missed:
                found[gap.channels, gap.loss] += gap.missed
    return found


@pytest.mark.parametrize("name", WRITABLE)
def test_anything_written_is_refused_or_read_again(name, attacks, tmp_path):
    written = 0
    for seed in range(max(ROUNDS, attacks(5000))):
        rng = np.random.default_rng((seed, *name.encode()))
        options, batches = options_of(name, rng), list(batches_of(name, rng))
        path = tmp_path / "tags"
        try:
            with TagWriter(path, name, options) as writer:
                for batch in batches:
                    writer.write(batch)
        except (DataError, ConfigurationError):
            assert list(tmp_path.iterdir()) == []
            continue
        except BaseException as error:
            error.add_note(f"seed {seed}, options {options}, {batches}")
            raise
        written += 1
        try:
            check(path, name, options, batches, writer)
        except BaseException as error:
            error.add_note(f"seed {seed}, options {options}, {batches}")
            raise
        path.unlink()
    assert written >= ROUNDS // 10


def check(path, name, options, batches, writer):
    with open_tags(path, name, {} if name == "ptu" else options) as file:
        found = list(file)
    if name in ("arrow", "parquet"):
        assert [each.description() for each in found] == [each.description() for each in batches]
    mine, theirs = by_channel(batches), by_channel(found)
    assert mine.keys() == theirs.keys()
    for channel, times in mine.items():
        lost = np.array(times) - np.array(sorted(theirs[channel]))
        assert 0 <= lost.min() <= lost.max() <= writer.rounded_ps
    lossy = [each for each in batches for gap in each.gaps if gap.loss != Loss.PAUSED]
    if name == "swabian-dump":
        assert missed_of(found) == missed_of(batches)
        assert all(each.live_time_s(1) <= sum(map(TagBatch.live_time_s, found)) + 1e-3 for each in lossy)
    elif name not in ("arrow", "parquet"):
        assert not lossy
    paused = sum(
        gap.stop_ps - gap.start_ps for each in batches for gap in each.gaps if gap.loss == Loss.PAUSED
    )
    assert writer.paused_ps == (0 if name in ("arrow", "parquet") else paused)
