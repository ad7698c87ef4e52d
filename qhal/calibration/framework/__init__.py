"""The framework of calibrations: plan, measurement points, journal, device state, evaluation, record."""
