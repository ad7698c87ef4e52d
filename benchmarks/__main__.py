"""Run the benchmarks: ``python -m benchmarks [NAME ...] [--json FILE]``; exit code 1: a goal is missed."""

import argparse
import importlib
import json
import sys
from pathlib import Path

from benchmarks.runner import Outcome, processor

NAMES = ("roundtrip", "imports", "clicks", "tags", "scale")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="which (default: all)")
    parser.add_argument("--json", type=Path, help="write all figures here")
    arguments = parser.parse_args()
    outcomes: list[Outcome] = []
    on = processor()
    print(f"on {on}", flush=True)
    for name in arguments.names or NAMES:
        for outcome in importlib.import_module(f"benchmarks.{name}").outcomes():
            outcomes.append(outcome)
            ratios = ", ".join(f"{key} {value:.3g}" for key, value in outcome.ratios.items())
            verdict = "ok    " if outcome.met else "MISSED"
            print(
                f"{verdict} {outcome.name}: {outcome.wanted} {outcome.bound:g}; {ratios}; {outcome.detail}",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(
            json.dumps([{**outcome.record(), "on": on} for outcome in outcomes], indent=2)
        )
    return 0 if all(outcome.met for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
