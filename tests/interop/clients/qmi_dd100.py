"""QMI's DD-100 driver against the simulator: configuration, homing, setting, reading back."""

import json
import sys

import qmi
from qmi.instruments.ozoptics import OzOptics_Dd100Mc

unit = json.loads(sys.argv[1])
path = unit["address"].removeprefix("serial://")
qmi.start("interop")
voa = qmi.make_instrument("voa", OzOptics_Dd100Mc, f"serial:{path}:baudrate=9600")
voa.open()
configuration = voa.get_configuration_display()
assert any("MAX ATTEN" in line.upper() for line in configuration), configuration
voa.home()
for wanted in (20.0, 3.5, 60.0, 20.0):
    steps = voa.set_attenuation(wanted)
    position = voa.get_position()
    assert position.attenuation == wanted, (wanted, position)
    assert position.steps == steps, (steps, position)
voa.close()
qmi.stop()
