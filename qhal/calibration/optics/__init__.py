"""Optical settings that several calibrations use: light of a known level or pattern, and what counts it."""
