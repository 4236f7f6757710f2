"""A ROS 2 client of the agent, as anybody would write one with rclpy."""

import sys
import time

import rclpy
from processes import Failed
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from robot_interfaces.msg import OtaStatus
from robot_interfaces.srv import OtaTrigger

BAR = 30


def seconds(duration):
    """1:05 for 65 s."""
    return f"{int(duration) // 60}:{int(duration) % 60:02d}"


class Client:
    """Calls /ota/trigger and follows /ota/status until the job has ended."""

    def __init__(self):
        rclpy.init()
        self.node = rclpy.create_node("demo_operator")
        self.status = None
        late = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
        self.node.create_subscription(OtaStatus, "/ota/status", self._heard, late)
        self.service = self.node.create_client(OtaTrigger, "/ota/trigger")
        self.tty = sys.stdout.isatty()

    def _heard(self, message):
        self.status = message

    def close(self):
        """Leaves the ROS graph."""
        self.node.destroy_node()
        rclpy.shutdown()

    def spin_until(self, ready, limit, what):
        """Spins until ready() is true."""
        until = time.monotonic() + limit
        while not ready():
            if time.monotonic() > until:
                raise Failed(f"{what} took longer than {limit} s; the last status was {self.status}")
            rclpy.spin_once(self.node, timeout_sec=0.1)

    def wait_for_robot(self):
        """Waits until the agent answers and has heard which firmware runs."""
        if not self.service.wait_for_service(timeout_sec=30):
            raise Failed("the service /ota/trigger did not appear")
        self.status = None  # what an agent said that has ended does not count
        self.spin_until(lambda: self.status is not None and self.status.running_version, 30, "hearing the firmware")

    def update(self, url, limit=120):
        """Triggers an update and returns the status in which it ended."""
        future = self.service.call_async(OtaTrigger.Request(url=url))
        self.spin_until(future.done, 10, "the call of /ota/trigger")
        answer = future.result()
        if not answer.success:
            raise Failed(f"/ota/trigger refused: {answer.message}")
        print(f"    /ota/trigger → job {answer.job_id}")
        shown = Shown(self.tty)
        ended = ("observing", "failed", "rolled_back")  # confirmed lasts a moment, and may not be seen

        def done():
            mine = self.status.job_id == answer.job_id
            if mine:
                shown.show(self.status)
            return mine and self.status.state in ended

        self.spin_until(done, limit, "the update")
        shown.end()
        return self.status


class Shown:
    """Shows a job's states as they go by, one line each."""

    def __init__(self, tty):
        self.tty = tty
        self.state = None
        self.since = time.monotonic()
        self.line = ""

    def show(self, s):
        """Draws the present state."""
        if s.state != self.state:
            self.end()
            self.state, self.since, self.line = s.state, time.monotonic(), ""
        if s.state in ("confirmed", "observing", "failed", "rolled_back"):
            return
        filled = int(BAR * s.progress)
        size = f" {s.bytes_done / 1024:.0f}/{s.bytes_total / 1024:.0f} KiB" if s.bytes_total else ""
        rate = f" {s.rate / 1024:.0f} KiB/s" if s.bytes_total and s.rate else ""
        note = f"  {s.message}" if s.state in ("waiting", "rolling_back") else ""
        bar = f"[{'█' * filled}{'·' * (BAR - filled)}]" if s.progress > 0 else " " * (BAR + 2)
        self.line = f"    {s.state:<13}{bar} {seconds(time.monotonic() - self.since)}{size}{rate}{note}"
        if self.tty:
            print(f"\r\033[K{self.line[:150]}", end="", flush=True)

    def end(self):
        """Leaves the state's line standing."""
        if self.line:
            print(f"\r\033[K{self.line[:150]}" if self.tty else self.line, flush=True)
        self.line = ""
