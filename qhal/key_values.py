"""KEY=VALUE texts of a user, as options of a command take them."""

import tomllib
from collections.abc import Iterable
from typing import Any

from qhal.errors import ConfigurationError


def key_values(texts: Iterable[str], option: str) -> dict[str, str]:
    """Return texts ``KEY=VALUE`` by key. ``option`` is named in errors.

    Raises ConfigurationError for a text without a key or ``=``, and for a key that is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"{option} {text!r}: KEY=VALUE is needed")
        if key in found:
            raise ConfigurationError(f"{option} {key} is given twice: {found[key]} and {value}")
        found[key] = value
    return found


def toml_values(texts: Iterable[str], option: str) -> dict[str, Any]:
    """Return texts ``KEY=VALUE`` by key; a value is read as TOML, or taken as text.

    Raises ConfigurationError as :func:`key_values` does, and for a value that cannot be read: nested too deep, or a
    number of thousands of digits.
    """
    return {key: _value(text, f"{option} {key}") for key, text in key_values(texts, option).items()}


def _value(text: str, option: str) -> Any:
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    except RecursionError:
        raise ConfigurationError(f"{option}: the value is nested too deep") from None
    except ValueError:  # Python reads integers of at most 4300 digits
        raise ConfigurationError(f"{option}: a number in the value has too many digits") from None
    return found["value"] if len(found) == 1 else text  # a line end in it begins another key
