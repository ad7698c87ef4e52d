"""Calibrations of single-photon detectors."""
