"""The page that lists the commands of the simulated AWG5014 says what its command table does."""

import re
from pathlib import Path

from qhal_simulators import scpi_commands, scpi_messages
from qhal_simulators.instruments.tektronix import (
    awg_commands,
    file_commands,
    sequence_commands,
    waveform_list,
)
from qhal_simulators.instruments.tektronix.awg5014 import Awg5014
from qhal_simulators.instruments.tektronix.awg_settings import SETTINGS
from qhal_simulators.scpi_commands import CommandTable
from qhal_simulators.simulated_time import SimulationClock

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "awg5014-commands.md"


def test_page_and_table_agree():
    understood, unknown = PAGE.read_text().split("## Not understood")
    known = awg_commands.table(Awg5014(SimulationClock(stepped=True)).generator)
    listed = set()
    for header, forms in re.findall(r"^\| `([^`]+)` \| ([a-z, ]+) \|$", understood, re.MULTILINE):
        listed |= {header} if "set" in forms else set()
        listed |= {f"{header}?"} if "query" in forms else set()
    assert listed == set(known)
    find = CommandTable(known).find
    headers = re.findall(r"^\| `([^`]+)` \|$", unknown, re.MULTILINE)
    assert len(headers) > 20
    for header in headers:
        set_form = ":" + re.sub("[a-z]", "", header).replace("#", "1")
        both_forms = [form for form in (set_form, f"{set_form}?") if find(form) is not None]
        assert both_forms in ([], [":AWGC:RRAT?"]), header


def test_page_and_limits_agree():
    limits = PAGE.read_text().partition("## Limits")[2].partition("## Not understood")[0]
    numbers = [int(value) for value in re.findall(r"^\| [a-z, ]+[a-z'].* \| (\d+) \|$", limits, re.MULTILINE)]
    assert numbers == [
        *(
            waveform_list.MAX_POINTS,
            waveform_list.ALL_POINTS,
            waveform_list.MAX_WAVEFORMS,
            waveform_list.LONGEST_NAME,
        ),
        *(
            waveform_list.LONGEST_BLOCK,
            scpi_messages.LONGEST_TEXT,
            sequence_commands.MAX_ELEMENTS,
            sequence_commands.JUMP_PATTERNS,
        ),
        *(file_commands.MAX_FILES, file_commands.DISK_BYTES, scpi_commands.QUEUE_LENGTH),
    ]
    ranges = {setting.header: (setting.kind, (setting.low, setting.high)) for setting in SETTINGS}
    for key, (kind, _, limit) in sequence_commands.ELEMENT.items():
        ranges[f"SEQuence:ELEMent#:{key}"] = (kind, limit)
    expected = {
        header: ", ".join(kind) if isinstance(kind, tuple) else f"{limit[0]:g} to {limit[1]:g}"
        for header, (kind, limit) in ranges.items()
        if kind not in ("boolean", "text")
    }
    assert dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", limits, re.MULTILINE)) == expected
