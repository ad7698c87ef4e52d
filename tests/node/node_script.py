"""A user's script for tests: turns light and bias on and works until it is ended, as often as it is told.

Arguments: node file, and how it goes on after it was ended: ``once`` ends as Python does, ``again`` opens the node anew.
"""

import sys

import qhal


def work(path: str) -> None:
    with qhal.open_node(path) as node:
        detectors, laser = node.detector("detectors"), node.source("laser")
        detectors.set_bias_ua([25.1, 27.1, 29.4, 28.8])
        detectors.enable()
        laser.enable()
        print("ON", flush=True)
        while True:
            detectors.status()
            laser.status()


def main() -> None:
    path, how = sys.argv[1:]
    if how == "once":
        work(path)
    while True:
        try:
            if not sys.stdin.readline():
                return
            print("OPENING", flush=True)
            work(path)
        except (KeyboardInterrupt, SystemExit, qhal.QhalError) as error:
            print(f"LEFT {type(error).__name__}", flush=True)


if __name__ == "__main__":
    main()
