"""The processes of the demo: each a real one, started, waited for and ended here."""

import os
import pathlib
import signal
import socket
import subprocess
import time


class Failed(Exception):
    """A step of the demo did not work; the text says what to look at."""


def run(*argv, **kwargs):
    """Runs a command to its end and returns what it printed."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False, **kwargs)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, argv))}\n{done.stdout}{done.stderr}")
    return done.stdout


def free_port():
    """A TCP port that was free a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def secret(path, text):
    """Writes a file that nobody else may read."""
    path.touch(mode=0o600)
    path.write_text(text)


class Processes:
    """Starts processes in the background, each with a log file, and ends them all."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.running = []

    def start(self, name, *argv):
        """Starts a process; its output goes to NAME.log."""
        log = (self.folder / f"{name}.log").open("w")
        process = subprocess.Popen([str(a) for a in argv], stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self.running.append((name, process, log))
        return process

    def wait_for(self, name, ready, seconds=30):
        """Waits until ready() is true; fails when the process ends before."""
        process = next(p for n, p, _ in self.running if n == name)
        until = time.monotonic() + seconds
        while not ready():
            if process.poll() is not None:
                raise Failed(f"{name} ended with {process.returncode}:\n{self.tail(name)}")
            if time.monotonic() > until:
                raise Failed(f"{name} was not ready after {seconds} s:\n{self.tail(name)}")
            time.sleep(0.05)

    def logged(self, name, text):
        """Says whether a process has printed a text."""
        return text in (self.folder / f"{name}.log").read_text(errors="replace")

    def tail(self, name, lines=15):
        """The last lines that a process printed."""
        return "\n".join((self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])

    def end(self, name):
        """Ends a process, where it runs."""
        for entry in [e for e in self.running if e[0] == name]:
            self._end(entry)
            self.running.remove(entry)

    def stop(self):
        """Ends all processes, the last one first."""
        for entry in reversed(self.running):
            self._end(entry)
        self.running.clear()

    def _end(self, entry):
        _, process, log = entry
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        log.close()
