"""pytla (MSA 1.2) against the simulated ITLA: identity strings, limits, tuning, power, output on and off."""

import json
import sys
import time

from itla import ITLA

unit = json.loads(sys.argv[1])
path = unit["address"].removeprefix("serial://")
laser = ITLA(path, 9600, version="1.2")
laser.sleep_time = 0.02
laser.connect()
assert "CW" in str(laser.get_device_type())
assert laser.get_manufacturer()
assert laser.get_model()
assert laser.get_serialnumber()
laser.disable()
low, high = laser.get_frequency_min(), laser.get_frequency_max()
assert 185 < low < high < 200, (low, high)
assert laser.get_power_min() < laser.get_power_max()
laser.set_frequency(193.4)
laser.set_power(10.0)
assert abs(laser.get_frequency() - 193.4) < 1e-3, laser.get_frequency()
assert laser.get_power_setting() == 10.0, laser.get_power_setting()
try:
    laser.enable()
except Exception as error:
    assert type(error).__name__ == "CPException", error
laser.wait()
deadline = time.monotonic() + 5
while laser.is_disabled():
    assert time.monotonic() < deadline, "still disabled"
    time.sleep(0.02)
while abs(laser.get_power_output() - 10.0) > 0.5:  # it tunes before it shines
    assert time.monotonic() < deadline, laser.get_power_output()
    time.sleep(0.02)
laser.disable()
assert laser.is_disabled()
assert laser.get_power_output() < -20, laser.get_power_output()
laser.disconnect()
