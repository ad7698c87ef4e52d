"""Every option and argument of every command, with values that no user means: a line and an exit code."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import qhal.cli.demo
import qhal_simulators.run
from qhal.cli import output
from qhal.cli.app import COMMANDS, _load, run

DIGITS, NESTED = "9" * 5000, "[" * 5000
ODD = (
    *("", " ", "=", "a=", "=b", "nan", "inf", "-inf", "1e400", "1e" + DIGITS, "-1", DIGITS, NESTED, "{a=" * 2000),
    *("\0", "\x1b[31m", "\udcff", "é", "a\nb", "1\nx = 2", "x" * 5000, "/dev/zero", "/dev/full", ".", ".."),
    *("[bold]", "[/]"),
    *("1_0", "٣", "0x10", "18446744073709551616", "9223372036854775808", "-0.0", "1e-320", "1970-01-01", "true"),
    *("{}", "[]", "[nan]", "[[1]]", "nodir/x", "a/../b", "--", "-", "~", "%s", "{0}", '"""', "#"),
)  # fmt: skip
values = st.sampled_from(ODD) | st.text(max_size=20)
keys = (
    "homed",
    "seed",
    "move_time_s",
    "awg.x",
    "period_s",
    "valid_days",
    "detectors",
    "map",
    "skip",
    "disorder_ps",
)
pairs = st.tuples(st.sampled_from(keys), values).map("=".join)

NODE = """
[node]
name = "n"
guard = false
[devices.detectors]
driver = "singlequantum.websq"
address = "tcp://127.0.0.1:9"
connections = {counts = "tcp://127.0.0.1:9"}
"""

REQUESTS = {
    "demo": ((),),
    "drivers": ((),),
    "simulate": (("ozoptics.dd100",), ("detector-bench",)),
    "udev": ((),),
    "check": (("node.toml",),),
    "status": (("node.toml",),),
    "test": (("node.toml",),),
    "calibrate": (("dark-counts", "node.toml"), ("list",)),
    "records list": ((),),
    "records show": (("x",),),
    "records plot": (("x",),),
    "records compare": (("x", "y"),),
    "tags info": (("a.bin", "-f", "idq-bin"),),
    "tags convert": (("a.bin", "b.arrows", "-f", "idq-bin"),),
    "tags plot": (("a.bin", "b.png", "-f", "idq-bin"),),
}
"""Requests without fault, as far as one process without devices can carry them out; by command."""


def places():
    """Return all options that take a value, and arguments: command, words before, option ("" for an argument)."""
    found = []
    for name in COMMANDS:
        command = _load(name)
        for path, each in [(f"{name} {sub}", c) for sub, c in getattr(command, "commands", {}).items()] or [
            (name, command)
        ]:
            options = [
                max(p.opts, key=len)
                for p in each.params
                if p.param_type_name == "option" and not p.is_flag and p.name != "help"
            ]
            for words in REQUESTS[path]:
                found += [(path, words, option) for option in options]
                found += [(path, words[:n], "") for n in range(min(len(words) + 1, 2))]
    return found


PLACES = places()


def call(arguments):
    """Run a command in this process; return exit code, standard output and errors."""
    out, err = io.StringIO(), io.StringIO()
    output.CONSOLE.stderr = False
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["qhal", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
    return ended.value.code, out.getvalue(), err.getvalue()


@pytest.fixture
def nothing_starts(tmp_path, monkeypatch):
    """Leave out what serves, measures for minutes or draws, and run in a folder of its own."""

    async def serve(*arguments):
        pass

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(qhal_simulators.run, "_serve", serve)
    monkeypatch.setattr(qhal.cli.demo, "run_demo", lambda *arguments: True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "node.toml").write_text(NODE)
    (tmp_path / "a.bin").write_bytes(bytes(16))


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.timeout(300)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(place=st.sampled_from(PLACES), value=values | pairs)
def test_an_odd_value_is_refused_in_one_line(nothing_starts, as_json, place, value):
    command, words, option = place
    given = [f"{option}={value}"] if option else [value]
    flag = ["--json"] if as_json and command != "simulate" else []
    code, shown, errors = call([*command.split(), *flag, *words, *given])
    assert code in (0, 1, 2), errors
    assert len(errors) < 2000
    if code == 2:
        lines = [line for line in errors.splitlines() if line and not line.startswith(("Usage:", "Try "))]
        assert len(lines) == 1, lines
        # A folder without it, an option of the format, a channel that the file lacks.
        named = (option, "no record 'x'", "format ", "has no channel")
        assert any(words in lines[0] for words in named), lines
        assert set(json.loads(shown)) == {"error"} if flag else not shown
