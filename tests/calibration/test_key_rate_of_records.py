"""From stored records of a transmitter to the uncertainty of a key rate."""

from datetime import UTC, datetime

import numpy as np
import pytest
from uncertainties import correlation_matrix

from qhal.calibration import Site, load_calibration
from qhal.calibration.framework.data import Data
from qhal.calibration.framework.points import tables_of
from qhal.errors import InvalidRecord
from qhal.link.channel_model import ThresholdLink
from qhal.link.decoy import asymptotic_key_rate
from qhal.link.intensities import Intensities, mean_photon_numbers
from qhal.records.hdf5 import read_record
from qhal.records.record import Instrument, Quantity, Record, Validity
from qhal.records.shared import correlation
from qhal.records.store import RecordStore
from qhal.records.uncertain import nominal, standard_uncertainty, statistical

NOW = datetime(2026, 11, 1, tzinfo=UTC)
METER = Instrument(role="meter", device="meter", driver_model="", model="PM", serial_number="7")
RATIOS = (
    Quantity.of("intensity_ratio", "1", statistical("counts", 0.2, 0.0008), intensity=1),
    Quantity.of("intensity_ratio", "1", statistical("counts", 0.001, 0.0002), intensity=2),
)
SET_DB, METER_DB = 52.0, 0.1


def stored(folder, name, calibration, quantities, **fields):
    """A record that was written to a file and read from it."""
    made = Record(
        id=name, calibration=calibration, title="", method="", started=NOW, finished=NOW, operator="",
        software="", instruments=(METER,), quantities=tuple(quantities), validity=Validity(until=NOW),
        correlation=correlation([each.number for each in quantities]), **fields,
    )  # fmt: skip
    return read_record(RecordStore(folder).save(made))


def photon_numbers(folder, name, ratios, meter_db=METER_DB):
    """The record of a measurement of the mean photon number that used the record of the ratios."""
    calibration = load_calibration("mean-photon-number")
    pad = {"name": "pad", "loss_db": 24.0, "uncertainty_db": 0.05}
    values = {"path": [pad], "set_db": [SET_DB], "readings": 4, "meter_uncertainty_db": meter_db}
    plan = calibration.plan_at(Site("here"), values, [ratios])
    rng = np.random.default_rng(3)
    rows = [("attenuators", {"place": 0, "device": "voa"})]
    rows += [
        (
            "power",
            {
                "when": str(n),
                "set_db": [2.0],
                "power_dbm": (-10.6 + rng.normal(0, 0.01, 4)).tolist(),
                "frequency_thz": 193.4,
            },
        )
        for n in range(5)
    ]
    evaluation = calibration.evaluate(Data(tables_of(rows)), plan)
    return stored(
        folder, name, "mean-photon-number", evaluation.quantities, inputs=plan.model_dump(mode="json")
    )


@pytest.fixture
def ratios(tmp_path):
    inputs = {"fractions": [0.5, 0.25, 0.25], "period_ps": 10_000.0}
    return stored(tmp_path, "intensity-ratio-1", "intensity-ratio", RATIOS, inputs=inputs)


def key_rate(means, transmission):
    """The key rate of a link that counts without noise: what is uncertain are the photon numbers."""
    link = ThresholdLink(transmission, 1e-6, 0.012, detectors=4)
    gains = Intensities(*(link.gain(nominal(mean)) for mean in means))
    errors = [link.error_gain(nominal(mean)) for mean in means]
    rates = Intensities(*(error / gain for error, gain in zip(errors, gains, strict=True)))
    return asymptotic_key_rate(means, gains, rates, symbol_rate_hz=1e8, signal_fraction=0.5)


def test_the_key_rate_is_as_uncertain_as_the_photon_numbers(tmp_path, ratios):
    known = photon_numbers(tmp_path, "mean-photon-number-1", ratios)
    means = mean_photon_numbers(known)
    assert 0.3 < nominal(means.signal) < 0.8
    rate = key_rate(means, 0.05)
    rng = np.random.default_rng(4)
    # The same formula, with the gains as they were and other photon numbers, drawn as they are correlated.
    link = ThresholdLink(0.05, 1e-6, 0.012, detectors=4)
    gains = Intensities(*(link.gain(nominal(mean)) for mean in means))
    rates = Intensities(*(link.error_gain(nominal(m)) / g for m, g in zip(means, gains, strict=True)))
    sigmas = np.array([standard_uncertainty(mean) for mean in means])
    covariance = correlation_matrix(means) * np.outer(sigmas, sigmas)
    draws = [
        asymptotic_key_rate(Intensities(*each), gains, rates, symbol_rate_hz=1e8, signal_fraction=0.5)
        for each in rng.multivariate_normal([nominal(mean) for mean in means], covariance, 2000)
    ]
    assert standard_uncertainty(rate) == pytest.approx(np.std(draws), rel=0.1)
    better = photon_numbers(tmp_path, "mean-photon-number-2", ratios, meter_db=0.02)
    assert standard_uncertainty(key_rate(mean_photon_numbers(better), 0.05)) < standard_uncertainty(rate)


def test_key_rates_from_one_record_share_its_error(tmp_path, ratios):
    one = mean_photon_numbers(photon_numbers(tmp_path, "mean-photon-number-1", ratios))
    here, there = key_rate(one, 0.05), key_rate(one, 0.04)
    assert correlation_matrix([here, there])[0, 1] > 0.99
    # Read once more, they are the same photon numbers; measured once more, with the same meter and ratios, nearly.
    again = mean_photon_numbers(read_record(tmp_path / "mean-photon-number-1.h5"))
    assert standard_uncertainty(here - key_rate(again, 0.05)) == pytest.approx(0, abs=1e-6 * here.std_dev)
    repeated = mean_photon_numbers(photon_numbers(tmp_path, "mean-photon-number-2", ratios))
    shared = correlation_matrix([here, key_rate(repeated, 0.05)])[0, 1]
    assert 0.2 < shared < 0.99


def test_a_record_without_three_intensities_is_refused(tmp_path, ratios):
    with pytest.raises(InvalidRecord, match="intensity_photon_number"):
        mean_photon_numbers(ratios)
