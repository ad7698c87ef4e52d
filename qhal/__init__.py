"""Hardware abstraction for quantum key distribution equipment.

``open_node(file)`` opens a rack described in a node file, ``open_device(driver, address)`` one device.
Importing this package loads no transport, no numpy and no pydantic.
"""

from typing import TYPE_CHECKING

from qhal.errors import QhalError
from qhal.late import late

if TYPE_CHECKING:
    from qhal.node.device_factory import open_device
    from qhal.node.node import open_node

__version__ = "0.1.0"
__all__ = ["QhalError", "__version__", "open_device", "open_node"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, __file__)
