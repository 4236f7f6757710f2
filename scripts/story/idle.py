"""make idle: what the agent takes at rest and in an update, and how soon it answers, beside nodes of rclgo alone."""

import contextlib
import os
import pathlib
import shutil
import socket
import sys
import tempfile
import threading
import time

import latency
from processes import Failed
from stage import BIN, Stage, say

SETTLE = 20  # seconds for discovery, TLS and the first words, which are not at rest
MEASURE = 60
STARTS = 5
SIZES = {"0.2.1": 524_288, "0.2.2": 1_900_000}  # bytes of two images; a slot has 2 MiB
PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
BARE = {"agent": "the agent", "bare": "a node that does nothing", "deaf": "a node that hears and takes nothing"}


def usage(pid):
    """What a process has taken so far: proc_pid_stat(5), proc_pid_smaps(5), proc_pid_status(5)."""
    proc = pathlib.Path(f"/proc/{pid}")
    stat = (proc / "stat").read_text().rsplit(")", 1)[1].split()
    tick = os.sysconf("SC_CLK_TCK")
    memory = fields(proc / "smaps_rollup")
    status = fields(proc / "status")
    threads = [fields(t / "status") for t in (proc / "task").iterdir()]
    return {
        "user": int(stat[11]) / tick,
        "system": int(stat[12]) / tick,
        "pss": memory["Pss"] / 1024,
        "rss": memory["Rss"] / 1024,
        "private": (memory["Private_Dirty"] + memory["Private_Clean"]) / 1024,
        "peak": status["VmHWM"] / 1024,
        "threads": status["Threads"],
        "wakes": sum(t["voluntary_ctxt_switches"] for t in threads),
    }


def fields(path):
    """The numbers of a file of lines "name: number unit"."""
    out = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if value.split() and value.split()[0].isdigit():
            out[name] = int(value.split()[0])
    return out


def pid_of(stage, name):
    """The process that runs under a name."""
    return next(p.pid for n, p, _ in stage.processes.running if n == name)


def neighbours(stage):
    """Starts what the agent is held against, as anybody would start a node: without the agent's profile of Fast DDS."""
    kept = {name: os.environ.pop(name) for name in PROFILES if name in os.environ}
    for name in ("bare", "deaf"):
        stage.processes.start(name, BIN / "bench" / name)
    os.environ.update(kept)
    for name in ("bare", "deaf"):
        stage.processes.wait_for(name, lambda name=name: stage.processes.logged(name, "ready"))


def rest(stage):
    """Prints what the agent and its neighbours take in a minute."""
    time.sleep(SETTLE)
    pids = {name: pid_of(stage, name) for name in BARE}
    before, began = {n: usage(p) for n, p in pids.items()}, time.monotonic()
    time.sleep(MEASURE)
    seconds = time.monotonic() - began
    after = {n: usage(p) for n, p in pids.items()}
    say(f"At rest, over {seconds:.0f} s, with ROS 2 (odometry 50 Hz, diagnostics 2 Hz, battery and E-stop 1 Hz),")
    say(f"MQTT to {stage.fleet.broker()}, and DTLS every 30 s. Load: {' '.join(f'{x:.1f}' for x in os.getloadavg())}.")
    say(f"  {'':36}  {'PSS':>6}  {'RSS':>6}  {'own':>6}  {'peak':>6}  {'CPU':>7}  threads  wakes/s")
    for name, what in BARE.items():
        a, b = after[name], before[name]
        cpu = 100 * (a["user"] + a["system"] - b["user"] - b["system"]) / seconds
        say(f"  {what:36}  {a['pss']:6.1f}  {a['rss']:6.1f}  {a['private']:6.1f}  {a['peak']:6.1f}  {cpu:5.2f} %  "
            f"{a['threads']:7}  {(a['wakes'] - b['wakes']) / seconds:7.0f}")
    say("  (MiB; own: shared with no other process)")


