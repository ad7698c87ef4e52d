"""The compiled kernels, or None where numba is not installed: decoding and rates then run on numpy alone."""

from types import ModuleType

kernels: ModuleType | None
try:
    from qhal.tags.codecs import decoding_kernels as kernels
except ModuleNotFoundError as _error:
    if _error.name != "numba":
        raise
    kernels = None
