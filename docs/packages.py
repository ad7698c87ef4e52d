"""The picture of the packages: `python docs/packages.py` draws docs/explanation/packages.svg from the imports.

An arrow stands for imports of one package by another. Imports that a chain of arrows implies have none of their own.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "explanation" / "packages.svg"
PACKAGES = ("qhal", "qhal_drivers", "qhal_simulators")
COMMON = "qhal, its own files"
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 150, 34, 26, 46, 16


def package(module: str) -> str:
    """Return the box of a module: its package, or that of the single files of qhal."""
    first, _, rest = module.partition(".")
    if first != "qhal":
        return first
    name = rest.partition(".")[0]
    return f"qhal.{name}" if name and (ROOT / "qhal" / name).is_dir() else COMMON


def imports() -> set[tuple[str, str]]:
    """Return pairs of packages, the importing one first."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    pairs = {
        (package(module), package(imported))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    }
    # What starts a package or loads it on request (qhal.open_node, python -m qhal) is not a layer of its own.
    return {(one, other) for one, other in pairs if one not in (other, COMMON)}


def reachable(pairs: set[tuple[str, str]], start: str) -> Iterator[str]:
    """Yield all packages that a package depends on."""
    for one, other in pairs:
        if one == start:
            yield other
            yield from reachable(pairs, other)


def layers(pairs: set[tuple[str, str]]) -> list[list[str]]:
    """Return the packages in rows, each above all that it imports. Raises ValueError for a circle."""
    left = {name for pair in pairs for name in pair}
    rows: list[list[str]] = []
    while left:
        row = sorted(name for name in left if not any(one == name and other in left for one, other in pairs))
        if not row:
            raise ValueError(f"a circle of imports between {', '.join(sorted(left))}")
        rows.insert(0, row)
        left -= set(row)
    return rows


def picture() -> str:
    """Return the picture as SVG."""
    pairs = imports()
    rows = layers(pairs)
    shown = {
        (one, other)
        for one, other in pairs
        if not any(other in reachable(pairs, middle) for begin, middle in pairs if begin == one)
    }
    widest = max(map(len, rows))
    size_x = 2 * MARGIN + widest * WIDTH + (widest - 1) * GAP_X
    size_y = 2 * MARGIN + len(rows) * HEIGHT + (len(rows) - 1) * GAP_Y
    corners: dict[str, tuple[float, float]] = {}
    for y, row in enumerate(rows):
        begin_x = (size_x - len(row) * WIDTH - (len(row) - 1) * GAP_X) / 2
        for x, name in enumerate(row):
            corners[name] = (begin_x + x * (WIDTH + GAP_X), MARGIN + y * (HEIGHT + GAP_Y))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size_x} {size_y}" width="{size_x}" height="{size_y}"'
        ' font-family="sans-serif" font-size="13" text-anchor="middle">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker>',
    ]
    for one, other in sorted(shown):
        (x1, y1), (x2, y2) = corners[one], corners[other]
        x1, y1, x2 = x1 + WIDTH / 2, y1 + HEIGHT, x2 + WIDTH / 2
        # Past a row of boxes the arrow bends around those between.
        bend = 2 * WIDTH if y2 - y1 > GAP_Y else 0
        parts.append(
            f'<path d="M{x1:g},{y1:g} C{x1 + bend:g},{y1 + GAP_Y:g} {x2 + bend:g},{y2 - GAP_Y:g} {x2:g},{y2:g}"'
            f' fill="none" stroke="#555" marker-end="url(#tip)"><title>{one} imports {other}</title></path>'
        )
    for name, (corner_x, corner_y) in corners.items():
        parts.append(
            f'<rect x="{corner_x:g}" y="{corner_y:g}" width="{WIDTH}" height="{HEIGHT}" rx="5"'
            ' fill="#eef3fa" stroke="#345"/>'
            f'<text x="{corner_x + WIDTH / 2:g}" y="{corner_y + HEIGHT / 2 + 5:g}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(picture())
    sys.exit()
