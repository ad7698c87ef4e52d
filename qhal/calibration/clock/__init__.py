"""Calibrations of clocks and of the time tagger's time scale."""
