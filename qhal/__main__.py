"""``python -m qhal`` is ``qhal``."""

from qhal.cli import main

main()
