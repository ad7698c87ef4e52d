"""How fast qhal is, as ratios to the bare library or a peer in the same run: ``make bench``."""
