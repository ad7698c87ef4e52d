"""Exact scripts of binary protocols: every byte each way, as the manuals and independent clients have it."""

import struct

import pytest

from qhal.errors import DeviceError, OutOfRange, ProtocolError
from tests.drivers.following import follow, refuses


def frames(text):
    """Return exchanges from lines ``request > reply``, in hexadecimal; ``#`` begins a comment."""
    lines = [line.partition("#")[0] for line in text.splitlines()]
    return [tuple(map(bytes.fromhex, line.split(">"))) for line in lines if line.strip()]


# Thorlabs MPC320 (APT issue 28). Header: id, two parameters or the length of the data, destination, source; with data
# the destination has bit 7. 1370 counts are 170 degrees; bit 31 of the status is "enabled".
DESCRIPTION = struct.pack("<i8sH4B60x3H", 38000001, b"MPC320", 44, 0, 1, 3, 0, 1, 0, 3)
INFO = (bytes.fromhex("05 00 00 00 50 01"), bytes.fromhex("06 00 54 00 81 50") + DESCRIPTION)
# 50 % of 400 deg/s, home at 0, jogs of 25 counts: the manual's own example of these parameters.
(PARAMETERS,) = frames("31 05 00 00 50 01 > 32 05 0c 00 81 50 00 00 32 00 00 00 19 00 19 00 19 00")
ENABLED, DISABLED = 0x9000_0000, 0x1000_0000


def status(channel, counts, bits=ENABLED):
    reply = struct.pack("<HihhI", channel, counts, 0, 0, bits)
    return bytes([0x90, 0x04, channel, 0, 0x50, 0x01]), bytes.fromhex("91 04 0e 00 81 50") + reply


def statuses(*counts, bits=ENABLED):
    return [status(1 << n, each, bits) for n, each in enumerate(counts)]


MPC320 = [
    *(PARAMETERS, INFO) * 2,
    *frames("12 00 00 00 50 01  # no updates without a request"),
    INFO,
    *statuses(0, 0, 0, bits=DISABLED),
    PARAMETERS,
]
ARRIVED = bytes.fromhex("64 04 01 00 01 50")  # 6 bytes on this unit, the manual promises 14 more
MOVE = [
    status(1, 0, DISABLED),
    *frames("10 02 07 01 50 01  # a bit mask of all channels that are to be enabled"),
    *statuses(0, 0, 0),
    *statuses(0, 0, 0),
    *frames("53 04 06 00 d0 01 01 00 93 01 00 00  # channel 1, 403 counts: 50 degrees"),
    PARAMETERS,
    status(1, 200),
    (*status(1, 403), ARRIVED),
]

