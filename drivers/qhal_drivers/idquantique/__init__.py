"""ID Quantique."""
