"""Files that users write: read with a limit, and with the errors that a text file can have."""

import stat
import tomllib
from pathlib import Path
from typing import Any

from qhal.errors import ConfigurationError

_MOST_BYTES = 1 << 20


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file (UTF-8, with or without a byte order mark).

    Raises ConfigurationError naming the file: it is none, too large (1 MiB), no text, no TOML.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before opening: a pipe would wait for its writer
            raise ConfigurationError(f"{path}: not a regular file")
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ConfigurationError(
                f"{path}: larger than {_MOST_BYTES // 1024} KiB, which no file of its kind is"
            )
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    except ConfigurationError:
        raise
    except (RecursionError, ValueError) as error:  # a path with NUL, numbers of thousands of digits
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
