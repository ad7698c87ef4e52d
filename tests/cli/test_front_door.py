"""The first minute: what stands where in the help, how long it takes, and which extra a command needs."""

import ast
import os
import re
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import qhal
from qhal.cli.app import COMMANDS
from tests.cli.command import qhal as run

pytestmark = pytest.mark.timeout(300)  # processes of their own, on a machine that others use
ROOT = Path(__file__).parents[2]
OPTIONAL = ("h5py", "matplotlib", "numba", "pyarrow", "pytest", "scipy", "uncertainties", "xxhash")
PROVIDES = {
    "calibration": ("h5py", "numba", "scipy", "uncertainties"),
    "simulators": ("numba",),
    "tags": ("numba", "pyarrow", "xxhash"),
    "report": ("matplotlib",),
    "testing": ("pytest",),
}


def cpu_s(*command: str) -> float:
    """Return the CPU time of a command, the least of some runs (others use the machine, too)."""
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)


def test_help_takes_little_time():
    bare = cpu_s(sys.executable, "-c", "pass")
    assert cpu_s(sys.executable, "-m", "qhal", "--help") - bare <= 0.3
    script = "import sys; from qhal.cli import app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert not {"numpy", "pydantic", "numba", "rich", "serial"} & set(loaded.split())


def test_version_and_help():
    assert run("--version").stdout == f"qhal {qhal.__version__}\n"
    overview = run("-h").stdout
    assert overview == run("--help").stdout
    for name, command in COMMANDS.items():
        assert f"  {name} " in overview
        assert "..." not in next(line for line in overview.splitlines() if line.startswith(f"  {name} "))
        assert command.help.removesuffix(".") in " ".join(run(name, "-h").stdout.split()), name


def test_words_are_completed():
    def completed(*words: str) -> list[str]:
        asked = {
            "_QHAL_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
        }
        command = [sys.executable, "-m", "qhal"]
        return subprocess.run(command, env=os.environ | asked, capture_output=True, text=True).stdout.split()

    assert completed("qhal", "re") == ["records"]
    assert {"list", "show", "plot", "compare"} <= set(completed("qhal", "records", ""))
    assert "--json" in completed("qhal", "status", "--")


def without(modules: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as if modules were not installed."""
    script = (
        "import sys\n"
        "class Absent:\n"
        f"    def find_spec(self, name, path=None, target=None, absent={modules!r}):\n"
        "        if name.partition('.')[0] in absent:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        f"sys.argv = ['qhal', *{arguments!r}]\n"
        "from qhal.cli import main\n"
        "main()\n"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=250)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What the commands below read: a node with a record, and a file of tags."""
    folder = tmp_path_factory.mktemp("files")
    table = (
        '[node]\nname = "n"\n[devices.a]\ndriver = "ozoptics.dd100"\naddress = "serial:///dev/qhal-absent"\n'
    )
    (folder / "node.toml").write_text(table)
    (folder / "records.toml").write_text(table + '[[records]]\nfile = "a.h5"\n')
    (folder / "a.h5").touch()
    (folder / "a.bin").write_bytes(bytes(8))
    (folder / "a.arrows").touch()
    return folder


CASES = (
    ("demo",),
    ("simulate", "wuhan-metro-link"),
    ("status", "{folder}/records.toml"),
    ("test", "{folder}/node.toml"),
    ("calibrate", "list"),
    ("calibrate", "dark-counts", "{folder}/node.toml"),
    ("records", "list", "--folder", "{folder}"),
    ("records", "show", "x", "--folder", "{folder}"),
    ("records", "plot", "{folder}/a.h5"),
    ("records", "compare", "x", "y"),
    ("tags", "info", "{folder}/a.arrows"),
    ("tags", "convert", "{folder}/a.bin", "{folder}/b.arrows", "-f", "idq-bin"),
    ("tags", "plot", "{folder}/a.bin", "{folder}/b.png", "-f", "idq-bin"),
)


@pytest.mark.parametrize("arguments", CASES, ids=" ".join)
def test_a_missing_extra_is_told_in_one_line(arguments, files):
    words = tuple(word.format(folder=files) for word in arguments)
    done = without(OPTIONAL, *words)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    found = re.fullmatch(
        r"error: .+ needs (\w+): install qkd-hal with \[([a-z,]+)\] \(in a checkout: .*\)", line
    )
    assert found, line
    module, extras = found[1], found[2].split(",")
    assert module in {each for extra in extras for each in PROVIDES[extra]}
    # With these extras nothing is missing, but for pictures.
    there = {each for extra in (*extras, "report") for each in PROVIDES[extra]}
    if words[:2] in (
        ("calibrate", "list"),
        ("records", "show"),
        ("tags", "plot"),
    ):  # of the others one would do all
        again = without(tuple(set(OPTIONAL) - there), *words)
        assert "Traceback" not in again.stderr
        assert " needs " not in again.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("drivers",),
        ("udev",),
        ("check", "{folder}/node.toml"),
        ("status", "{folder}/node.toml"),
        ("tags", "info", "{folder}/a.bin", "-f", "idq-bin"),
    ],
    ids=" ".join,
)
def test_commands_that_need_no_extra(arguments, files):
    done = without(OPTIONAL, *(word.format(folder=files) for word in arguments))
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr
    assert " needs " not in done.stderr


def test_what_the_extras_provide_is_what_the_package_says():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, modules in PROVIDES.items():
        assert {re.match(r"[\w-]+", each)[0] for each in extras[extra]} == set(modules), extra
    assert {name for command in COMMANDS.values() for name in command.extras} <= set(extras)


def test_nothing_tells_to_install_the_foreign_project():
    paths = [ROOT / "README.md", ROOT / "Makefile", ROOT / "pyproject.toml"]
    for folder in ("qhal", "drivers", "simulators", "docs", "examples", "benchmarks", ".ci"):
        paths += [
            path
            for path in (ROOT / folder).rglob("*")
            if path.suffix in (".py", ".md", ".ipynb", ".toml", "")
        ]
    for path in filter(Path.is_file, paths):
        text = path.read_text()
        assert not re.search(r"(pip|uv|pipx)\b[^\n]*\binstall\b[^\n]*\bqhal\b", text), path
        assert not re.search(r"['\"]qhal\[", text), path


def test_the_version_has_one_place():
    tree = ast.parse((ROOT / "qhal" / "__init__.py").read_text())
    assert any(isinstance(node, ast.Assign) and node.targets[0].id == "__version__" for node in tree.body)
    assert "version" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"]
