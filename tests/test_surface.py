"""The public names of each package: complete, documented, and importable without loading the package's modules."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INTERNAL = {
    "qhal.calibration": None,  # its framework is in folders; calibrations are loaded by name
    "qhal.devices": {
        "described",
        "guarded",
        "hooks",
        "known_unit",
        "safety",
        "same_settings",
        "session",
        "shown",
    },
    "qhal.link": {"symbol_kernels"},
    "qhal.node": {"guard", "guard_lock", "guard_process", "guard_report", "node_records"},
    "qhal.records": {"columns", "migrations", "seal"},
    "qhal.transport": {
        "forking", "recording", "replies", "schemes", "serial", "tapped", "tcp", "users", "visa", "zeromq",
    },
    "qhal.tags": {"ahead", "arrow", "backlog", "closing", "numbering", "pump", "sequence"},
}  # fmt: skip
"""By package, its modules whose names are not public; None: only what is listed is."""
HELPERS = {
    # for drivers and interfaces
    "qhal.devices.interface": {
        "check_channel", "check_choice", "check_counts", "check_flag", "check_range", "check_read", "check_row",
        "is_port", "now",
    },
    "qhal.devices.scpi_device": {"choice", "command", "number", "query", "scpi_proof", "whole_number"},
    "qhal.devices.status": {"required"},
    # between the files of a package
    "qhal.transport.base": {"left_s", "lost"},
    "qhal.transport.forking": {"forget_in_forked"},
    "qhal.transport.open": {"serves"},
    "qhal.transport.proof": {"align", "prove", "refuse_more", "wait_out_late_reply"},
    "qhal.records.fit_record": {"triangle"},
    "qhal.records.origin": {"origin_text"},
    "qhal.records.quantity": {"Part", "contributions_of", "number_of"},
    "qhal.records.record": {"utc_text"},
    "qhal.records.uncertain": {"ErrorSource", "source_of"},
}  # fmt: skip
"""By module, functions and classes that are not public."""


def defined(path: Path) -> set[str]:
    """Return the classes and functions of a module, less those with an underscore."""
    body = ast.parse(path.read_text()).body
    kinds = (ast.ClassDef, ast.FunctionDef)
    return {node.name for node in body if isinstance(node, kinds) and not node.name.startswith("_")}


@pytest.mark.parametrize("package", INTERNAL)
def test_every_name_is_public_or_said_not_to_be(package):
    internal = INTERNAL[package]
    if internal is None:
        return
    public = set(import_module(package).__all__)
    for path in (ROOT / package.replace(".", "/")).glob("*.py"):
        module = f"{package}.{path.stem}"
        if path.stem == "__init__" or path.stem in internal:
            continue
        helpers = HELPERS.get(module, set())
        assert helpers <= defined(path), module
        assert defined(path) - helpers <= public, f"{module}: in neither __all__ nor HELPERS"
        assert not helpers & public


@pytest.mark.parametrize("package", ["qhal", *INTERNAL])
def test_every_public_name_exists_and_has_a_docstring(package):
    module = import_module(package)
    assert module.__doc__
    assert dir(module) == sorted(module.__all__)
    for name in module.__all__:
        value = getattr(module, name)
        if callable(value):
            assert value.__doc__, f"{package}.{name}"
            assert "__module__" not in vars(value) or value.__module__.startswith("qhal"), name
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'absent'"):
        _ = module.absent


def test_importing_the_packages_loads_none_of_their_modules():
    script = f"import sys; import {', '.join(INTERNAL)}; print(*sorted(m for m in sys.modules if m.startswith('qhal')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"qhal", "qhal.errors", "qhal.late", *INTERNAL}


def test_the_documentation_uses_public_names():
    """And helpers of drivers; but for what a new calibration in the tree needs of the others."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.py")]
    used = {
        (page.name, package, name.strip(" ,()\n"))
        for page in pages
        for package, names in re.findall(
            r"^from (qhal[\w.]*) import (\([^)]*\)|.*)$", page.read_text(), re.MULTILINE
        )
        for name in names.split(",")
        if not package.startswith("qhal.calibration.")
    }
    assert len(used) > 20
    for page, package, name in used:
        module = import_module(package)
        of_surface = package.rpartition(".")[0] in INTERNAL
        public = HELPERS.get(package, set()) if of_surface else getattr(module, "__all__", dir(module))
        assert not name or name in public, f"{page}: from {package} import {name}"
