"""ptufile, tttrlib and phconvert on PTU files of all twelve record types; DuckDB, polars, pandas on our own files."""

import json
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas
import polars
import ptufile
import pyarrow as pa
import tttrlib
from phconvert import pqreader

SYNC, MARKER = 0, 200


def by_ptufile(path, name):
    with ptufile.PtuFile(path) as file:
        records = file.decode_records()
    marker = records["marker"].astype(int)
    photon = records["channel"] >= 0
    kept = photon | (marker > 0)  # the others are overflows
    first = 0 if name.startswith("PicoHarp-300-T2") else 1
    channel = np.where(photon, records["channel"].astype(int) + first, MARKER + marker)
    dtime = np.where(photon, records["dtime"], 0) if "dtime" in records.dtype.names else None
    return records["time"][kept], channel[kept], None if dtime is None else dtime[kept]


def by_tttrlib(path, name):
    found = tttrlib.TTTR(str(path), "PTU")
    routing, kind = np.array(found.routing_channels, int), np.array(found.event_types, int)
    delay = np.array(found.micro_times, int)
    if name.startswith("PicoHarp-300-T3"):
        channel = np.where(routing == 15, MARKER + delay, routing)
        delay = np.where(routing == 15, 0, delay)
    else:
        first = 0 if name.startswith("PicoHarp-300-T2") else 1
        special = np.where(routing == 0, SYNC, MARKER + routing)
        channel = np.where(kind == 1, special, routing + first)
    return np.array(found.macro_times), channel, delay if "T3" in name else None


def by_phconvert(path, name):
    if name == "PicoHarp-300-T3":
        return None  # phconvert 0.10 fails on markers here
    times, detectors, delays, _, _ = pqreader.load_ptu(str(path))
    detectors = np.array(detectors, int)
    if name.startswith("PicoHarp"):
        channel = np.where(detectors == 16, MARKER, detectors)  # it does not tell one marker from another
    else:
        channel = np.where(
            detectors == 64, SYNC, np.where(detectors > 64, MARKER + detectors - 64, detectors + 1)
        )
    if delays is not None:
        delays = np.where(detectors > 64, 0, delays)
    return times, channel, delays


def compare_ptu(folder):
    for path in sorted(folder.glob("*.ptu")):
        ours = np.load(path.with_suffix(".npz"))
        for read in (by_ptufile, by_tttrlib, by_phconvert):
            where = f"{read.__name__} on {path.stem}"
            found = read(path, path.stem)
            if found is None:
                continue
            ticks, channel, dtime = found
            mine = ours["channels"].astype(int)
            if read is by_ptufile and "T2" in path.stem and "PicoHarp" not in path.stem:
                mine = np.where(mine == SYNC, 1, mine)  # it numbers sync like the first input
            if read is by_phconvert and "PicoHarp" in path.stem:
                mine = np.minimum(mine, MARKER)
            assert len(ticks) == len(mine), f"{where}: {len(ticks)} records, qhal has {len(mine)}"
            assert (channel == mine).all(), (
                f"{where}: channels differ at {np.flatnonzero(channel != mine)[:5]}"
            )
            low = 15 if path.stem == "PicoHarp-300-T2" else 0  # they leave the marker's bits in its time
            theirs = np.where(mine >= MARKER, ticks.astype(int) & ~low, ticks.astype(int))
            assert (theirs == ours["ticks"]).all(), f"{where}: times differ"
            if dtime is not None:
                assert (dtime == ours["dtimes"]).all(), f"{where}: delays differ"
            print(f"{where}: {len(mine)} records agree")


def compare_own(folder):
    expected = dict(np.load(folder / "own.npz"))
    parquet, arrow = folder / "own.parquet", folder / "own.arrows"
    with pa.ipc.open_stream(arrow) as stream:
        arrow_table = stream.read_all()
    tables = {
        "DuckDB": duckdb.sql(f"select * from '{parquet}'").fetchnumpy(),
        "DuckDB on Arrow": duckdb.sql("select * from arrow_table").fetchnumpy(),
        "polars": polars.read_parquet(parquet).to_dict(),
        "polars on Arrow": polars.read_ipc_stream(arrow).to_dict(),
        "pandas": pandas.read_parquet(parquet),
        "pandas on Arrow": arrow_table.to_pandas(),
    }
    for reader, table in tables.items():
        assert list(table) == ["time_ps", "channel", "epoch"], reader
        for name, column in expected.items():
            assert (np.asarray(table[name]) == column).all(), f"{reader}: {name} differs"
        print(f"{reader}: agrees")
    footer = dict(duckdb.sql(f"select key, value from parquet_kv_metadata('{parquet}')").fetchall())
    batches = json.loads(footer[b"qhal.batches"])
    assert [each["epoch"] for each in batches] == [0, 0, 1]
    assert batches[1]["gaps"][0]["missed"] == 12


if __name__ == "__main__":
    compare_ptu(Path(sys.argv[1]))
    compare_own(Path(sys.argv[1]))
