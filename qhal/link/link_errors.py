"""Failures of the analysis; leaves of the one tree in :mod:`qhal.errors`.

::

    QhalError
    |-- SynchronisationFailed  (RuntimeError)  the pattern was not found in the tags, or was lost
    |-- AlignmentNotReachable  (RuntimeError)  the controller cannot bring the error rate to the target
    `-- NotEnoughCounts        (RuntimeError)  the counts do not determine what was asked for
"""

from qhal.errors import QhalError


class SynchronisationFailed(QhalError, RuntimeError):
    """The sender's pattern was not found in the tags, or was lost for too long."""


class AlignmentNotReachable(QhalError, RuntimeError):
    """No angles of the polarization controller bring the error rate to the target."""


class NotEnoughCounts(QhalError, RuntimeError):
    """The counts do not determine the quantity that was asked for."""
