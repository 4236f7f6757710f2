"""Shows /ota/status: one line for each change. Usage: status.py [--namespace NS] [--once] [--until STATE,STATE]."""

import argparse
import sys

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from robot_interfaces.msg import OtaStatus


def line(s):
    """Return a status in one line."""
    text = f"{s.state:<13}{s.progress * 100:4.0f} %  {s.message}"
    return text + "".join(f"\n             - {r.code}: {r.text}" for r in s.reasons)


class Watcher:
    """Prints statuses that differ from the last, and stops in given states."""

    def __init__(self, node, until=(), once=False, job=""):
        """Subscribe; job, where given, is the only one whose states end it."""
        self.until, self.once, self.job = until, once, job
        self.last, self.end = None, None
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.subscription = node.create_subscription(OtaStatus, "ota/status", self.hear, latched)

    def hear(self, status):
        """Print what is new."""
        text = line(status)
        if text != self.last:
            print(text, flush=True)
            self.last = text
        if self.once or (status.state in self.until and self.job in ("", status.job_id)):
            self.end = status


def watch(node, watcher, seconds):
    """Spin until the watcher has seen the end; None when time is up."""
    deadline = node.get_clock().now().nanoseconds + int(seconds * 1e9)
    while watcher.end is None and node.get_clock().now().nanoseconds < deadline:
        rclpy.spin_once(node, timeout_sec=0.2)
    return watcher.end


def main():
    """Show the status until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", default="")
    parser.add_argument("--once", action="store_true", help="stop at the first")
    parser.add_argument("--until", default="", help="states to stop at, with commas")
    parser.add_argument("--seconds", type=float, default=1e6)
    args = parser.parse_args()
    rclpy.init()
    node = rclpy.create_node("ota_status", namespace=args.namespace)
    until = tuple(filter(None, args.until.split(",")))
    end = watch(node, Watcher(node, until, args.once), args.seconds)
    rclpy.shutdown()
    return 0 if end else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
