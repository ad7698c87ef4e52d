"""Calibrations of the transmitter: modulators, intensities, photon numbers."""
