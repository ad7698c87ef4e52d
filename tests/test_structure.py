"""The source tree: names of files are unique, and no files import each other in a circle."""

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "qhal": ROOT / "qhal",
    "qhal_drivers": ROOT / "drivers" / "qhal_drivers",
    "qhal_simulators": ROOT / "simulators" / "qhal_simulators",
}


def modules(package: str) -> dict[str, Path]:
    folder = PACKAGES[package]
    names = {}
    for path in folder.rglob("*.py"):
        parts = (package, *path.relative_to(folder).with_suffix("").parts)
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules that a file imports anywhere, for types only and within functions, too."""
    targets = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            targets |= {name if name in known else node.module for name in names}
    return targets & set(known)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_files_import_each_other_in_a_circle(package):
    known = modules(package)
    # A package's own file only names what is in the package, and is imported with any file of it.
    files = {name: path for name, path in known.items() if path.name != "__init__.py"}
    try:
        TopologicalSorter({name: imports(path, files) for name, path in files.items()}).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' -> '.join(error.args[1])}")


def test_a_file_is_known_by_its_name():
    """In the library no two files have the same name; a command's file is named as the command."""
    folders = defaultdict(list)
    for name, path in modules("qhal").items():
        if path.name not in ("__init__.py", "__main__.py") and not name.startswith("qhal.cli."):
            folders[path.name].append(str(path.parent.relative_to(ROOT)))
    assert not {name: where for name, where in folders.items() if len(where) > 1}


def test_a_simulators_file_is_known_by_its_name():
    """No two files of the simulators have the same name, and none that of a file of the library or of a driver.

    A model's simulator alone is named as its driver: vendor and model.
    """
    files = modules("qhal_simulators")
    names = [path.name for path in files.values() if path.name != "__init__.py"]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
    assert not set(names) & _file_names("qhal")
    models = {
        path.name
        for name, path in modules("qhal_drivers").items()
        if name.replace("qhal_drivers", "qhal_simulators.instruments", 1) in files
    }
    assert set(names) & _file_names("qhal_drivers") == models - {"__init__.py"}


def _file_names(package: str) -> set[str]:
    return {path.name for path in modules(package).values() if path.name != "__init__.py"}


def _large_classes(package: str) -> dict[tuple[str, str], int]:
    """Return the number of fields of each dataclass and NamedTuple with more than four, by module and name."""
    large = {}
    for module, path in modules(package).items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                marks = [ast.unparse(mark) for mark in (*node.decorator_list, *node.bases)]
                fields = sum(
                    isinstance(each, ast.AnnAssign) and "ClassVar" not in ast.unparse(each.annotation)
                    for each in node.body
                )
                if fields > 4 and any("dataclass" in mark or "NamedTuple" in mark for mark in marks):
                    large[module, node.name] = fields
    return large


def _built_by_position(path: Path, module: str, large: dict[tuple[str, str], int]) -> list[str]:
    tree, names = ast.parse(path.read_text()), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            names[node.name] = (module, node.name)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return [
        f"{path.relative_to(ROOT)}:{call.lineno} {call.func.id}"
        for call in calls
        if _is_large(names.get(call.func.id), large)
        and (len(call.args) > 4 or any(isinstance(argument, ast.Starred) for argument in call.args))
    ]


def _is_large(name: tuple[str, str] | None, large: dict[tuple[str, str], int]) -> bool:
    """Return whether a name is one of the classes, or a package's name for one of a module in it."""
    return name is not None and (
        name in large or any(own == name[1] and module.startswith(f"{name[0]}.") for module, own in large)
    )


def test_nothing_large_is_built_by_position():
    """More than four fields are not told apart by their order."""
    large = {name: fields for package in PACKAGES for name, fields in _large_classes(package).items()}
    assert len(large) > 50
    found = [
        call
        for package in PACKAGES
        for module, path in modules(package).items()
        for call in _built_by_position(path, module, large)
    ]
    assert not found, "\n".join(found)
