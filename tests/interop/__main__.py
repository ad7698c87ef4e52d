"""Other people's clients against our simulators: ``make interop``.

Each client is a script in an environment of its own (``.venv-interop``, ``.venv-tm``), because their
dependencies do not go together with ours; it gets the simulator's addresses as JSON and fails loudly. Readers of
tag files (``.venv-tags``) get a folder of files and what qhal found in them, readers of calibration records
(``.venv-records``) a record and what qhal wrote.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from qhal.records.store import RecordStore
from tests.interop.tag_files import write_all
from tests.records.test_records import record as example_record

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "tests" / "interop" / "clients"
TIME_LIMIT_S = 120

CASES = (
    # environment, client script, instrument, simulator options
    (".venv-interop", "qmi_dd100.py", "ozoptics.dd100", ("move_time_s=0.05", "home_time_s=0.1")),
    (".venv-interop", "qmi_mpc320.py", "thorlabs.mpc320", ()),
    (".venv-interop", "qmi_awg5014.py", "tektronix.awg5014", ()),
    (".venv-interop", "pytla_ppcl550.py", "purephotonics.ppcl550", ("tune_time_s=0.2",)),
    (".venv-interop", "apt_oracle_mpc320.py", "thorlabs.mpc320", ()),
    (".venv-tm", "tm_devices_awg5014.py", "tektronix.awg5014", ()),
)


def main() -> int:
    failed = 0
    for environment, client, instrument, options in CASES:
        started = time.monotonic()
        output = run(environment, client, instrument, options)
        verdict = "ok" if output is None else "FAILED"
        failed += output is not None
        print(f"{verdict:7}{client} against {instrument} ({time.monotonic() - started:.1f} s)", flush=True)
        if output is not None:
            print(output, flush=True)
    for client, what, read in (
        ("tag_readers.py", "files of tags", read_tag_files),
        ("record_readers.py", "a calibration record", read_record_file),
    ):
        started = time.monotonic()
        output = read()
        failed += output is not None
        verdict = "ok" if output is None else "FAILED"
        print(f"{verdict:7}{client} on {what} ({time.monotonic() - started:.1f} s)", flush=True)
        if output is not None:
            print(output, flush=True)
    print(f"{len(CASES) + 2 - failed} of {len(CASES) + 2} independent clients are satisfied")
    return 1 if failed else 0


def read_tag_files() -> str | None:
    """Return None when other people's readers find in files of tags what qhal finds, what they printed otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        write_all(Path(folder))
        python = ROOT / ".venv-tags" / "bin" / "python"
        command = [python, CLIENTS / "tag_readers.py", folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_S)
    return None if done.returncode == 0 else done.stdout[-3000:] + done.stderr[-5000:]


def read_record_file() -> str | None:
    """Return None when h5py and xarray find in a record what qhal wrote, what they printed otherwise."""
    record = example_record()
    expected = {
        "serial_number": record.instruments[0].serial_number,
        "names": [q.name for q in record.quantities],
        "units": [q.unit for q in record.quantities],
        "values": [q.value for q in record.quantities],
        "uncertainties": [q.uncertainty for q in record.quantities],
        "tables": {
            name: {
                column: {"values": values.tolist(), "unit": table.units.get(column, "")}
                for column, values in table.columns.items()
            }
            for name, table in record.tables.items()
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        path = RecordStore(folder).save(record)
        python = ROOT / ".venv-records" / "bin" / "python"
        command = [python, CLIENTS / "record_readers.py", path, json.dumps(expected)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_S)
    return None if done.returncode == 0 else done.stdout[-3000:] + done.stderr[-5000:]


def run(environment: str, client: str, instrument: str, options: tuple[str, ...]) -> str | None:
    """Return None when the client is satisfied, what it printed otherwise."""
    command = [sys.executable, "-m", "qhal", "simulate", instrument, "--port-base", "0"]
    for option in options:
        command += ["--option", option]
    simulator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert simulator.stdout is not None
    try:
        unit = json.loads(simulator.stdout.readline())
        python = ROOT / environment / "bin" / "python"
        with tempfile.TemporaryDirectory() as folder:  # some clients leave logs where they run
            done = subprocess.run(
                [python, CLIENTS / client, json.dumps(unit)],
                capture_output=True,
                text=True,
                timeout=TIME_LIMIT_S,
                cwd=folder,
            )
        return None if done.returncode == 0 else done.stdout[-3000:] + done.stderr[-5000:]
    except subprocess.TimeoutExpired as error:
        return f"no end after {TIME_LIMIT_S} s: {error.stdout!r} {error.stderr!r}"
    finally:
        simulator.terminate()
        simulator.wait(20)
        simulator.stdout.close()


if __name__ == "__main__":
    sys.exit(main())
