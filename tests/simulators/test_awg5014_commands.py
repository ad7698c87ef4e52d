"""The page that lists the commands of the simulated AWG5014 says what its command table does."""

import re
from pathlib import Path

from qhal_simulators.clock import SimulationClock
from qhal_simulators.instruments.tektronix.awg5014 import Awg5014
from qhal_simulators.instruments.tektronix.commands import table
from qhal_simulators.scpi import CommandTable

PAGE = Path(__file__).parents[2] / "docs" / "awg5014-commands.md"


def test_page_and_table_agree():
    understood, unknown = PAGE.read_text().split("## Not understood")
    commands = table(Awg5014(SimulationClock(stepped=True)))
    listed = set()
    for header, forms in re.findall(r"^\| `([^`]+)` \| ([a-z, ]+) \|$", understood, re.MULTILINE):
        listed |= {header} if "set" in forms else set()
        listed |= {f"{header}?"} if "query" in forms else set()
    assert listed == set(commands)
    find = CommandTable(commands).find
    headers = re.findall(r"^\| `([^`]+)` \|$", unknown, re.MULTILINE)
    assert len(headers) > 20
    for header in headers:
        set_form = ":" + re.sub("[a-z]", "", header).replace("#", "1")
        both_forms = [form for form in (set_form, f"{set_form}?") if find(form) is not None]
        assert both_forms in ([], [":AWGC:RRAT?"]), header
