"""An RFC 2217 server by pyserial ("pyserial") or esptool ("esp") on a loopback port.

Prints its address, then one line for each thing a client sets, and serves
one client.
"""

import logging
import socket
import sys
import threading

import serial
import serial.rfc2217

printing = threading.Lock()


def say(*words):
    """Prints one whole line, whatever other threads print."""
    with printing:
        print(*words, flush=True)


class Handler(logging.Handler):
    """Prints what esptool's manager says that it does."""

    def emit(self, record):
        text = record.getMessage()
        if text.startswith("Activating"):
            say(text)


def logged(name, convert):
    """The port's property, with each write printed."""
    base = getattr(serial.Serial, name)

    def put(self, value):
        say(name, convert(value))
        base.fset(self, value)

    return property(base.fget, put)


class Connection:
    def __init__(self, sock):
        self.sock, self.lock = sock, threading.Lock()

    def write(self, data):
        with self.lock:
            self.sock.sendall(data)


def main(kind):
    port = serial.serial_for_url("loop://", timeout=0.1)
    cls = type(port)
    for name, convert in (("dtr", int), ("rts", int), ("baudrate", int)):
        setattr(cls, name, logged(name, convert))

    listener = socket.create_server(("127.0.0.1", 0))
    say(f"127.0.0.1:{listener.getsockname()[1]}")
    sock, _ = listener.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    logger = logging.getLogger("rfc2217")
    logger.setLevel(logging.INFO)
    logger.addHandler(Handler())
    connection = Connection(sock)
    if kind == "esp":
        from esp_rfc2217_server import esp_port_manager

        # A loopback port has no lines; that a reset begins is all there is to see.
        esp_port_manager.UnixTightReset = esp_port_manager.HardReset = lambda *_: lambda: None
        manager = esp_port_manager.EspPortManager(port, connection, False, logger)
    else:
        manager = serial.rfc2217.PortManager(port, connection)

    def to_network():
        while True:
            data = port.read(port.in_waiting or 1)
            if data:
                connection.write(b"".join(manager.escape(data)))

    threading.Thread(target=to_network, daemon=True).start()
    while True:
        data = sock.recv(4096)
        if not data:
            return
        port.write(b"".join(manager.filter(data)))


main(sys.argv[1])
