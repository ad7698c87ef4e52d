"""Exact scripts of line protocols: every byte each way, as manuals, vendors' clients and independent clients have it.

One byte more or less than the script is a failure, in opening a device as in its verbs.
"""

import numpy as np
import pytest

from qhal.devices.power_meter import PowerMeter
from qhal.errors import DeviceError, NoValue, PositionUnknown, ProtocolError
from tests.drivers.following import follow, refuses

# OZ Optics DD-100-MC. Commands end with CR; a reply is lines, then Done and an empty line, also after Error-<n>.
END = b"Done\r\n\r\n"
CD = (b"CD\r", b"IL: 1.20\r\nMAX ATTEN: 60.00\r\n" + END)
DD100 = [
    (b"\r",),
    CD,
    (b"A?\r", b"Atten: unknown\r\n" + END),
    (b"E0\r", END),
    CD,
    CD,
    (b"A?\r", b"Atten: unknown\r\n" + END),
]

# HUBER+SUHNER Polatis. Lines end with LF, replies with CR LF; set commands have no reply; errors are code, blank, text.
NO_ERROR = (b":SYST:ERR?\n", b'0, "No error"\r\n')
SIZE = (b":OXC:SWIT:SIZE?\n", b"24,24\r\n")


def pattern(text):
    return (b":OXC:SWIT:CONN:STAT?\n", text + b"\r\n")


def polatis(product=b"N-OST-24x24-LA1-DMHNS"):
    return [
        NO_ERROR,
        (b"*IDN?\n", b"Polatis," + product + b",002414,6.5.2.18\r\n"),
        SIZE,
        SIZE,
        (b":OXC:BOOT:MODE?\n", b"DARK\r\n"),
        pattern(b"(@),(@)"),
    ]


# Tektronix AWG5014. Lines end with LF; numbers have a three-digit exponent, enumerations their short form; samples are
# 16-bit words, little-endian, from 0 to 16382 (8191 is 0 V), in a definite-length block.
OK = (b":SYST:ERR?\n", b'0,"No error"\n')
DONE = (b"*OPC?\n", b"1\n")
SAMPLES = b"\x00\x00\xfe\x3f" * 480


def outputs(*on):
    return [(b"OUTP%d:STAT?\n" % n, b"1\n" if n in on else b"0\n") for n in (1, 2, 3, 4)]


def awg_state(state, clock, *on):
    return [
        (b"AWGC:RST?\n", state + b"\n"),
        (b"SOUR1:FREQ?\n", clock + b"\n"),
        (b"SOUR1:ROSC:SOUR?\n", b"INT\n"),
        *outputs(*on),
    ]


AWG5014 = [
    OK,
    (b"*IDN?\n", b"TEKTRONIX,AWG5014C,B010101,SCPI:99.0 FW:4.6.0.7\n"),
    (b"*OPT?\n", b"01\n"),
    *awg_state(b"0", b"1.20000000E+009"),
]

# Thorlabs PM100D. Lines end with LF; the unit of a reading is set at the panel.
PM_OK = (b":SYST:ERR?\n", b'+0,"No error"\n')
PM100D = [
    PM_OK,
    (b"*IDN?\n", b"Thorlabs,PM100D,P0027168,2.7.0\n"),
    (b"SYST:SENS:IDN?\n", b"S155C,1234567,12-Mar-2019,1,18,289\n"),
    (b"SENS:POW:RANG? MAX\n", b"2.00000000E-02\n"),
    (b"SENS:CORR:WAV?\n", b"1.55000000E+03\n"),
]

