"""make idle: what the agent takes at rest and in an update, and how soon it answers, beside nodes of rclgo alone."""

import argparse
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
from rows import Rows, verdict
from stage import BIN, Stage, say

SETTLE = 20  # seconds for discovery, TLS and the first words, which are not at rest
MEASURE = 60
STARTS = 5
SIZES = {"0.2.1": 524_288, "0.2.2": 1_900_000}  # bytes of two images; a slot has 2 MiB
PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
BARE = {"agent": "the agent", "bare": "a node that does nothing", "deaf": "a node that hears and takes nothing"}
MOST_CPU = 0.5  # %, the mark of the agent at rest
MOST_MEMORY = 1.2  # times a node that does nothing
MOST_WAIT = 5  # ms, from the call to the request for the image, beyond the network


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
        "program": program(proc),
        "peak": status["VmHWM"] / 1024,
        "threads": status["Threads"],
        "wakes": sum(t["voluntary_ctxt_switches"] for t in threads),
    }


def program(proc):
    """What a process holds in memory of its program's file, in MiB: text and tables of Go, not of the libraries."""
    name, held, ours = (proc / "exe").resolve(), 0, False
    for line in (proc / "smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            ours = rest[-1:] == [str(name)]
        elif ours and first == "Pss:":
            held += int(rest[0])
    return held / 1024


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


def rest(stage, table):
    """Measures what the agent and its neighbours take in a minute."""
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
        a["cpu"] = 100 * (a["user"] + a["system"] - b["user"] - b["system"]) / seconds
        say(f"  {what:36}  {a['pss']:6.1f}  {a['rss']:6.1f}  {a['private']:6.1f}  {a['peak']:6.1f}  "
            f"{a['cpu']:5.2f} %  {a['threads']:7}  {(a['wakes'] - b['wakes']) / seconds:7.0f}")
    say("  (MiB; own: shared with no other process)")
    against(after, table)


def against(taken, table):
    """Adds the rows of rest: what each has taken, the agent's with its marks and what bounds them."""
    agent, bare, deaf = (taken[n] for n in ("agent", "bare", "deaf"))
    table.add("CPU at rest, of a core", BARE["agent"], "%", agent["cpu"], bound=("receiving", deaf["cpu"]),
              mark=verdict(f"{MOST_CPU} %", agent["cpu"] <= MOST_CPU))
    for name in ("bare", "deaf"):
        table.add("CPU at rest, of a core", BARE[name], "%", taken[name]["cpu"])
    times = agent["pss"] / bare["pss"]
    least = bare["pss"] - bare["program"] + agent["program"]
    ours = {"bound": ("bare node with this program", least),
            "mark": verdict(f"{MOST_MEMORY} times the node that does nothing, {times:.1f}", times <= MOST_MEMORY)}
    for name, what in BARE.items():
        t = taken[name]
        table.add("memory at rest (PSS)", what, "MiB", t["pss"], **(ours if name == "agent" else {}),
                  RSS=(t["rss"], "MiB"), program=(t["program"], "MiB"))


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


def starts(stage, table):
    """Measures how long the agent takes from its start to READY=1 and to its first /ota/status."""
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
        table.add(f"start to {what}", BARE["agent"], "s", *times)


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


def updates(stage, table):
    """Measures what the agent takes during updates of a small and a large image."""
    peaks = []
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
        peaks.append(peak.pss)
        table.add(f"memory in an update with {size / 1024:.0f} KiB (PSS)", BARE["agent"], "MiB", peak.pss,
                  bound=("memory before", before["pss"]), after=(after["pss"], "MiB"), CPU=(cpu, "s"),
                  mark=verdict("as much with any size", peak.pss < 1.05 * peaks[0]) if len(peaks) > 1 else None)


def answers(stage, table):
    """Measures how soon the agent answers and asks for an image, with a server that only notes when it is asked."""
    for name, times in latency.answers(stage.client, stage.processes).items():
        middle, late = latency.spread(times)
        say(f"  {'call of a service of ' + name:36}  p50 {middle:.2f} ms, p99 {late:.2f} ms ({latency.CALLS} calls)")
        table.add("call of a service", BARE.get(name, name), "s", middle / 1000, p99=(late / 1000, "s"))
    server = latency.Server(stage.folder / "tls")
    try:
        stage.port = server.port
        stage.start_agent("30s")
        stage.operator()
        first, *others = latency.downloads(stage.client, server)
        network = latency.network(server, stage.folder / "tls" / "ca.pem")
    finally:
        server.close()
    middle, late = latency.spread(others)
    say(f"  {'/ota/trigger to the GET of the image':36}  p50 {middle:.1f} ms, p99 {late:.1f} ms; "
        f"the first, with its TLS handshake, {1000 * first:.1f} ms")
    saved = latency.durable(stage.folder)
    say(f"  {'of which the request alone':36}  {1000 * network:.1f} ms")
    say(f"  {'a small file made durable':36}  {1000 * saved:.1f} ms, done twice on that way")
    beyond = middle - 1000 * network  # ms
    table.add("/ota/trigger to the GET of the image", BARE["agent"], "s", middle / 1000,
              bound=("the request, two durable saves", network + 2 * saved),
              mark=verdict(f"{MOST_WAIT} ms beyond the request, {beyond:.1f} ms", beyond <= MOST_WAIT),
              p99=(late / 1000, "s"), first=(first, "s"))


def sizes(table):
    """Measures the programs."""
    for name in ("ota-agent", "ota-sign", "ota-fleet"):
        say(f"  {'program ' + name:36}  {(BIN / name).stat().st_size / 2**20:.1f} MiB, with its tables for debuggers")
        table.add(f"program {name}", "with its tables for debuggers", "MiB", (BIN / name).stat().st_size / 2**20)


def main():
    """Measures; 0 when it could."""
    parser = argparse.ArgumentParser(prog="scripts/idle", description=__doc__)
    parser.add_argument("-rows", metavar="FILE", help="write the rows of make bench's table to this file, too")
    options, table = parser.parse_args(), Rows()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="robot-ota-idle-"))
    stage = Stage(folder)
    try:
        stage.prepare()
        stage.start("30s")
        neighbours(stage)
        rest(stage, table)
        if not stage.fleet.status(state="idle")["running"]["version"]:
            raise Failed("the agent has not heard the robot, so this was no rest but silence")
        stage.operator()
        starts(stage, table)
        stage.operator()
        updates(stage, table)
        answers(stage, table)
        sizes(table)
        if options.rows:
            table.write(options.rows)
    except (Failed, KeyboardInterrupt) as e:
        say(f"Not measured: {e or 'interrupted'}\n{stage.processes.tail('agent')}")
        return 1
    finally:
        stage.close()
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