# OIF ITLA 1.2: four bytes each way; checksum, flags, register, value. A text is read two bytes at a time (register 0b).
ITLA = frames("""
    50 50 00 00 > e4 50 02 58  # lowest power 6.00 dBm
    40 51 00 00 > 74 51 05 46  # highest power 13.50 dBm
    50 50 00 00 > e4 50 02 58
    40 51 00 00 > 74 51 05 46
    00 00 00 00 > 54 00 00 10  # ready
    00 00 00 00 > 54 00 00 10
    10 01 00 00 > f6 01 00 08  # device type, 8 bytes
    b0 0b 00 00 > a4 0b 43 57
    b0 0b 00 00 > 04 0b 20 49
    b0 0b 00 00 > 64 0b 54 4c
    b0 0b 00 00 > a4 0b 41 00
    20 02 00 00 > b6 02 00 0f  # manufacturer
    b0 0b 00 00 > 84 0b 50 75
    b0 0b 00 00 > 94 0b 72 65
    b0 0b 00 00 > 84 0b 20 50
    b0 0b 00 00 > 84 0b 68 6f
    b0 0b 00 00 > 54 0b 74 6f
    b0 0b 00 00 > 84 0b 6e 69
    b0 0b 00 00 > e4 0b 63 73
    b0 0b 00 00 > f4 0b 00 00
    30 03 00 00 > d6 03 00 08  # model
    b0 0b 00 00 > f4 0b 50 50
    b0 0b 00 00 > 04 0b 43 4c
    b0 0b 00 00 > f4 0b 35 35
    b0 0b 00 00 > c4 0b 30 00
    40 04 00 00 > 96 04 00 0b  # serial number
    b0 0b 00 00 > f4 0b 43 52
    b0 0b 00 00 > 74 0b 54 4d
    b0 0b 00 00 > 54 0b 58 43
    b0 0b 00 00 > f4 0b 30 30
    b0 0b 00 00 > e4 0b 30 31
    b0 0b 00 00 > f4 0b 00 00
    60 06 00 00 > 26 06 00 13  # release
    b0 0b 00 00 > 94 0b 50 56
    b0 0b 00 00 > 44 0b 3a 31
    b0 0b 00 00 > 24 0b 2e 32
    b0 0b 00 00 > 04 0b 2e 30
    b0 0b 00 00 > a4 0b 3a 48
    b0 0b 00 00 > 44 0b 57 3a
    b0 0b 00 00 > 44 0b 31 3a
    b0 0b 00 00 > f4 0b 46 57
    b0 0b 00 00 > 24 0b 3a 37
    b0 0b 00 00 > f4 0b 00 00
    50 50 00 00 > e4 50 02 58
    40 51 00 00 > 74 51 05 46
    70 52 00 00 > 64 52 00 be  # lowest frequency 190 THz
    60 53 00 00 > 84 53 25 1c  # and 950.0 GHz
    10 54 00 00 > c4 54 00 c5  # highest 197 THz
    00 55 00 00 > 24 55 22 60  # and 880.0 GHz
    20 31 00 00 > 34 31 03 e8  # power 10.00 dBm
    40 40 00 00 > d4 40 00 c1  # 193 THz
    50 41 00 00 > 44 41 03 e8  # and 100.0 GHz
    10 32 00 00 > 54 32 00 00  # output off
    60 42 00 00 > d4 42 e8 90  # emits -60.00 dBm
""")
OFF = "10 32 00 00 > 54 32 00 00\n60 42 00 00 > d4 42 e8 90\n"
PENDING_THEN_DONE = "00 00 00 00 > 44 00 01 10\n00 00 00 00 > 54 00 00 10\n"
CASES = {
    "mpc320 move": (
        "thorlabs.mpc320",
        MPC320,
        lambda d: d.set_angle_deg(1, 50.0),
        [*MOVE, *statuses(403, 0, 0)],
    ),
    "ppcl550 power": (
        "purephotonics.ppcl550",
        ITLA,
        lambda d: d.set_power_dbm(10.0),
        frames("61 31 03 e8 > 34 31 03 e8\n20 31 00 00 > 34 31 03 e8"),
    ),
    "ppcl550 frequency": (
        "purephotonics.ppcl550",
        ITLA,
        lambda d: d.set_frequency_thz(193.4),
        frames(
            OFF
            + """
            51 62 00 00 > 04 62 00 00  # fine tuning 0
            a1 35 00 c1 > f4 35 00 c1  # 193 THz
            11 36 0f a0 > 44 36 0f a0  # and 400.0 GHz
            31 30 00 01 > 57 30 00 01  # channel 1: pending
            """
            + PENDING_THEN_DONE
            + "40 40 00 00 > d4 40 00 c1\n50 41 00 00 > 44 41 0f a0"
        ),
    ),
    "ppcl550 light on": (
        "purephotonics.ppcl550",
        ITLA,
        lambda d: d.enable(),
        frames(
            "81 32 00 08 > e7 32 00 08\n"
            + PENDING_THEN_DONE
            + "10 32 00 00 > d4 32 00 08\n60 42 00 00 > 74 42 03 e8"
        ),
    ),
    "ppcl550 light off": (
        "purephotonics.ppcl550",
        ITLA,
        lambda d: d.disable(),
        frames("01 32 00 00 > 54 32 00 00\n" + OFF),
    ),
    # Execution error, then the reason: 3 is a value out of range.
    "ppcl550 value": (
        "purephotonics.ppcl550",
        ITLA,
        refuses(DeviceError, lambda d: d.set_power_dbm(10.0)),
        frames("61 31 03 e8 > 25 31 03 e8\n00 00 00 00 > 64 00 00 13"),
    ),
    "ppcl550 beyond its limits": (
        "purephotonics.ppcl550",
        ITLA,
        refuses(OutOfRange, lambda d: d.set_power_dbm(20.0)),
        [],
    ),
    "ppcl550 checksum": (
        "purephotonics.ppcl550",
        ITLA,
        refuses(ProtocolError, lambda d: d.set_power_dbm(10.0)),
        frames("61 31 03 e8 > 35 31 03 e8"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_byte_each_way(name):
    driver, opening, verb, exchanges = CASES[name]
    follow(driver, opening, verb, exchanges, reopen_discards=False)
