# %% [markdown]
# # Characterise a detector
#
# Four superconducting detectors on a bench: where to bias them, how dark they are, how long they are dead, and how
# efficient they are - each as a record with its uncertainty budget. Run the cells in order; the files go to `FOLDER`.

# %%
import os
import tempfile
from pathlib import Path

from bench import SimulatedBench
from matplotlib.figure import Figure

import qhal
from qhal.calibration import calibrate_node, load_calibration, save_picture, with_uncertainty

FOLDER = Path(os.environ.get("QHAL_EXAMPLE_FOLDER") or tempfile.mkdtemp(prefix="qhal-example-"))

# %% [markdown]
# With real instruments: `node = qhal.open_node("bench.toml")` and your own file. Here they are simulated, on real ptys
# and sockets.

# %%
bench = SimulatedBench("detector-bench", FOLDER)
node = qhal.open_node(bench.node_file)
print(*(f"{name}: {device.identity.model}" for name, device in node.devices.items()), sep="\n")


def calibrate(name, values, **roles):
    """Run a calibration, draw its record, and return it."""
    record = calibrate_node(node, load_calibration(name), values, roles, folder=FOLDER, operator="example")
    save_picture(record, FOLDER / f"{name}.png")
    assert record.quality == "good", f"{name}: the model does not describe the data"
    return record


# %% [markdown]
# ## Dark counts and bias point
# No light: the laser is off. The dark rate is a background and a part that grows with the bias; beyond its switch
# current a detector latches, and the scan continues without it.

# %%
dark = calibrate("dark-counts", {"first_ua": 22.0, "step_ua": 0.2, "period_s": 1.0})
for channel in range(1, 5):
    print(channel, with_uncertainty(dark.quantity("bias_point", channel=channel)))
bias_ua = [round(dark.quantity("bias_point", channel=channel).value, 1) for channel in range(1, 5)]
node.detector("detectors").set_bias_ua(bias_ua)  # set, not yet on; what follows holds at this bias

# %% [markdown]
# ## Dead time and recovery
# Steady light, and the time from one tag to the next: nothing within the dead time, then the efficiency comes back.

# %%
dead = calibrate("dead-time", {"repetitions": 3, "period_s": 0.2})
for channel in range(1, 5):
    print(channel, with_uncertainty(dead.quantity("dead_time", channel=channel)))

# %% [markdown]
# ## Attenuator curves, then the efficiency
# The efficiency is a count rate over a photon rate, and that is a power divided by eight decades of attenuation. So
# both attenuators are calibrated first, each with the help of the other, and their records are handed on with that of
# the dead time.

# %%
curves = [
    calibrate(
        "attenuator-curve",
        {"step_db": 4.0, "repetitions": 2, "settle_s": 0.0},
        attenuator=one,
        auxiliary=other,
    )
    for one, other in (("voa", "second-voa"), ("second-voa", "voa"))
]
efficiency = calibrate_node(
    node,
    load_calibration("detection-efficiency"),
    {"levels": 2, "settings": 4, "repetitions": 1, "dark_repetitions": 2},
    folder=FOLDER,
    operator="example",
    records=[*curves, dead],
)
save_picture(efficiency, FOLDER / "detection-efficiency.png")
for channel in range(1, 5):
    print(channel, with_uncertainty(efficiency.quantity("detection_efficiency", channel=channel)))

# %% [markdown]
# ## All in one picture
# What a network planner asks for: efficiency against dark counts, with error bars that mean something.

# %%
figure = Figure(figsize=(6.4, 4.4), layout="constrained")
axes = figure.subplots()
for channel in range(1, 5):
    eta = efficiency.quantity("detection_efficiency", channel=channel)
    rate = efficiency.quantity("dark_count_rate", channel=channel)
    axes.errorbar(
        rate.value, eta.value, eta.uncertainty, rate.uncertainty, fmt="o", label=f"channel {channel}"
    )
    axes.errorbar(rate.value, eta.value, eta.statistical, fmt="none", linewidth=3, alpha=0.4, color="0.3")
axes.set_xlabel("dark count rate / s⁻¹")
axes.set_ylabel("detection efficiency")
axes.set_title("thin: combined, thick: statistical (k = 1)", fontsize=9)
axes.grid(True, color="0.9")
axes.legend(frameon=False, fontsize=8, loc="lower right")
figure.savefig(FOLDER / "efficiency-and-darks.png", dpi=150)

# %%
node.make_safe()
node.close()
bench.stop()
print(f"records and pictures are in {FOLDER}")
