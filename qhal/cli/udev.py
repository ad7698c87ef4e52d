"""``qhal udev``: rules for stable device names, written from what the drivers declare."""

import re

import typer

from qhal.cli.output import AsJson, print_json
from qhal.devices.declaration import UsbId
from qhal.node.driver_registry import drivers as known_drivers
from qhal.node.driver_registry import load_driver

_HEADER = """\
# Stable names for QKD instruments under /dev/qhal/, written by `qhal udev`; do not edit.
# Install: copy to /etc/udev/rules.d/, create the group `qhal`, then
# `udevadm control --reload && udevadm trigger`.
# A node has the mode 0660 and the group qhal; its name is the driver and the USB serial number, or the place of the
# USB plug for a unit without one. ModemManager, which would write to the line, is told to leave it alone.
"""
_SHARED = """\
# These ids are those of a bridge chip that many devices have. Where the unit is its only user, or when its serial
# number is put in (`udevadm info --attribute-walk /dev/ttyUSB0`), take the # away:
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
        shared = _SHARED if any(one.manufacturer is None for one in usb) else ""
        parts += [f"\n# {name}\n", shared, *(rule(name, one) for one in usb)]
    return "".join(parts)


def rule(name: str, usb: UsbId) -> str:
    """Return the rules of one USB identity: the tty's name, group and mode, and new_id where needed.

    Without a manufacturer string of its own a unit cannot be told from other users of its bridge chip: its rules
    are comments, with a place for its serial number.
    """
    ids = f'ATTRS{{idVendor}}=="{usb.vendor:04x}", ATTRS{{idProduct}}=="{usb.product:04x}"'
    told = f'ATTRS{{manufacturer}}=="{usb.manufacturer}"' if usb.manufacturer else 'ATTRS{serial}=="SERIAL"'
    label = re.sub(r"[^A-Za-z0-9]+", "-", name)
    lines = []
    if usb.new_id:
        device = f'ATTR{{idVendor}}=="{usb.vendor:04x}", ATTR{{idProduct}}=="{usb.product:04x}"'
        write = (
            f"/bin/sh -c 'modprobe ftdi_sio && "
            f"echo {usb.vendor:04x} {usb.product:04x} > /sys/bus/usb-serial/drivers/ftdi_sio/new_id'"
        )
        lines.append(f'ACTION=="add", SUBSYSTEM=="usb", {device}, RUN+="{write}"\n')
    # Without a subsystem: ModemManager asks the USB device, the mode is that of the tty below it.
    lines.append(f'{ids}, {told}, ENV{{ID_MM_DEVICE_IGNORE}}="1"\n')
    tty = f'SUBSYSTEM=="tty", {ids}, {told}'
    if not usb.manufacturer:
        lines.append(f'{tty}, GROUP="qhal", MODE="0660", SYMLINK+="qhal/{label}-$attr{{serial}}"\n')
        return "".join(f"# {line}" for line in lines)
    lines.append(f'{tty}, GROUP="qhal", MODE="0660"\n')
    lines.append(f'{tty}, ATTRS{{serial}}=="?*", SYMLINK+="qhal/{label}-$attr{{serial}}"\n')
    place = 'ENV{ID_SERIAL_SHORT}=="", ENV{ID_PATH}=="?*"'
    lines.append(f'{tty}, {place}, SYMLINK+="qhal/{label}-$env{{ID_PATH}}"\n')
    return "".join(lines)
