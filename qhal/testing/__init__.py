"""Test suites that every driver with an interface must pass, on its simulator and on the real unit."""
