"""One line protocol on TCP, a pty and ZeroMQ, in a process of its own; prints the addresses as JSON."""

import json
import os
import pty
import socket
import sys
import threading
import tty
from collections.abc import Callable

import zmq

ANSWERS = {b"*IDN?": b"ACME,ECHO,1,1.0", b"VAL?": b"0"}
VALUE = b"1.234500E-03"


def serve(receive: Callable[[], bytes], send: Callable[[bytes], object]) -> None:
    buffer = b""
    while data := receive():
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            send(ANSWERS.get(line, VALUE) + b"\n")


def accept(listener: socket.socket) -> None:
    while True:
        client, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(
            target=serve, args=(lambda c=client: c.recv(4096), client.sendall), daemon=True
        ).start()


def reply(socket_: "zmq.Socket[bytes]") -> None:
    while True:
        socket_.send(ANSWERS.get(socket_.recv().strip(), VALUE))


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    master, slave = pty.openpty()
    tty.setraw(slave)
    rep = zmq.Context.instance().socket(zmq.REP)
    zmq_port = rep.bind_to_random_port("tcp://127.0.0.1")
    for target, arguments in (
        (accept, (listener,)),
        (serve, (lambda: os.read(master, 4096), lambda data: os.write(master, data))),
        (reply, (rep,)),
    ):
        threading.Thread(target=target, args=arguments, daemon=True).start()
    addresses = {"tcp": listener.getsockname()[1], "pty": os.ttyname(slave), "zmq": zmq_port}
    print(json.dumps(addresses), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
