"""Optional dependencies: what to install when a module is missing.

The distribution is called ``qkd-hal`` and is on no package index; a hint therefore names the checkout and the wheel.
"""

from qhal.errors import ConfigurationError

DISTRIBUTION = "qkd-hal"


def missing(what: str, error: ModuleNotFoundError, *extras: str) -> ConfigurationError:
    """Return the error for an optional module that is not installed: what needs it, and how to install it."""
    module = (error.name or "").partition(".")[0]
    if not extras:
        return ConfigurationError(f"{what} needs {module}, which is not installed")
    wanted = f"[{','.join(extras)}]"
    return ConfigurationError(
        f"{what} needs {module}: install {DISTRIBUTION} with {wanted}"
        f" (in a checkout: pip install '.{wanted}'; with a wheel: pip install 'WHEEL{wanted}')"
    )
