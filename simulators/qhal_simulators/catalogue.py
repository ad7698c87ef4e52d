"""What can be simulated: scenarios, instruments, and the options of each."""

import difflib
import inspect
import os
from typing import Any

from qhal_simulators.instrument_registry import instruments, load
from qhal_simulators.physics.scenario_tables import load_scenario, scenario_names


def catalogue() -> dict[str, Any]:
    """Return all scenarios and instruments by name, with descriptions; options with their types and defaults."""
    scenarios = {name: load_scenario(name) for name in scenario_names()}
    return {
        "scenarios": {
            name: {
                "description": scenario.description,
                "instruments": {unit: table.model for unit, table in scenario.instruments.items()},
            }
            for name, scenario in scenarios.items()
        },
        "instruments": {name: _instrument(name) for name in sorted(instruments())},
    }


def is_file(name: str) -> bool:
    """Tell whether a name is a path of a scenario's file."""
    return name.endswith(".toml") or os.sep in name


def unknown_name(name: str) -> str:
    """Return what to tell who asks for something that cannot be simulated, the closest name first; empty: it can."""
    known = [*scenario_names(), *sorted(instruments())]
    if name in known or is_file(name):
        return ""
    close = difflib.get_close_matches(name, known, n=len(known), cutoff=0.6)
    guess = f"; did you mean {close[0]}?" if close else ";"
    rest = [each for each in known if each not in close]
    return f"no scenario or instrument {name!r}{guess} there are {', '.join([*close, *rest])}"


def _instrument(name: str) -> dict[str, Any]:
    kind = load(name)
    module = inspect.getmodule(kind)
    text = inspect.getdoc(module) or inspect.getdoc(kind) or ""
    return {
        "description": text.partition("\n")[0].rstrip("."),
        "options": {
            option: {"type": inspect.formatannotation(field.annotation), "default": field.default}
            for option, field in kind.options_model.model_fields.items()
        },
    }
