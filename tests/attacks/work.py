"""A user's script: light and bias on until it is ended. ``once`` ends as Python does; ``again`` takes orders.

As ``once``, with: ``forked``, a child that outlives it; ``unheard``, an error stream that takes no more.

Orders are lines: ``go`` opens the node and works, anything else is answered by ``PONG``.
"""

import os
import sys
from contextlib import suppress

import qhal
from qhal import signals
from qhal.errors import QhalError


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


def fill_error_stream() -> None:
    os.set_blocking(2, False)
    try:
        while True:
            os.write(2, bytes(4096))
    except BlockingIOError:
        os.set_blocking(2, True)


def work(path: str, forks: bool = False) -> None:
    """Open the node and work until a signal comes; on a busy machine that may take more than one attempt."""
    while True:
        with suppress(QhalError), qhal.open_node(path) as node:
            if forks and os.fork() == 0:
                sys.stdin.readline()
                os._exit(0)
            forks = False
            detectors, laser = node.detector("detectors"), node.source("laser")
            node.attenuator("voa").set_attenuation_db(20.0)
            detectors.set_bias_ua([25.1, 27.1, 29.4, 28.8])
            detectors.enable()
            laser.enable()
            say("ON")
            while True:
                with suppress(QhalError):
                    detectors.status()
                    laser.status()


def take_orders(path: str) -> None:
    order = b""
    while not order.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            sys.exit(3)
        order += piece
    if order == b"go\n":
        say("OPENING")
        work(path)
    say("PONG")


def main() -> None:
    path, how = sys.argv[1:]
    if how == "unheard":
        fill_error_stream()
    if how != "again":
        work(path, forks=how == "forked")
    with signals.owned():
        while True:
            try:
                take_orders(path)
            except (KeyboardInterrupt, signals.Terminated) as error:
                say(f"LEFT {signals.name_of(error)}")
                signals.take_noted()


if __name__ == "__main__":
    main()
