"""make soak: the real agent through noise for a while, and whether anything of it grows.

soak.py TIME      such as 90s, 15m or 8h; ROBOT_OTA_SOAK_AGENT names the agent, built so that its clock can be set

Meanwhile the broker is restarted and killed, the update server hangs, dies and comes back, ROS peers come and go, some
without a word, followers of the agent's socket hang up, the cable comes off, the clock on the wall jumps by up to a
day, and good and bad firmware comes one after the other.
"""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import stage as stages
from idle import fields
from processes import Failed, run
from stage import BIN, ROBOT, Stage, say

UNITS = {"s": 1, "m": 60, "h": 3600}
EVERY = 5  # seconds from one look to the next
ROWS = 12  # of the table
# What may differ between the middle values of the two halves and is no growth. The first fifth of the time is the
# agent's to settle in and belongs to neither half. Memory is in MiB: Go's collector lets it breathe.
NOISE = {"goroutines": 4, "threads": 3, "files": 3, "heap": 2.0, "pss": 4.0, "rss": 6.0}


def parse(text):
    """The seconds of 90s, 15m, 8h."""
    if text[-1:] not in UNITS or not text[:-1].isdigit() or int(text[:-1]) * UNITS[text[-1]] < 60:
        raise SystemExit(f"soak: SOAKTIME={text}: want a time from 60s on, such as 90s, 15m or 8h")
    return int(text[:-1]) * UNITS[text[-1]]


class Soak:
    """The stage, and everything that happens on it."""

    def __init__(self, stage, seed):
        self.stage, self.random = stage, random.Random(seed)
        self.over = threading.Event()
        self.broken = []  # what a noise could not do
        self.count = {}
        self.urls = []

    def pid(self):
        """Of the agent; fails when it has died."""
        process = next(p for name, p, _ in self.stage.processes.running if name == "agent")
        if process.poll() is not None:
            raise Failed(f"the agent ended with {process.returncode}:\n{self.stage.processes.tail('agent', 40)}")
        return process.pid

    def health(self):
        """What the agent says of itself."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(str(self.stage.folder / "agent.sock"))
            s.sendall(b"GET /v1/health HTTP/1.0\r\nHost: agent\r\n\r\n")
            answer = b"".join(iter(lambda: s.recv(65536), b""))
        return json.loads(answer.split(b"\r\n\r\n", 1)[1])

    def look(self):
        """One sample."""
        pid, health = self.pid(), self.health()
        proc = pathlib.Path(f"/proc/{pid}")
        memory = fields(proc / "smaps_rollup")
        return {
            "goroutines": health["goroutines"], "threads": fields(proc / "status")["Threads"],
            "files": len(list((proc / "fd").iterdir())), "heap": health["heap_bytes"] / 2**20,
            "pss": memory["Pss"] / 1024, "rss": memory["Rss"] / 1024, "state": health["status"]["state"],
        }

    def noise(self, name, least, most, make):
        """Makes a noise again and again, with pauses of so many seconds."""

        def go():
            while not self.over.wait(self.random.uniform(least, most)):
                try:
                    make()
                    self.count[name] = self.count.get(name, 0) + 1
                except (Failed, OSError, subprocess.SubprocessError, StopIteration) as e:
                    self.broken.append(f"{name}: {e}")

        thread = threading.Thread(target=go, name=name)
        thread.start()
        return thread

    def signal(self, name, number):
        """Sends a signal to a process of the stage."""
        for entry in self.stage.processes.running:
            if entry[0] == name:
                os.killpg(entry[1].pid, number)

    def away(self, name, start):
        """A process ends, well or by force, and comes back."""
        if self.random.random() < 0.5:
            self.signal(name, signal.SIGKILL)
        self.stage.processes.end(name)
        self.over.wait(self.random.uniform(0, 8))
        start()

    def broker(self):
        """The broker flaps."""
        self.away("broker", self.stage.fleet.start_broker)

    def server(self):
        """The update server hangs, or is away."""
        if self.random.random() < 0.5:
            self.signal("fleet", signal.SIGSTOP)
            self.over.wait(self.random.uniform(1, 40))
            self.signal("fleet", signal.SIGCONT)
        else:
            self.away("fleet", self.stage.start_server)

    def peer(self):
        """A ROS peer comes and goes."""
        script = pathlib.Path(__file__).with_name("peer.py")
        subprocess.run([sys.executable, script, ROBOT, str(self.random.uniform(3, 15))],
                       check=False, capture_output=True, timeout=90)

    def follower(self):
        """Somebody follows what the agent does, and hangs up."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.stage.folder / "agent.sock"))
            s.sendall(b"GET /v1/events HTTP/1.1\r\nHost: agent\r\n\r\n")
            s.settimeout(1)
            with contextlib.suppress(TimeoutError):
                s.recv(65536)
            self.over.wait(self.random.uniform(0, 20))

    def clock(self):
        """The clock on the wall is set, and mostly set right again."""
        by = self.random.choice([0, 0, 5, 60, 3600, 86400]) * self.random.choice([-1, 1])
        (self.stage.folder / "clock").write_text(str(by))

    def cable(self):
        """The cable comes off for a moment."""
        socket_ = self.stage.folder / "sim.sock"
        run(BIN / "ota-sim", "cable", "--control", socket_, "--unplug")
        self.over.wait(self.random.uniform(1, 5))
        run(BIN / "ota-sim", "cable", "--control", socket_, "--plug")

    def update(self):
        """A new firmware is asked for, every third one a bad one."""
        n = len(self.urls) + 1
        name = self.stage.image(f"0.2.{n}", "fail_self_test" if n % 3 == 0 else "good", "256K")
        self.urls.append(self.stage.publish(name))
        try:
            run(BIN / "ota-agent", "trigger", "--detach", "--socket", self.stage.folder / "agent.sock", self.urls[-1])
        except Failed as e:
            if "is going on" not in str(e):  # the one before takes its time
                raise

    def go(self, seconds):
        """Makes all noise for so long, and returns the samples."""
        threads = [self.noise(*n) for n in (
            ("broker away", 15, 60, self.broker), ("server away", 20, 80, self.server), ("ROS peer", 5, 20, self.peer),
            ("follower", 1, 10, self.follower), ("clock set", 10, 40, self.clock), ("cable off", 60, 120, self.cable),
            ("update", 30, 70, self.update))]
        samples, began = [], time.monotonic()
        try:
            while time.monotonic() - began < seconds:
                time.sleep(EVERY)
                samples.append(self.look() | {"at": time.monotonic() - began})
        finally:
            self.over.set()
            for t in threads:
                t.join()
        return samples

    def calm(self):
        """Lets everything come right, and holds the end against what it should be."""
        (self.stage.folder / "clock").write_text("0")
        self.signal("fleet", signal.SIGCONT)
        end = time.monotonic() + 120
        while True:
            health = self.health()
            status = health["status"]
            if health["broker"]["connected"] and not status.get("held") and status["state"] in (
                    "idle", "observing", "failed", "rolled_back") and status["running"]["version"]:
                break
            if time.monotonic() > end:
                raise Failed(f"the agent does not come right: {json.dumps(health)}")
            time.sleep(1)
        report = self.stage.slots()
        slot = next(s for s in report["slots"] if s["slot"] == report["next_boot"])
        if slot["version"] != status["running"]["version"] or slot["ota_state"] not in ("valid", "undefined"):
            raise Failed(f"the chip boots {slot}, and the agent says {status['running']}")
        audit = run(BIN / "ota-agent", "history", "--verify", "--socket", self.stage.folder / "agent.sock")
        say(f"  at the end  {slot['version']} in {slot['slot']}, broker connected; {audit.strip().splitlines()[0]}")


