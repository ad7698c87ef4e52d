"""Inputs of calibrations: values from node files and records."""
