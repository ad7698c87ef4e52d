"""Whatever an address is, it opens or gives a typed error with a message that can be printed."""

import time
from contextlib import suppress

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qhal.errors import ConfigurationError, Disconnected, ReplyTimeout
from qhal.transport.address import Address
from qhal.transport.open import make_transport

WORDS = """
://127.0.0.1:1 ://localhost:1 ://[::1]:1 ://[::1 ://:1 ://127.0.0.1 ://127.0.0.1: : :// ://a..b:1 ://u:p@127.0.0.1:1
://127.0.0.1:0 ://127.0.0.1:65536 ://127.0.0.1:x ://127.0.0.1:1/x ://127.0.0.1:1#x ://%31:1 ://-:x ://[v1.x]:1
:///dev/null :///dev/absent :/// :///dev :/dev/zero :. :/dev/full ://host/dev/null :dev/null
:TCPIP::127.0.0.1::1::SOCKET :TCPIP::127.0.0.1::99999::SOCKET :TCPIP::127.0.0.1::-1::SOCKET :TCPIP::a..b::1::SOCKET
:TCPIP::127.0.0.1::x::SOCKET :TCPIP::::SOCKET :ASRL/dev/null::INSTR :ASRL/dev/absent::INSTR :ASRL::INSTR ::INSTR
:USB::INSTR :USB0::0x0::0x0::x::INSTR :GPIB0::1::INSTR :GPIB::99999::INSTR :VXI0::1::INSTR :PXI0::1::INSTR
|serial tcp zmq+tcp visa replay record+serial record+tcp record+zmq+tcp record+visa record+replay TCP x
|baudrate stopbits parity bridge correlate backend trace timeout x
|0 1 2 7 9600 -1 1.5 1e3 none even @py @absent true %00 %zz /dev/full . t & = \u0663 \ud800
"""
PLACES, SCHEMES, OPTIONS, VALUES = map(str.split, WORDS.split("|"))

options = st.lists(
    st.builds("{}={}".format, st.sampled_from(OPTIONS), st.sampled_from(["", *VALUES])), max_size=3
)
addresses = st.builds(
    lambda scheme, place, query, trace, rest: (
        f"{scheme}{place}{'?' * bool(query)}{'&'.join(query)}{trace}{rest}"
    ),
    st.sampled_from(["", *SCHEMES]),
    st.sampled_from(PLACES),
    options,
    st.sampled_from(["", "&trace=t"]),
    st.one_of(st.just(""), st.text(max_size=4)),
)


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.one_of(addresses, st.text(max_size=40)))
@example(f"tcp://{'x' * 64}:1")
@example(f"zmq+tcp://{'.'.join(['x' * 63] * 5)}:1")
@example("tcp://" + "1" * 5000)
def test_an_odd_address_gives_a_typed_error(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)  # for traces
    try:
        transport = make_transport(Address(text))
    except ConfigurationError as error:
        message = str(error)
    else:
        message = ""
        with suppress(ReplyTimeout):
            try:
                transport.open(time.monotonic() + 0.5)
            except (ConfigurationError, Disconnected) as error:
                message = str(error)
        transport.close()
    message.encode()
