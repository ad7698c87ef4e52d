"""The plots of the demonstration: measured with its uncertainty, beside what is expected."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from qhal.demo.results import Results, State

_STATES = ("H", "V", "D", "A")
_COLOURS = ("#1b4965", "#3d8fb8", "#ca6702")


def write_pictures(results: Results, folder: Path) -> dict[Path, str]:
    """Write a PNG for each plot; return the captions by file."""
    captions = {}
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        for name, (draw, caption) in _PICTURES.items():
            figure = draw(results)
            path = folder / f"{name}.png"
            figure.savefig(path, dpi=130)
            captions[path] = caption
    return captions


def _figure(title: str, width: float = 7.2, height: float = 4.4) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return figure


def _phase(results: Results) -> Figure:
    figure = _figure("Tags over the phase of a symbol")
    axes = figure.subplots()
    bin_ps = results.states[0].measurement.pattern.phase_bin_ps
    for state, colour in zip(results.states, _COLOURS, strict=False):
        measurement = state.measurement
        seconds = measurement.stop_s - measurement.start_s
        tags = measurement.pattern.phase_histogram
        phase_ns = (np.arange(len(tags)) - len(tags) // 2 + 0.5) * bin_ps * 1e-3
        rate, sigma = tags / seconds, np.sqrt(tags + 0.5) / seconds
        axes.step(phase_ns, np.maximum(rate, 0.5 / seconds), where="mid", color=colour, label=state.name)
        axes.fill_between(
            phase_ns,
            np.maximum(rate - sigma, 0.1 / seconds),
            rate + sigma,
            step="mid",
            color=colour,
            alpha=0.3,
            lw=0,
        )
    half = results.window_ps / 2e3
    axes.axvspan(-half, half, color="0.92", zorder=0, label=f"window, {2 * half:g} ns")
    axes.set(yscale="log", xlabel="time from the pulse / ns", ylabel=f"tags per second in {bin_ps} ps")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _click_matrices(results: Results) -> Figure:
    after = results.states[0].measurement.pattern.counts.click_matrix()
    figure = _figure("Clicks by state sent and detector", 11.0, 4.8)
    both: list[Axes] = list(figure.subplots(1, 2))
    for axes, matrix, title in zip(
        both, (results.before_alignment, after), ("before alignment", "after alignment"), strict=True
    ):
        sums = np.maximum(matrix.counts.sum(axis=1, keepdims=True), 1)
        ratios = matrix.counts / sums
        sigmas = np.sqrt(np.maximum(ratios * (1 - ratios), 1 / sums) / sums)
        image = axes.imshow(100 * ratios, cmap="Blues", vmin=0, vmax=55)
        for row, column in np.ndindex(4, 4):
            ratio, sigma = 100 * ratios[row, column], 100 * sigmas[row, column]
            text = f"{ratio:.2f}\n± {sigma:.2f}"
            colour = "white" if ratio > 33 else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        qber = matrix.qber
        title += f": QBER ({100 * qber.value:.2f} ± {100 * qber.standard_uncertainty:.2f}) %"
        axes.set(xlabel="detector", ylabel="state sent")
        axes.set_title(title, fontsize=10)
        axes.set_xticks(range(4), _STATES)
        axes.set_yticks(range(4), _STATES)
        axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=both, label="% of the clicks of the state sent", shrink=0.8)
    return figure


def expected_qber(state: State) -> float:
    """Return the expected error rate of all intensities together, each by its live symbols and gain."""
    weights = state.measurement.pattern.counts.live * np.array(state.expected["gains"])
    return float(np.average(state.expected["error_rates"], weights=weights))


def _qber_over_time(results: Results) -> Figure:
    figure = _figure("Error rate of all intensities over time")
    axes = figure.subplots()
    for state, colour in zip(results.states, _COLOURS, strict=False):
        seconds, value, sigma = state.measurement.pattern.qber_over_time.T
        axes.errorbar(
            seconds,
            100 * value,
            100 * sigma,
            fmt="o",
            ms=3,
            lw=1,
            color=colour,
            label=f"{state.name}, measured",
        )
        axes.axhline(100 * expected_qber(state), color=colour, lw=1, ls="--", label=f"{state.name}, expected")
    axes.set(xlabel="time / s", ylabel="QBER / %")
    axes.set_xlim(left=0)
    axes.margins(y=0.25)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper center")
    return figure


def _background(results: Results) -> Figure:
    figure = _figure("Noise counts against classical power", height=5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    power_uw = np.array(
        [0.0 if s.classical_dbm is None else 1e3 * 10 ** (s.classical_dbm / 10) for s in results.states]
    )
    measured = np.array([s.noise.rate_hz for s in results.states])
    sigma = np.array([s.noise.standard_uncertainty_hz for s in results.states])
    expected = np.array([sum(s.true_noise["rates_hz"]) for s in results.states])
    upper.plot(power_uw, expected, "-", color="0.5", label="expected, integrated along the fibre")
    upper.errorbar(
        power_uw, measured, sigma, fmt="o", ms=4, color=_COLOURS[0], label="measured, dead time taken off"
    )
    upper.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e3:g} k"))
    upper.set(ylabel="clicks per second,\nall detectors")
    upper.legend(frameon=False, fontsize=8)
    lower.axhspan(-2, 2, color="0.93", zorder=0, label="2 standard uncertainties")
    lower.axhline(0, color="0.6", lw=0.8)
    lower.errorbar(power_uw, (measured - expected) / sigma, 1.0, fmt="o", ms=4, color=_COLOURS[0])
    reach = max(4.0, 1.3 * float(np.max(np.abs((measured - expected) / sigma))) + 1)
    lower.set(
        xlabel="classical power at the multiplexer / µW",
        ylabel="measured less\nexpected / σ",
        ylim=(-reach, reach),
    )
    lower.legend(frameon=False, fontsize=8)
    return figure


_PICTURES: dict[str, tuple[Callable[[Results], Figure], str]] = {
    "symbol-phase": (
        _phase,
        "When in a symbol the detectors click; the band of each line is its standard uncertainty. Clicks outside of "
        "the window do not count. Far from the pulse are dark counts, noise of the classical channel and what the "
        "closed carver lets through; the step after the pulse is its tail, of which the simulator knows only how much "
        "light it has, not its form.",
    ),
    "click-matrix": (
        _click_matrices,
        "Clicks by state sent and detector, of one state 100 % together, with their standard uncertainties. After the "
        "alignment half of the clicks are in the own basis, nearly all of them right.",
    ),
    "qber-over-time": (
        _qber_over_time,
        "Error rate while measuring, with standard uncertainties; dashed: the mean that the world's log promises.",
    ),
    "background": (
        _background,
        "Clicks without the quantum laser. Raman scattering grows in proportion to the classical power; the first "
        "point is dark counts. Below: deviation in standard uncertainties, since the error bars above are smaller "
        "than the marks.",
    ),
}
