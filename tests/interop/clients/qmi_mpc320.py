"""QMI's MPC320 driver against the simulator: identity, enable mask, parameters, moves, status."""

import json
import sys
import time

import qmi
from qmi.instruments.thorlabs import Thorlabs_Mpc320

unit = json.loads(sys.argv[1])
path = unit["address"].removeprefix("serial://")
qmi.start("interop")
controller = qmi.make_instrument("mpc", Thorlabs_Mpc320, f"serial:{path}:baudrate=115200")
controller.open()
identity = controller.get_idn()
assert b"MPC320" in identity.model or "MPC320" in str(identity.model), identity
controller.enable_channels([1, 2, 3])
time.sleep(0.2)
states = [controller.get_channel_state(channel) for channel in (1, 2, 3)]
assert all(state.name == "ENABLE" for state in states), states
controller.set_polarisation_parameters(100, 0.0, 5.0, 5.0, 5.0)
parameters = controller.get_polarisation_parameters()
assert parameters.velocity == 100, parameters
for channel, angle in ((1, 45.0), (2, 90.0), (3, 120.0)):
    controller.move_absolute(channel, angle)
    deadline = time.monotonic() + 5
    while abs(controller.get_status_update(channel).position - angle) > 0.1:
        assert time.monotonic() < deadline, controller.get_status_update(channel)
        time.sleep(0.02)
controller.disable_all_channels()
time.sleep(0.2)
assert controller.get_channel_state(1).name == "DISABLE"
controller.close()
qmi.stop()
