"""QMI's AWG5014 driver against the simulator: everything it can read and set without a file."""

import json
import sys

import qmi
from qmi.instruments.tektronix import Tektronix_Awg5014

unit = json.loads(sys.argv[1])
address = unit["address"].removeprefix("tcp://")
qmi.start("interop")
awg = qmi.make_instrument("awg", Tektronix_Awg5014, f"tcp:{address}")
awg.open()
awg.reset()
awg.wait_and_clear()
assert awg.get_state() is not None
awg.set_source_clock_frequency(1.0e9)
assert awg.get_source_clock_frequency() == 1.0e9
awg.set_reference_oscillator_to_external()
assert awg.get_reference_oscillator_source() == "EXT"
awg.set_reference_oscillator_to_internal()
assert awg.get_reference_oscillator_source() == "INT"
for channel in (1, 2, 3, 4):
    awg.set_amplitude(channel, 1.25)
    assert awg.get_amplitude(channel) == 1.25
    awg.set_offset(channel, -0.5)
    assert awg.get_offset(channel) == -0.5
    awg.set_low_pass_filter_frequency(channel, 20e6)
    assert awg.get_low_pass_filter_frequency(channel) == 20e6
    for marker in (1, 2):
        awg.set_marker_high(channel, marker, 1.5)
        awg.set_marker_low(channel, marker, 0.25)
        assert awg.get_marker_high(channel, marker) == 1.5
        assert awg.get_marker_low(channel, marker) == 0.25
awg.set_run_mode_to_continuous()
assert awg.get_run_mode() == "CONT"
awg.set_dc_output_offset(1, 0.75)
assert awg.get_dc_output_offset(1) == 0.75
awg.set_trigger_level(1.0)
assert awg.get_trigger_level() == 1.0
awg.wait_command_completion()
awg.stop()
awg.close()
qmi.stop()
