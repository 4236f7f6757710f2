"""The fleet's side of MQTT: a broker, an operator who gives commands, and one who listens."""

import json
import secrets
import socket
import time

from processes import free_port, run, secret


class Fleet:
    """Starts a broker and a listener to all that robots say."""

    def __init__(self, bin, processes, tls, robot):
        self.bin, self.processes, self.robot = bin, processes, robot
        self.folder, self.ca = processes.folder, tls / "ca.pem"
        port = free_port()
        self.url = f"mqtts://localhost:{port}"
        self.heard = 0  # lines of the listener that were looked at
        self.statuses, self.events = [], []
        passwords = {user: secrets.token_urlsafe(16) for user in ("operator", robot)}
        secret(self.folder / "passwords", "".join(f"{user}:{word}\n" for user, word in passwords.items()))
        for user, word in passwords.items():
            secret(self.password_of(user), word)
        self.port, self.tls = port, tls
        self.start_broker()
        processes.start("listener", bin / "ota-sim", "subscribe", *self._login(), f"fleet/{robot}/ota/#")
        processes.wait_for("listener", lambda: processes.logged("listener", "subscribed"))

    def start_broker(self):
        """Starts it, with what it knew before."""
        self.processes.start("broker", self.bin / "ota-sim", "broker", "--program", "auto",
                             "--state", self.folder / "mosquitto", "--listen", f"127.0.0.1:{self.port}",
                             "--passwords", self.folder / "passwords",
                             "--tls-cert", self.tls / "server.pem", "--tls-key", self.tls / "server-key.pem")
        self.processes.wait_for("broker", lambda: listens(self.port))

    def _login(self):
        return ("--broker", self.url, "--ca", self.ca, "--password-file", self.password_of("operator"))

    def password_of(self, user):
        """The file with a user's password."""
        return self.folder / f"{user}.password"

    def broker(self):
        """Which broker it is."""
        line = (self.folder / "broker.log").read_text().split("\n", 1)[0]
        return line.split("\t", 1)[1]

    def command(self, verb, **fields):
        """Publishes a command to the robot and returns its topic."""
        topic = f"fleet/{self.robot}/commands/{verb}"
        run(self.bin / "ota-sim", "publish", *self._login(), topic, json.dumps(fields))
        return topic

    def listen(self):
        """Takes in what the robot has said since the last look."""
        lines = (self.folder / "listener.log").read_text(errors="replace").split("\n")[:-1]
        for line in lines[self.heard:]:
            if line.startswith("{"):
                message = json.loads(line)
                kind = message["topic"].rsplit("/", 1)[1]
                if kind == "status":
                    self.statuses.append(message["payload"])
                elif kind == "event":
                    self.events.append(message["payload"])
        self.heard = len(lines)

    def status(self, **fields):
        """The last status, where it has these fields."""
        self.listen()
        last = self.statuses[-1] if self.statuses else {}
        return last if all(last.get(k) == v for k, v in fields.items()) else None

    def event(self, since, **fields):
        """The first event from a place on that has these fields."""
        self.listen()
        return next((e for e in self.events[since:] if all(e.get(k) == v for k, v in fields.items())), None)

    def path(self, since):
        """The states that the events from a place on went through."""
        return " → ".join(e["to"] for e in self.events[since:] if e["kind"] == "transition")


def listens(port):
    """Whether a port of this machine takes connections."""
    with socket.socket() as s:
        s.settimeout(1)
        ready = s.connect_ex(("127.0.0.1", port)) == 0
    time.sleep(0 if ready else 0.02)
    return ready
