"""Tektronix' own tm_devices against the simulated AWG5014: recognised, set up, run, no error left."""

import json
import sys
import warnings

from tm_devices import DeviceManager

warnings.simplefilter("ignore")
unit = json.loads(sys.argv[1])
host, port = unit["address"].removeprefix("tcp://").split(":")
with DeviceManager(verbose=False) as manager:
    manager.visa_library = "@py"
    awg = manager.add_awg(host, connection_type="SOCKET", port=int(port))
    assert awg.model.startswith("AWG5014"), awg.model
    channel = awg.source_channel["SOURCE1"]
    awg.set_sample_rate(1.0e9)
    channel.set_amplitude(1.0)
    channel.set_offset(0.1)
    awg.commands.wlist.waveform.new.write('"interop",960,INTEGER')
    awg.commands.source[1].waveform.write('"interop"')
    assert awg.commands.source[1].waveform.query() == '"interop"'
    channel.set_state(1)
    awg.commands.awgcontrol.run.immediate.write()
    assert awg.commands.awgcontrol.rstate.query() == "2"
    awg.expect_esr(0)
    assert awg.query("SYSTem:ERRor?").startswith("0,")
