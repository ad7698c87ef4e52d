# %% [markdown]
# # Set up a transmitter
#
# A laser, two intensity modulators, a polarization modulator and an attenuator make decoy-state pulses. It is not known
# the modulators' voltages yet: find them, play the pattern with them, and measure what intensities come out.

# %%
import os
import tempfile
from pathlib import Path

import numpy as np
from bench import SimulatedBench
from matplotlib.figure import Figure
from uncertainties import umath

import qhal
from qhal.calibration import calibrate_node, load_calibration, save_picture, with_uncertainty
from qhal.calibration.transmitter.intensity_ratio import IntensityRatioPlan

FOLDER = Path(os.environ.get("QHAL_EXAMPLE_FOLDER") or tempfile.mkdtemp(prefix="qhal-example-"))
BIAS_UA = [25.1, 27.1, 29.4, 28.8]
CARVER, DECOY, POLARIZATION = 4, 1, 2  # outputs of the pattern generator

# %%
bench = SimulatedBench("source-bench", FOLDER)
node = qhal.open_node(bench.node_file)
laser, voa, switch = node.source("laser"), node.attenuator("voa"), node.optical_switch("switch")
laser.disable()
voa.home()  # it may be transparent meanwhile, so the laser is off
voa.make_safe()
switch.set_pattern({1: 17})
laser.set_frequency_thz(194.4)


def calibrate(name, values, records=(), **roles):
    """Run a calibration with the records of others, and return its record."""
    record = calibrate_node(
        node, load_calibration(name), values, roles, folder=FOLDER, operator="example", records=records
    )
    assert record.quality == "good", f"{name}: the model does not describe the data"
    return record


# %% [markdown]
# ## The modulators
# A staircase of voltages within a millisecond, over and over: no drift of laser or fibre matters. The second
# modulator is measured with the first one held open.

# %%
modulators = {}
for channel in (CARVER, DECOY):
    plan = {"channel": channel, "bias_ua": BIAS_UA, "repetitions": 3, "row_s": 0.6}
    record = calibrate("modulator", plan, list(modulators.values()))
    save_picture(record, FOLDER / f"modulator-{channel}.png")
    for name in ("v0", "vpi", "extinction_ratio"):
        print(channel, name, with_uncertainty(record.quantity(name, channel=channel)))
    modulators[channel] = record

# %% [markdown]
# ## The polarizations
# Both held open, the third modulator turns the polarization. Its V0 is not found, and not needed: the fibre turns the
# states, too, and the receiver is aligned to what arrives.

# %%
transmitter = list(modulators.values())
turned = calibrate(
    "polarization-modulator", {"bias_ua": BIAS_UA, "repetitions": 3, "row_s": 0.6}, transmitter
)
transmitter.append(turned)
save_picture(turned, FOLDER / "polarization-modulator.png")
print(POLARIZATION, "vpi", with_uncertainty(turned.quantity("vpi", channel=POLARIZATION)))

# %% [markdown]
# ## What the modulators' records are good for
# V0, Vpi and extinction come with their uncertainty, so any transmission that is set with them does, too. It is known
# worst where the curve is steep and dark. That is why the intensities are counted, below.

# %%
figure = Figure(figsize=(6.4, 4.0), layout="constrained")
axes = figure.subplots()
for channel, record in modulators.items():
    v0, vpi, ratio = (record.value(name, channel=channel) for name in ("v0", "vpi", "extinction_ratio"))
    floor = 10 ** (-ratio / 10)
    volts = np.linspace(v0.nominal_value, v0.nominal_value + vpi.nominal_value, 200)
    passes = [floor + (1 - floor) * umath.cos(np.pi * (volt - v0) / (2 * vpi)) ** 2 for volt in volts]
    error = [100 * each.std_dev / each.nominal_value for each in passes]
    axes.loglog([each.nominal_value for each in passes], error, label=f"output {channel}: {ratio:.1uS} dB")
axes.axvline(0.2, color="0.6", linestyle=":")
axes.text(0.19, 0.02, "decoy", rotation=90, ha="right", fontsize=8, color="0.4")
axes.set_xlabel("transmission")
axes.set_ylabel("relative standard uncertainty / %")
axes.set_ylim(1e-2, None)
axes.grid(True, color="0.9")
axes.legend(frameon=False, fontsize=8)
figure.savefig(FOLDER / "modulators.png", dpi=150)

# %% [markdown]
# ## The intensities that come out
# The decoy pattern is played with these voltages; the ratio of the intensities is counted, symbol by symbol.

# %%
plan = {"decoy_ratio": 0.2, "bias_ua": BIAS_UA, "repetitions": 4, "row_s": 0.5, "dark_s": 2.0}
ratios = calibrate("intensity-ratio", plan, transmitter)
save_picture(ratios, FOLDER / "intensity-ratio.png")
for intensity, wanted in ((1, "0.2"), (2, "as dark as can be")):
    print(f"wanted {wanted}:", with_uncertainty(ratios.quantity("intensity_ratio", intensity=intensity)))

# %% [markdown]
# ## The mean photon number
# Play the same pattern, read the power at a bright setting of the attenuator, and go down by a known attenuation. The
# budget shows what to improve first.

# %%
plan = IntensityRatioPlan(**ratios.inputs)
plan.play(node.pattern_generator("awg"))
photons = calibrate(
    "mean-photon-number",
    {
        "output": "pad",
        "set_db": [28.0],
        "pulse_rate_hz": 1e12 / plan.period_ps,
        "repetitions": 3,
        "pause_s": 0.5,
    },
    [ratios],
    meter="switch",
)
save_picture(photons, FOLDER / "mean-photon-number.png")
mean = photons.quantity("mean_photon_number")
print("mean over all pulses:", with_uncertainty(mean))
for line in sorted(mean.contributions, key=lambda each: -abs(each.value))[:4]:
    print(f"  {line.kind:12}{line.name:24}{abs(line.value) / mean.value:.1%}")

# %%
node.make_safe()
node.close()
bench.stop()
print(f"records and pictures are in {FOLDER}")
