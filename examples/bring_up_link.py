# %% [markdown]
# # Bring up a link
#
# 20 km of fibre between a sender and a receiver, with a classical channel on the same fibre. Find the sender's clock,
# align the polarization, and see what the classical light costs.

# %%
import os
import tempfile
from pathlib import Path

import numpy as np
from bench import SimulatedBench
from matplotlib.figure import Figure

import qhal
from qhal.calibration import calibrate_node, load_calibration, save_picture, with_uncertainty

FOLDER = Path(os.environ.get("QHAL_EXAMPLE_FOLDER") or tempfile.mkdtemp(prefix="qhal-example-"))
BIAS_UA = [25.1, 27.1, 29.4, 28.8]

# %%
bench = SimulatedBench("wuhan-metro-link", FOLDER)
node = qhal.open_node(bench.node_file)
quantum, classical, voa = node.source("quantum-laser"), node.source("classical-laser"), node.attenuator("voa")
quantum.disable()
classical.disable()
voa.home()  # homing may open the path, so the laser is still off
voa.make_safe()
node.optical_switch("switch").set_pattern({1: 17})
quantum.set_frequency_thz(194.4)


def calibrate(name, values, **roles):
    """Run a calibration, draw its record, and return it."""
    record = calibrate_node(node, load_calibration(name), values, roles, folder=FOLDER, operator="example")
    save_picture(record, FOLDER / f"{name}.png")
    assert record.quality == "good", f"{name}: the model does not describe the data"
    return record


# %% [markdown]
# ## The sender's clock, and the cables of the detectors
# Two clocks never agree; a millionth of difference slips a symbol in ten milliseconds. It is measured to parts in
# 10^12.

# %%
clock = calibrate(
    "clock-offset", {"bias_ua": BIAS_UA, "recordings": 3, "recording_s": 0.6}, source="quantum-laser"
)
offset = clock.quantity("clock_frequency_offset")
print(f"offset {offset.value:.6e} ± {offset.uncertainty:.1e}")
for channel in range(1, 5):
    print(channel, with_uncertainty(clock.quantity("detector_skew", channel=channel)))

# %% [markdown]
# ## Polarization
# Six or so settings of the paddles are enough to know the fibre; then one jump. The paddles stay where they are: that
# is the result.

# %%
plan = {"bias_ua": BIAS_UA, "symbols": 4096, "row_s": 0.2, "dark_s": 1.0}
aligned = calibrate("polarization-alignment", plan, source="quantum-laser")
print("error rate", with_uncertainty(aligned.quantity("error_rate")))
paddles = node.polarization_controller("polarization").read_angles_deg()
print("paddles at", ", ".join(f"{each:.1f}°" for each in paddles))

# %% [markdown]
# ## What classical light costs
# Noise counts for each milliwatt on the fibre: nearly all of it Raman scattering, which no filter keeps away.

# %%
plan = {
    "launch": "pad",
    "powers_dbm": [6.0, 10.0, 13.0],
    "repetitions": 4,
    "period_s": 0.5,
    "frequency_thz": 193.4,
}
noise = calibrate(
    "classical-noise", plan | {"bias_ua": BIAS_UA}, classical="classical-laser", source="quantum-laser"
)
total = noise.quantity("total_classical_noise")
print("noise", with_uncertainty(total))

# %% [markdown]
# ## What that means for the key
# Half of the noise counts in a window are errors. Clicks of a signal, as bright as it was for the alignment, and
# errors of the optics alone are in the alignment's record.

# %%
seen, optics = aligned.tables["aligned"], aligned.quantity("error_rate")
clicks = seen["clicks"].sum() / seen["live"].sum()
window_s = aligned.inputs["window_ps"] * 1e-12
power_dbm = np.linspace(-30, -5, 100)
stray = total.value * 10 ** (power_dbm / 10) * window_s / clicks
relative = total.uncertainty / total.value
figure = Figure(figsize=(6.4, 4.0), layout="constrained")
axes = figure.subplots()
low, high = stray / 2 * (1 - relative), stray / 2 * (1 + relative)
axes.fill_between(power_dbm, low * 100, high * 100, alpha=0.3, linewidth=0)
axes.semilogy(power_dbm, stray / 2 * 100, label="from classical light, Raman and leakage")
axes.axhline(optics.value * 100, color="0.4", linestyle="--", label="from the optics, measured")
axes.axvspan(-20, -12.5, color="0.92", zorder=0, label="a transceiver of 6 to 13.5 dBm behind its pad")
axes.set_xlabel("classical power at the multiplexer / dBm")
axes.set_ylabel("errors / % of clicks")
axes.set_title(f"{clicks:.2g} clicks a signal pulse, window {window_s * 1e9:g} ns", fontsize=10)
axes.grid(True, color="0.9")
axes.legend(frameon=False, fontsize=8)
figure.savefig(FOLDER / "errors-over-power.png", dpi=150)

# %%
node.make_safe()
node.close()
bench.stop()
print(f"records and pictures are in {FOLDER}")
