"""The report of the demonstration: the numbers as JSON, and the plots worth looking at."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qhal.cli.demo.bench import PHASE_BIN_PS, WINDOW_PS

if TYPE_CHECKING:
    from qhal.cli.demo.run import Results

_STATES = ("H", "V", "D", "A")
_COLOURS = ("#1b4965", "#5fa8d3", "#ca6702")


def write_report(results: "Results", folder: Path) -> None:
    """Write ``report.json`` and one PNG for each plot into a folder, which is made if need be."""
    from qhal.cli.demo.run import record

    folder.mkdir(parents=True, exist_ok=True)
    content = record(results) | {"measurements": [_numbers(state) for state in results.states]}
    (folder / "report.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        _phase(results, folder)
        _click_matrices(results, folder)
        _qber_over_time(results, folder)
        _background(results, folder)


def _numbers(state: Any) -> dict[str, Any]:
    counts = state.measurement.counts
    return {
        "state": state.name,
        "classical_dbm": state.classical_dbm,
        "live": counts.live.tolist(),
        "clicked": counts.clicked.tolist(),
        "sifted": counts.sifted.tolist(),
        "errors": counts.errors.tolist(),
        "clicks": counts.clicks.tolist(),
        "rates_hz": state.measurement.rates_hz,
        "missed_tags": state.measurement.missed,
        "background_hz": state.background.rate_hz,
        "background_uncertainty_hz": state.background.standard_uncertainty_hz,
        "e1_upper_bound": state.bounds.single_photon_error.value,
        "asymptotic_rate_hz": state.key_rate.value,
    }


def _figure(title: str, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4.2 * columns + 2.4, 4.4), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return figure, [figure.add_subplot(1, columns, n + 1) for n in range(columns)]


def _phase(results: "Results", folder: Path) -> None:
    figure, (axes,) = _figure("Tags over the phase of a symbol")
    for state, colour in zip(results.states, _COLOURS, strict=False):
        histogram = state.measurement.phase_histogram
        place_ns = (np.arange(len(histogram)) - len(histogram) // 2 + 0.5) * PHASE_BIN_PS * 1e-3
        axes.step(place_ns, np.maximum(histogram, 0.5), where="mid", color=colour, label=state.name)
    half = WINDOW_PS / 2e3
    axes.axvspan(-half, half, color="0.92", zorder=0, label=f"window {2 * half:g} ns")
    axes.set(yscale="log", xlabel="time from the pulse (ns)", ylabel=f"tags per {PHASE_BIN_PS} ps")
    axes.legend(frameon=False)
    figure.savefig(folder / "symbol-phase.png", dpi=130)


def _click_matrices(results: "Results", folder: Path) -> None:
    assert results.before is not None
    after = results.states[0].measurement.counts.click_matrix()
    figure, both = _figure("Who clicks for which state", 2)
    for axes, matrix, title in zip(
        both, (results.before, after), ("before alignment", "after alignment"), strict=True
    ):
        shares = matrix.counts / np.maximum(matrix.counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=0.55)
        for row, column in np.ndindex(4, 4):
            dark = shares[row, column] > 0.3
            axes.text(
                column,
                row,
                f"{shares[row, column]:.3f}",
                ha="center",
                va="center",
                color="white" if dark else "black",
            )
        axes.set(xlabel="detector", ylabel="state sent", title=f"{title}: QBER {matrix.qber.value:.2%}")
        axes.set_xticks(range(4), _STATES)
        axes.set_yticks(range(4), _STATES)
        axes.spines[:].set_visible(False)
    figure.savefig(folder / "click-matrix.png", dpi=130)


def _qber_over_time(results: "Results", folder: Path) -> None:
    figure, (axes,) = _figure("Error rate of all intensities over time")
    for state, colour in zip(results.states, _COLOURS, strict=False):
        seconds, value, sigma = state.measurement.qber_over_time.T
        axes.errorbar(seconds, 100 * value, 100 * sigma, fmt="o", ms=3, color=colour, label=state.name)
    axes.set(xlabel="time (s)", ylabel="QBER (%)")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    figure.savefig(folder / "qber-over-time.png", dpi=130)


def _background(results: "Results", folder: Path) -> None:
    figure, (axes,) = _figure("Background against classical power")
    power_mw = [0.0 if s.classical_dbm is None else 10 ** (s.classical_dbm / 10) for s in results.states]
    measured = [s.background.rate_hz for s in results.states]
    sigma = [s.background.standard_uncertainty_hz for s in results.states]
    expected = [sum(s.true_background["rates_hz"]) for s in results.states]
    axes.plot(
        1e3 * np.array(power_mw), expected, "-", color="0.6", label="expected (integrated along the fibre)"
    )
    axes.errorbar(
        1e3 * np.array(power_mw),
        measured,
        sigma,
        fmt="o",
        color=_COLOURS[0],
        label="measured, dead time taken off",
    )
    axes.set(xlabel="classical power at the multiplexer (µW)", ylabel="clicks per second, all detectors")
    axes.legend(frameon=False)
    figure.savefig(folder / "background.png", dpi=130)
