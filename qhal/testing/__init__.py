"""Suites that every driver of a kind must pass, on its simulator and on the real unit."""