@contextlib.contextmanager
def systemd(folder):
    """Says READY=1 as systemd would hear it: gives a function that waits for it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(folder / "notify"))
        s.settimeout(30)
        os.environ["NOTIFY_SOCKET"] = str(folder / "notify")

        def ready():
            while b"READY=1" not in s.recv(4096):
                pass

        yield ready
        del os.environ["NOTIFY_SOCKET"]
    (folder / "notify").unlink()


def starts(stage):
    """Prints how long the agent takes from its start to READY=1 and to its first /ota/status."""
    ready, spoken = [], []
    config = stage.config("30s")
    with systemd(stage.folder) as wait:
        for _ in range(STARTS):
            stage.processes.end("agent")
            stage.client.status = None
            began = time.monotonic()
            stage.processes.start("agent", BIN / "ota-agent", "run", "--config", config)
            wait()
            ready.append(time.monotonic() - began)
            stage.client.spin_until(lambda: stage.client.status, 30, "the first /ota/status")
            spoken.append(time.monotonic() - began)
    for what, times in (("READY=1", ready), ("first /ota/status", spoken)):
        say(f"  {'start to ' + what:36}  {1000 * sorted(times)[STARTS // 2]:.0f} ms (middle of {STARTS}, at most "
            f"{1000 * max(times):.0f} ms)")


class Peak:
    """Watches the memory of a process while something goes on."""

    def __init__(self, pid):
        self.pid, self.over, self.pss, self.own = pid, threading.Event(), 0, 0
        self.thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self.over.wait(0.05):
            now = fields(pathlib.Path(f"/proc/{self.pid}/smaps_rollup"))
            self.pss = max(self.pss, now["Pss"] / 1024)
            self.own = max(self.own, (now["Private_Dirty"] + now["Private_Clean"]) / 1024)

    def __enter__(self):
        """Begins."""
        self.thread.start()
        return self

    def __exit__(self, *_):
        """Ends."""
        self.over.set()
        self.thread.join()


def updates(stage):
    """Prints what the agent takes during updates of a small and a large image."""
    for version, size in SIZES.items():
        url = stage.publish(stage.image(version, "good", str(size)))
        pid = pid_of(stage, "agent")
        before = usage(pid)
        with Peak(pid) as peak:
            end = stage.client.update(url)
        if end.state != "observing":
            raise Failed(f"the update to {version} ended as {end.state}: {end.message}")
        after = usage(pid)
        cpu = after["user"] + after["system"] - before["user"] - before["system"]
        say(f"  {f'update with {size / 1024:.0f} KiB':36}  at most {peak.pss:.1f} MiB PSS, {peak.own:.1f} own "
            f"(before: {before['pss']:.1f}, {before['private']:.1f}; after: {after['pss']:.1f}, "
            f"{after['private']:.1f}), {cpu:.2f} s CPU")


def answers(stage):
    """Prints how soon the agent answers and asks for an image, with a server that only notes when it is asked."""
    for name, times in latency.answers(stage.client, stage.processes).items():
        middle, late = latency.spread(times)
        say(f"  {'call of a service of ' + name:36}  p50 {middle:.2f} ms, p99 {late:.2f} ms ({latency.CALLS} calls)")
    server = latency.Server(stage.folder / "tls")
    try:
        stage.port = server.port
        stage.start_agent("30s")
        stage.operator()
        first, *others = latency.downloads(stage.client, server)
    finally:
        server.close()
    middle, late = latency.spread(others)
    say(f"  {'/ota/trigger to the GET of the image':36}  p50 {middle:.1f} ms, p99 {late:.1f} ms; "
        f"the first, with its TLS handshake, {1000 * first:.1f} ms")
    say(f"  {'a small file made durable':36}  {1000 * latency.durable(stage.folder):.1f} ms, done twice on that way")


def sizes():
    """Prints the sizes of the programs."""
    for name in ("ota-agent", "ota-sign", "ota-fleet"):
        say(f"  {'program ' + name:36}  {(BIN / name).stat().st_size / 2**20:.1f} MiB, with its tables for debuggers")


def main():
    """Measures; 0 when it could."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="robot-ota-idle-"))
    stage = Stage(folder)
    try:
        stage.prepare()
        stage.start("30s")
        neighbours(stage)
        rest(stage)
        if not stage.fleet.status(state="idle")["running"]["version"]:
            raise Failed("the agent has not heard the robot, so this was no rest but silence")
        stage.operator()
        starts(stage)
        stage.operator()
        updates(stage)
        answers(stage)
        sizes()
    except (Failed, KeyboardInterrupt) as e:
        say(f"Not measured: {e or 'interrupted'}\n{stage.processes.tail('agent')}")
        return 1
    finally:
        stage.close()
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
