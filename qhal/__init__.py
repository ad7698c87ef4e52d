"""Hardware abstraction for quantum key distribution equipment.

``open_node(file)`` opens a rack described in a node file, ``open_device(driver, address)`` one device.
Importing this package loads no transport, no numpy and no pydantic.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qhal.errors import QhalError

if TYPE_CHECKING:
    from qhal.node.device_factory import open_device
    from qhal.node.node import open_node

__version__ = "0.1.0"
__all__ = ["QhalError", "__version__", "open_device", "open_node"]

_LATE = {"open_device": "qhal.node.device_factory", "open_node": "qhal.node.node"}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module 'qhal' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
