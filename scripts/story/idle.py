"""make idle: what the agent takes when nothing is to be done, with ROS 2, MQTT and DTLS on."""

import os
import pathlib
import shutil
import sys
import tempfile
import time

from processes import Failed
from stage import Stage, say

SETTLE = 20  # seconds for discovery, TLS and the first words, which are not at rest
MEASURE = 60


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


def measure(stage):
    """Prints what the agent takes in a minute."""
    pid = next(p.pid for name, p, _ in stage.processes.running if name == "agent")
    time.sleep(SETTLE)
    before, began = usage(pid), time.monotonic()
    time.sleep(MEASURE)
    after, seconds = usage(pid), time.monotonic() - began
    took = {k: after[k] - before[k] for k in ("user", "system", "wakes")}
    cpu = took["user"] + took["system"]
    say(f"The agent at rest, over {seconds:.0f} s:")
    say("  with      ROS 2 (odometry 50 Hz, diagnostics 2 Hz, battery and E-stop 1 Hz), MQTT, DTLS every 30 s")
    say(f"  broker    {stage.fleet.broker()}")
    say(f"  memory    {after['pss']:.1f} MiB PSS, {after['rss']:.1f} MiB RSS (at most {after['peak']:.1f}), "
        f"{after['private']:.1f} MiB of them shared with nobody")
    say(f"  CPU       {100 * cpu / seconds:.2f} % of a core ({took['user']:.2f} s user, {took['system']:.2f} s system)")
    say(f"  threads   {after['threads']}, woken {took['wakes'] / seconds:.0f} times a second")


def main():
    """Measures; 0 when it could."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="robot-ota-idle-"))
    stage = Stage(folder)
    try:
        stage.prepare()
        stage.start("30s")
        measure(stage)
        if not stage.fleet.status(state="idle")["running"]["version"]:
            raise Failed("the agent has not heard the robot, so this was no rest but silence")
    except (Failed, KeyboardInterrupt) as e:
        say(f"Not measured: {e or 'interrupted'}\n{stage.processes.tail('agent')}")
        return 1
    finally:
        stage.close()
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