LINE = {"reopen_discards": False}
CASES = {
    "dd100 attenuation": (
        "ozoptics.dd100",
        DD100,
        lambda d: d.set_attenuation_db(20.0),
        [(b"A20.00\r", b"Pos:2000\r\n" + END), (b"A?\r", b"Atten:20.00(dB)\r\n" + END)],
        LINE,
    ),
    "dd100 home": (
        "ozoptics.dd100",
        DD100,
        lambda d: d.home(),
        [(b"H\r", b"Diff=0\r\n" + END), (b"A?\r", b"Atten:1.20(dB)\r\n" + END)],
        LINE,
    ),
    "dd100 read": (
        "ozoptics.dd100",
        DD100,
        lambda d: d.read_attenuation_db(),
        [(b"A?\r", b"Atten:12.34(dB)\r\n" + END)],
        LINE,
    ),
    "polatis connect": (
        "hubersuhner.polatis",
        polatis(),
        lambda d: d.connect(1, 25),
        [
            pattern(b"(@),(@)"),
            (b":OXC:SWIT:CONN:ADD (@1),(@25)\n",),
            NO_ERROR,
            pattern(b"(@1),(@25)"),
        ],
        {},
    ),
    "polatis disconnect": (
        "hubersuhner.polatis",
        polatis(),
        lambda d: d.disconnect(1),
        [
            pattern(b"(@1,2),(@26,25)"),
            (b":OXC:SWIT:CONN:SUB (@1),(@)\n",),
            NO_ERROR,
            pattern(b"(@2),(@25)"),
        ],
        {},
    ),
    "polatis pattern": (
        "hubersuhner.polatis",
        polatis(),
        lambda d: d.set_pattern({1: 26, 2: 25}),
        [
            pattern(b"(@3),(@27)"),
            (b":OXC:SWIT:CONN:ONLY (@1,2),(@26,25)\n",),
            NO_ERROR,
            pattern(b"(@1,2),(@26,25)"),
        ],
        {},
    ),
    "polatis no pattern": (
        "hubersuhner.polatis",
        polatis(),
        lambda d: d.set_pattern({}),
        [pattern(b"(@3),(@27)"), (b":OXC:SWIT:DISC:ALL\n",), NO_ERROR, pattern(b"(@),(@)")],
        {},
    ),
    "polatis power": (
        "hubersuhner.polatis",
        polatis(b"N-VST-192x192-LU1-DMHNV-801"),
        lambda d: d.get(PowerMeter).read_power_dbm(25),
        [(b":PMON:POW? (@25)\n", b"(-12.34)\r\n")],
        {},
    ),
    "awg5014 play": (
        "tektronix.awg5014",
        AWG5014,
        lambda d: d.play({1: np.array([-0.5, 0.5] * 480)}, 1e9),
        [
            (b"AWGC:STOP\n",),
            DONE,
            *(step for query, off in outputs() for step in ((query.replace(b"?", b" 0"),), (query, off))),
            (b"SOUR1:ROSC:SOUR INT\n",),
            DONE,
            OK,
            (b"SOUR1:FREQ 1.000000000E+09\n",),
            DONE,
            OK,
            OK,
            (b'WLIS:WAV:DEL "qhal_1"\n',),
            (b":SYST:ERR?\n", b'-224,"Illegal parameter value"\n'),
            OK,
            (b'WLIS:WAV:NEW "qhal_1",960,INT\n',),
            (b'WLIS:WAV:DATA "qhal_1",#41920' + SAMPLES + b"\n",),
            DONE,
            (b'WLIS:WAV:LENG? "qhal_1"\n', b"960\n"),
            (b"SOUR1:VOLT:AMPL 1.000000\n",),
            (b"SOUR1:VOLT:OFFS 0.000000\n",),
            (b'SOUR1:WAV "qhal_1"\n',),
            OK,
            (b"OUTP1:STAT 1\n",),
            (b"OUTP1:STAT?\n", b"1\n"),
            (b"AWGC:RMOD CONT\n",),
            (b"AWGC:RUN\n",),
            DONE,
            OK,
            (b"AWGC:RST?\n", b"2\n"),
            *awg_state(b"2", b"1.00000000E+009", 1),
        ],
        {},
    ),
    "awg5014 stop": (
        "tektronix.awg5014",
        AWG5014,
        lambda d: d.stop(),
        [(b"AWGC:STOP\n",), DONE, *awg_state(b"0", b"1.20000000E+009")],
        {},
    ),
    "dd100 home sensor": (
        "ozoptics.dd100",
        DD100,
        refuses(DeviceError, lambda d: d.home()),
        [(b"H\r", b"Error-5\r\n" + END)],
        LINE,
    ),
    "dd100 not homed": (
        "ozoptics.dd100",
        DD100,
        refuses(PositionUnknown, lambda d: d.read_attenuation_db()),
        [(b"A?\r", b"Atten: unknown\r\n" + END)],
        LINE,
    ),
    "polatis port": (
        "hubersuhner.polatis",
        polatis(),
        refuses(DeviceError, lambda d: d.connect(1, 25)),
        [
            pattern(b"(@),(@)"),
            (b":OXC:SWIT:CONN:ADD (@1),(@25)\n",),
            (b":SYST:ERR?\n", b'-222, "Data out of range"\r\n'),
            NO_ERROR,
        ],
        {},
    ),
    "polatis monitor without a value": (
        "hubersuhner.polatis",
        polatis(),
        refuses(NoValue, lambda d: d.get(PowerMeter).read_power_dbm(25)),
        [(b":PMON:POW? (@25)\n", b"(9.91E+37)\r\n")],
        {},
    ),
    "pm100d power": (
        "thorlabs.pm100d",
        PM100D,
        lambda d: d.read_power_dbm(1),
        [(b"MEAS:POW?\n", b"1.23456789E-06\n"), (b"SENS:POW:UNIT?\n", b"W\n")],
        {},
    ),
    "pm100d wavelength": (
        "thorlabs.pm100d",
        PM100D,
        lambda d: d.set_wavelength_nm(1310.0),
        [(b"SENS:CORR:WAV 1310.0\n",), PM_OK, (b"SENS:CORR:WAV?\n", b"1.31000000E+03\n")],
        {},
    ),
    "pm100d wavelength of another sensor": (
        "thorlabs.pm100d",
        PM100D,
        refuses(DeviceError, lambda d: d.set_wavelength_nm(300.0)),
        [(b"SENS:CORR:WAV 300.0\n",), (b":SYST:ERR?\n", b'-222,"Data out of range"\n'), PM_OK],
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_byte_each_way(name):
    driver, opening, verb, exchanges, wire = CASES[name]
    follow(driver, opening, verb, exchanges, **wire)


@pytest.mark.parametrize(
    ("exchanges", "message"),
    [
        ([(b"A20.0\r", b"Pos:2000\r\n" + END)], r"sent b'A20.00\\r', expected b'A20.0\\r'"),
        ([(b"A20.00\r", b"Pos:2000\r\n" + END)], r"sent b'A\?\\r', after the end"),
        (
            [
                (b"A20.00\r", b"Pos:2000\r\n" + END),
                (b"A?\r", b"Atten:20.00(dB)\r\n" + END),
                (b"D\r",),
            ],
            r"never sent: b'D\\r'",
        ),
        (
            [(b"A20.00\r", b"Pos:2000\r\n" + END + b"\n"), (b"A?\r", b"Atten:20.00(dB)\r\n" + END)],
            r"came without a request",
        ),
    ],
)
def test_one_byte_more_is_a_failure(exchanges, message):
    with pytest.raises((AssertionError, ProtocolError), match=message):
        follow("ozoptics.dd100", DD100, lambda d: d.set_attenuation_db(20.0), exchanges, **LINE)
