"""make demo: three updates of a simulated robot, from the trigger to the end.

Simulator, update server and agent are processes of their own; the operator is
an rclpy client. What counts is what lies in the chip afterwards.
"""

import hashlib
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

from client import Client
from processes import Failed, Processes, free_port, run

BIN = pathlib.Path("bin").resolve()
ROBOT = "robot_01"


def say(text):
    """A line of the story."""
    print(text, flush=True)


def config(folder, port):
    """The agent's configuration, as an operator would write it."""
    control = folder / "sim.sock"
    reset = [str(BIN / "ota-sim"), "reset", "--control", str(control)]
    text = f"""\
robot: {{id: {ROBOT}, sku: standard, companion_version: 0.2.0}}
state_dir: {folder / "state"}
control_socket: {folder / "agent.sock"}
server: {{url: "https://localhost:{port}", ca_file: {folder / "tls" / "ca.pem"}, check_every: 0}}
trust: {{keys: [{folder / "keys" / "*.der"}]}}
serial:
  port: {folder / "robot.tty"}
  reset:
    method: command # a pseudo terminal has no DTR and RTS
    command:
      bootloader: {json.dumps(reset + ["--bootloader"])}
      run: {json.dumps(reset + ["--run"])}
microros: {{unit: ""}}
"""
    (folder / "agent.yaml").write_text(text)
    return folder / "agent.yaml"


