"""Polarization controller, passive receiver, detectors and their pulses."""
