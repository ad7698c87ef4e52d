"""Calibrations of the optical path: attenuators, switches, losses, noise of classical channels."""