class Demo:
    """The parts of the story, and the three acts."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = Processes(folder)
        self.port = free_port()
        self.client = None

    def prepare(self):
        """Keys, certificate and images."""
        f = self.folder
        (f / "keys").mkdir()
        run(BIN / "ota-sign", "keygen", "--key", f / "signing.pem", "--pub", f / "keys" / "signing")
        run(BIN / "ota-fleet", "dev-cert", "--dir", f / "tls", "--host", "localhost")
        for version in ("0.2.0", "0.2.1", "0.2.3"):
            self.image(version, "good")
        self.image("0.2.2", "fail_self_test")
        (f / "tampered.signed").write_bytes(tamper((f / "0.2.3.signed").read_bytes()))

    def image(self, version, behaviour):
        """A firmware of 1.4 MB, built by the simulator's builder and signed."""
        plain, signed = self.folder / f"{version}.bin", self.folder / f"{version}.signed"
        run(BIN / "ota-sim", "image", "--version", version, "--behaviour", behaviour, "--size", "1388912",
            "--output", plain)
        run(BIN / "ota-sign", "sign", "--version", version, "--key", self.folder / "signing.pem",
            "--input", plain, "--output", signed)

    def start(self):
        """The robot, the server, the agent."""
        f, p = self.folder, self.processes
        p.start("sim", BIN / "ota-sim", "robot", "--robot-id", ROBOT, "--ros", "--pty", f / "robot.tty",
                "--control", f / "sim.sock", "--flash", f / "flash.bin", "--firmware", f / "0.2.0.bin:factory")
        p.wait_for("sim", lambda: p.logged("sim", "ready"))
        p.start("fleet", BIN / "ota-fleet", "serve", "--data", f / "fleet", "--listen", f"127.0.0.1:{self.port}",
                "--tls-cert", f / "tls" / "server.pem", "--tls-key", f / "tls" / "server-key.pem")
        p.wait_for("fleet", lambda: p.logged("fleet", "listening"))
        p.start("agent", BIN / "ota-agent", "run", "--config", config(f, self.port))
        p.wait_for("agent", lambda: p.logged("agent", "ready"))
        self.client = Client()
        self.client.wait_for_robot()

    def publish(self, name):
        """Puts a signed image on the update server and returns its address."""
        image = self.folder / name
        run(BIN / "ota-fleet", "publish", "--data", self.folder / "fleet", "--sku", "standard",
            "--key", self.folder / "keys" / "signing.der", image)
        return f"https://localhost:{self.port}/v1/artifacts/{hashlib.sha256(image.read_bytes()).hexdigest()}"

    def smuggle(self, name):
        """Replaces a published image behind the server's back: what an attacker with its disk would do."""
        url = self.publish("0.2.3.signed")
        artifact = self.folder / "fleet" / "artifacts" / url.rsplit("/", 1)[1]
        artifact.chmod(0o644)
        shutil.copyfile(self.folder / name, artifact)
        return url

    def slots(self):
        """What lies in the chip."""
        return json.loads(run(BIN / "ota-sim", "slots", "--control", self.folder / "sim.sock", "--json"))

    def expect(self, what, got, want):
        """One thing that has to be true at the end of an act."""
        if got != want:
            raise Failed(f"{what}: {got!r}, expected {want!r}")
        say(f"    ✓ {what}: {got}")

    def good(self):
        """Act one."""
        say("\n1. A good update: 0.2.0 → 0.2.1, asked for by a ROS 2 client")
        end = self.client.update(self.publish("0.2.1.signed"))
        self.expect("the agent says", end.state, "observing")
        report = self.slots()
        self.expect("the chip boots", report["next_boot"], "ota_0")
        self.expect("which is marked", slot(report, "ota_0")["ota_state"], "valid")
        self.expect("and holds", slot(report, "ota_0")["version"], "0.2.1")

    def bad(self):
        """Act two."""
        say("\n2. A firmware that fails its self-test: 0.2.1 → 0.2.2")
        end = self.client.update(self.publish("0.2.2.signed"))
        self.expect("the agent says", end.state, "rolled_back")
        say(f"      {end.message}")
        self.client.spin_until(lambda: self.client.status.running_version == "0.2.1", 20, "hearing 0.2.1 again")
        self.expect("the robot runs", self.client.status.running_version, "0.2.1")
        report = self.slots()
        self.expect("the chip boots", report["next_boot"], "ota_0")

    def tampered(self):
        """Act three."""
        say("\n3. A tampered image: one bit of 0.2.3 flipped on the server, its hash made to fit")
        before = self.slots()
        end = self.client.update(self.smuggle("tampered.signed"))
        self.expect("the agent says", end.state, "failed")
        say(f"      {end.message}")
        self.expect("the chip was touched", self.slots() != before, False)
        self.expect("the robot runs", self.client.status.running_version, "0.2.1")

    def table(self):
        """The chip's slots as a reader sees them."""
        say("\nThe chip at the end:")
        say(run(BIN / "ota-sim", "slots", "--control", self.folder / "sim.sock"))
        say("The agent's history:")
        say(run(BIN / "ota-agent", "history", "--socket", self.folder / "agent.sock"))

    def close(self):
        """Ends everything."""
        if self.client:
            self.client.close()
        self.processes.stop()


def tamper(signed):
    """One bit of the firmware flipped, and the header's hash made right again, as an attacker would."""
    header, payload = bytearray(signed[:136]), bytearray(signed[136:])
    payload[len(payload) // 2] ^= 0x10
    header[12:44] = hashlib.sha256(payload).digest()
    return bytes(header + payload)


def slot(report, name):
    """The slot of that name in a report."""
    return next(s for s in report["slots"] if s["slot"] == name)


def main():
    """Plays the story; 0 only if every act ended as it should."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="robot-ota-demo-"))
    demo = Demo(folder)
    began = time.monotonic()
    try:
        say("A robot with an ESP32-S3 (simulated), an update server and the agent, each a process of its own.")
        demo.prepare()
        demo.start()
        demo.good()
        demo.bad()
        demo.tampered()
        demo.table()
    except (Failed, KeyboardInterrupt) as e:
        say(f"\nThe demo did not end well: {e or 'interrupted'}")
        for name, _, _ in demo.processes.running:
            say(f"\n--- {name}\n{demo.processes.tail(name)}")
        say(f"\nEverything that was written lies in {folder}.")
        return 1
    finally:
        demo.close()
    say(f"All three ended as they should, in {time.monotonic() - began:.0f} s.")
    if os.environ.get("KEEP"):
        say(f"What was written lies in {folder}.")
    else:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
