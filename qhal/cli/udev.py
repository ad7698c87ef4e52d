"""``qhal udev``: rules for stable device names, written from what the drivers declare."""

import re

import typer

from qhal.cli.output import AsJson, print_json
from qhal.devices.declaration import UsbId
from qhal.node.registry import drivers as known_drivers
from qhal.node.registry import load_driver

_HEADER = """\
# Stable names for QKD instruments under /dev/qhal/, written by `qhal udev`; do not edit.
# Install: copy to /etc/udev/rules.d/, create the group `qhal`, then
# `udevadm control --reload && udevadm trigger`.
# A node has the mode 0660 and the group qhal; the name is driver and USB serial number.
"""


def udev(json: AsJson = False) -> None:
    """Print udev rules for all drivers that declare a USB identity."""
    declared = {name: usb for name in sorted(known_drivers()) if (usb := load_driver(name).declaration.usb)}
    if json:
        print_json({name: [rule(name, one) for one in usb] for name, usb in declared.items()})
        return
    typer.echo(rules(declared), nl=False)


def rules(declared: dict[str, tuple[UsbId, ...]]) -> str:
    """Return the text of the rules file."""
    parts = [_HEADER]
    for name, usb in declared.items():
        parts += [f"\n# {name}\n", *(rule(name, one) for one in usb)]
    return "".join(parts)


def rule(name: str, usb: UsbId) -> str:
    """Return the rules of one USB identity: the tty's name, group and mode, and new_id where needed.

    Several instruments share the ids of one bridge chip; without a manufacturer string of its own such a
    unit can only be told apart by its serial number, and gets the bridge's name instead of the driver's.
    """
    ids = f'ATTRS{{idVendor}}=="{usb.vendor:04x}", ATTRS{{idProduct}}=="{usb.product:04x}"'
    maker = f', ATTRS{{manufacturer}}=="{usb.manufacturer}"' if usb.manufacturer else ""
    label = re.sub(r"[^A-Za-z0-9]+", "-", name) if usb.manufacturer else "serial"
    lines = []
    if usb.new_id:
        device = f'ATTR{{idVendor}}=="{usb.vendor:04x}", ATTR{{idProduct}}=="{usb.product:04x}"'
        write = (
            f"/bin/sh -c 'modprobe ftdi_sio && "
            f"echo {usb.vendor:04x} {usb.product:04x} > /sys/bus/usb-serial/drivers/ftdi_sio/new_id'"
        )
        lines.append(f'ACTION=="add", SUBSYSTEM=="usb", {device}, RUN+="{write}"\n')
    lines.append(
        f'SUBSYSTEM=="tty", {ids}{maker}, GROUP="qhal", MODE="0660", '
        f'SYMLINK+="qhal/{label}-$attr{{serial}}"\n'
    )
    return "".join(lines)
