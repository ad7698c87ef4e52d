"""The demonstration: a simulated 20 km link, calibrated, aligned and measured, and compared with expectation."""
