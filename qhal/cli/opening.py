"""Open the devices of a node one by one, and report which are waited for."""

from concurrent.futures import ThreadPoolExecutor

from rich.markup import escape

from qhal.cli.output import ERRORS
from qhal.errors import QhalError
from qhal.node.node import Node


def open_each(node: Node) -> dict[str, QhalError | None]:
    """Open all devices at once; return by name why one did not open, None for those that did.

    On a terminal those that have not answered yet are shown; Ctrl-C names them, as it must wait for them.
    """
    names = list(node.devices)
    waiting = {name: device.connection.address for name, device in node.devices.items()}

    def told() -> str:
        return "waiting for " + ", ".join(f"{name} ({address})" for name, address in list(waiting.items()))

    with ERRORS.status(escape(told())) as status, ThreadPoolExecutor(len(names)) as pool:

        def attempt(name: str) -> QhalError | None:
            try:
                node.devices[name].open()
            except QhalError as error:
                return error
            finally:
                waiting.pop(name)
                status.update(escape(told()))
            return None

        try:
            return dict(zip(names, pool.map(attempt, names), strict=True))
        except KeyboardInterrupt:
            ERRORS.print(f"interrupted, {told()}", markup=False, highlight=False, soft_wrap=True)
            raise
