"""Calibrations of the receiver as a whole: its optics, filter, alignment and detection window."""
