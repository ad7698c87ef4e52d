"""Each driver has an exact script of what goes each way."""

from qhal.node.driver_registry import drivers
from tests.drivers import test_binary_scripts, test_line_scripts, test_message_scripts


def test_each_driver_has_a_script():
    modules = (test_binary_scripts, test_line_scripts, test_message_scripts)
    assert {case[0] for module in modules for case in module.CASES.values()} == set(drivers())
