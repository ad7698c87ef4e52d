"""Evaluation: fits, folded tags and clock phases. Without devices: tables of raw data in, values out."""
