"""thorlabs-apt-protocol as byte oracle: it encodes the requests and decodes what the simulator sends."""

import io
import json
import sys
import time

import serial
import thorlabs_apt_protocol as apt

unit = json.loads(sys.argv[1])
path = unit["address"].removeprefix("serial://")
line = serial.Serial(path, 115200, timeout=0.5)


def ask(request: bytes, wanted: str, seconds: float = 3.0):
    line.write(request)
    deadline = time.monotonic() + seconds
    received = b""
    while time.monotonic() < deadline:
        received += line.read(line.in_waiting or 1)
        for message in apt.Unpacker(io.BytesIO(received)):
            if message.msg == wanted:
                return message
    raise AssertionError((wanted, received.hex()))


info = ask(apt.hw_req_info(0x50, 0x01), "hw_get_info")
assert str(info.serial_number).startswith("38"), info
line.write(
    apt.pol_set_params(0x50, 0x01, velocity=50, home_position=0, jog_step1=25, jog_step2=25, jog_step3=25)
)
parameters = ask(apt.pol_req_params(0x50, 0x01), "pol_get_params")
assert parameters.velocity == 50, parameters
line.write(apt.mod_set_chanenablestate(0x50, 0x01, chan_ident=7, enable_state=1))
time.sleep(0.1)
ask(apt.mot_move_absolute(0x50, 0x01, chan_ident=1, position=400), "mot_move_completed")
status = ask(apt.mot_req_dcstatusupdate(0x50, 0x01, chan_ident=1), "mot_get_dcstatusupdate")
assert status.position == 400, status
line.close()