def judge(samples):
    """What has grown."""
    rest = samples[len(samples) // 5:]
    first, second = rest[:len(rest) // 2], rest[len(rest) // 2:]
    grown = []
    for what, noise in NOISE.items():
        was, now = (statistics.median(s[what] for s in half) for half in (first, second))
        verdict = "grows" if now > was + noise else "flat"
        say(f"  {what:<11} {was:8.1f} in the first half, {now:8.1f} in the second "
            f"({now - was:+.1f}, noise {noise}): {verdict}")
        if verdict == "grows":
            grown.append(what)
    return grown


def table(samples):
    """The samples, in a few rows of medians."""
    say("   minute  goroutines threads files heap MiB  PSS MiB  RSS MiB")
    size = max(1, len(samples) // ROWS)
    for i in range(0, len(samples), size):
        part = samples[i:i + size]
        row = {k: statistics.median(s[k] for s in part) for k in NOISE}
        say(f"   {part[-1]['at'] / 60:6.1f}  {row['goroutines']:10.0f} {row['threads']:7.0f} {row['files']:5.0f} "
            f"{row['heap']:8.1f} {row['pss']:8.1f} {row['rss']:8.1f}")


def report(seconds, seed, failures):
    """A line for make proof."""
    if name := os.environ.get("ROBOT_OTA_PROOF_REPORT"):
        with pathlib.Path(name).open("a") as f:
            f.write(json.dumps({"part": f"the real program, {round(seconds / 60)} min", "hours": round(seconds / 3600),
                                "failures": failures, "seeds": str(seed)}) + "\n")


def main(text):
    """Soaks; 0 when nothing has grown and all has come right."""
    seconds, seed = parse(text), int(os.environ.get("SOAKSEED", "1"))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="robot-ota-soak-"))
    stage, failures = Stage(folder), 1
    try:
        (folder / "clock").write_text("0")
        os.environ["ROBOT_OTA_SOAK_CLOCK"] = str(folder / "clock")
        stages.AGENT = pathlib.Path(os.environ["ROBOT_OTA_SOAK_AGENT"])
        stage.prepare()
        stage.start("15s")
        soak = Soak(stage, seed)
        say(f"The agent through noise, for {text}, seed {seed}, broker {stage.fleet.broker()}:")
        samples = soak.go(seconds)
        table(samples)
        failures = len(judge(samples))
        say("  noises      " + ", ".join(f"{n} {what}" for what, n in sorted(soak.count.items())))
        for b in soak.broken:
            say(f"  a noise that could not be made: {b[:300]}")
        soak.calm()
    except (Failed, KeyboardInterrupt, OSError) as e:
        failures = max(1, failures)
        say(f"Failed: {e or 'interrupted'}\n{stage.processes.tail('agent', 30)}")
    finally:
        stage.close()
        shutil.rmtree(folder)
    report(seconds, seed, failures)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
