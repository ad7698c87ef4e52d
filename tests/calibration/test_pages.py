"""Every calibration has a page, and docs/calibrations.md lists them all with the title they print."""

import re
from pathlib import Path

from qhal.calibration import calibrations, load_calibration

DOCS = Path(__file__).parents[2] / "docs"


def test_every_calibration_has_its_page():
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / "calibrations").rglob("*.md")}
    assert sorted(pages) == sorted(calibrations())
    for name, text in pages.items():
        assert text.startswith(f"# {name}: ")
        for part in ("## Set-up", "## Model", "## Uncertainty", "## Traps"):
            assert f"\n{part}\n" in text, f"{name}: no {part}"


def test_the_list_has_their_titles():
    row = re.compile(r"^\| \[`(.+?)`\]\(calibrations/(.+?)/(.+?)\.md\) \| (.+?) \|$", re.MULTILINE)
    listed = row.findall((DOCS / "calibrations.md").read_text(encoding="utf-8"))
    assert all(name == page for name, _, page, _ in listed)
    assert {name: title for name, _, _, title in listed} == {
        name: load_calibration(name).title for name in calibrations()
    }
    assert {name: subject for name, subject, _, _ in listed} == {
        name: module.split(".")[2] for name, module in calibrations().items()
    }
    assert len(listed) == len(calibrations())
