"""The stage: a simulated robot, an update server, a broker and the agent, each a process of its own."""

import hashlib
import json
import pathlib
import secrets
import shutil

from client import Client
from mqtt import Fleet
from processes import Failed, Processes, free_port, run, secret

BIN = pathlib.Path("bin").resolve()
AGENT = BIN / "ota-agent"
ROBOT = "robot_01"
DTLS_KEY = secrets.token_hex(16)


def say(text):
    """A line of the story."""
    print(text, flush=True)


class Stage:
    """The parts of the story, and what an operator does with them."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = Processes(folder)
        self.port, self.dtls = free_port(), free_port()
        self.fleet = None
        self.client = None

    def prepare(self):
        """Keys and certificate."""
        f = self.folder
        (f / "keys").mkdir()
        run(BIN / "ota-sign", "keygen", "--key", f / "signing.pem", "--pub", f / "keys" / "signing")
        run(BIN / "ota-fleet", "dev-cert", "--dir", f / "tls", "--host", "localhost")
        self.sign_root()

    def sign_root(self):
        """The release metadata's keys, and its root document, signed by two of three holders."""
        f = self.folder
        for name in ("root-a", "root-b", "root-c", "targets", "online"):
            run(BIN / "ota-sign", "keygen", "--key", f / f"{name}-key.pem", "--pub", f / name)
        roots = [arg for name in ("root-a", "root-b", "root-c") for arg in ("--root", f / f"{name}.der")]
        run(BIN / "ota-sign", "tuf", "init", *roots, "--targets", f / "targets.der", "--online", f / "online.der",
            "--output", f / "root.json")
        run(BIN / "ota-sign", "tuf", "sign", "--key", f / "root-a-key.pem", "--key", f / "root-c-key.pem",
            f / "root.json")
        run(BIN / "ota-fleet", "metadata", "import", "--data", f / "fleet", f / "root.json")

    def config(self, trial):
        """The agent's configuration, as an operator would write it."""
        f = self.folder
        reset = [str(BIN / "ota-sim"), "reset", "--control", str(f / "sim.sock")]
        text = f"""\
robot: {{id: {ROBOT}, sku: standard, companion_version: 0.2.0}}
state_dir: {f / "state"}
control_socket: {f / "agent.sock"}
server: {{url: "https://localhost:{self.port}", ca_file: {f / "tls" / "ca.pem"}, check_every: 0}}
trust: {{keys: [{f / "keys" / "*.der"}]}}
metadata: {{required: true, root: {f / "root.json"}}}
serial:
  port: {f / "robot.tty"}
  reset:
    method: command # a pseudo terminal has no DTR and RTS
    command:
      bootloader: {json.dumps(reset + ["--bootloader"])}
      run: {json.dumps(reset + ["--run"])}
microros: {{unit: ""}}
mqtt: {{url: "{self.fleet.url}", ca_file: {f / "tls" / "ca.pem"}, password_file: {self.fleet.password_of(ROBOT)}}}
dtls: {{address: "127.0.0.1:{self.dtls}", key_file: {f / "dtls.key"}}}
trial: {{window: {trial}}}
"""
        (f / "agent.yaml").write_text(text)
        return f / "agent.yaml"

    def image(self, version, behaviour, size="1388912"):
        """A firmware, built by the simulator's builder and signed; returns the name of its file."""
        plain, signed = self.folder / f"{version}.bin", self.folder / f"{version}.signed"
        run(BIN / "ota-sim", "image", "--version", version, "--behaviour", behaviour, "--size", size, "--output", plain)
        run(BIN / "ota-sign", "sign", "--version", version, "--key", self.folder / "signing.pem",
            "--input", plain, "--output", signed)
        return signed.name

    def start(self, trial):
        """The robot, the server, the broker, the agent."""
        f, p = self.folder, self.processes
        self.image("0.2.0", "good")
        p.start("sim", BIN / "ota-sim", "robot", "--robot-id", ROBOT, "--ros", "--pty", f / "robot.tty",
                "--control", f / "sim.sock", "--flash", f / "flash.bin", "--firmware", f / "0.2.0.bin:factory",
                "--dtls", f"127.0.0.1:{self.dtls}", "--dtls-identity", "robot_a14f4201", "--dtls-key", DTLS_KEY)
        p.wait_for("sim", lambda: p.logged("sim", "ready"))
        self.start_server()
        self.fleet = Fleet(BIN, p, f / "tls", ROBOT)
        secret(f / "dtls.key", f"robot_a14f4201:{DTLS_KEY}\n")
        self.start_agent(trial)

    def start_server(self):
        """The update server."""
        f, p = self.folder, self.processes
        p.start("fleet", BIN / "ota-fleet", "serve", "--data", f / "fleet", "--listen", f"127.0.0.1:{self.port}",
                "--tls-cert", f / "tls" / "server.pem", "--tls-key", f / "tls" / "server-key.pem",
                "--identity", "optional", "--online-key", f / "online-key.pem", "--targets-key", f / "targets-key.pem")
        p.wait_for("fleet", lambda: p.logged("fleet", "listening"))

    def start_agent(self, trial):
        """The agent, instead of the one that runs."""
        p = self.processes
        p.end("agent")
        p.start("agent", AGENT, "run", "--config", self.config(trial))
        p.wait_for("agent", lambda: p.logged("agent", "ready"))

    def operator(self):
        """A ROS 2 client that has heard from the agent which firmware runs."""
        if not self.client:
            self.client = Client()
        self.client.wait_for_robot()

    def publish(self, name):
        """Puts a signed image on the update server and returns its address."""
        image = self.folder / name
        run(BIN / "ota-fleet", "publish", "--stable", "--data", self.folder / "fleet", "--sku", "standard",
            "--key", self.folder / "keys" / "signing.der", image)
        self.processes.wait_for("fleet", self.listed)
        return f"https://localhost:{self.port}/v1/artifacts/{self.digest(name)}"

    def listed(self):
        """Whether the list of releases says what is published."""
        show = run(BIN / "ota-fleet", "metadata", "show", "--data", self.folder / "fleet", "--json")
        return not json.loads(show)["differs"]

    def digest(self, name):
        """The SHA-256 of a file."""
        return hashlib.sha256((self.folder / name).read_bytes()).hexdigest()

    def smuggle(self, genuine, forged):
        """Replaces a published image behind the server's back: what an attacker with its disk would do."""
        url = self.publish(genuine)
        artifact = self.folder / "fleet" / "artifacts" / url.rsplit("/", 1)[1]
        artifact.chmod(0o644)
        shutil.copyfile(self.folder / forged, artifact)
        return url

    def battery(self, percent):
        """Sets the robot's charge."""
        say(f"    the robot's battery: {percent} %")
        run(BIN / "ota-sim", "battery", "--control", self.folder / "sim.sock", "--fraction", str(percent / 100))

    def gates(self, url):
        """The codes of what stands in an image's way now."""
        plan = json.loads(run(BIN / "ota-agent", "plan", "--socket", self.folder / "agent.sock", "--json", url))
        return {r["code"] for r in plan.get("reasons", [])}

    def slots(self):
        """What lies in the chip."""
        return json.loads(run(BIN / "ota-sim", "slots", "--control", self.folder / "sim.sock", "--json"))

    def expect(self, what, got, want):
        """One thing that has to be true at the end of a part."""
        if got != want:
            raise Failed(f"{what}: {got!r}, expected {want!r}")
        say(f"    ✓ {what}: {got}")

    def boots(self, name, version):
        """The chip boots a slot, which is marked valid and holds a version."""
        report = self.slots()
        self.expect("the chip boots", report["next_boot"], name)
        slot = next(s for s in report["slots"] if s["slot"] == name)
        self.expect("which is marked", slot["ota_state"], "valid")
        self.expect("and holds", slot["version"], version)

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

