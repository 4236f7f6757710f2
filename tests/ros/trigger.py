"""Calls /ota/trigger, as `ros2 service call` does, and shows the status until the job has ended.

Exit status: 0 it ended in the state of --expect (default confirmed), 1 in another, 2 refused, 3 no agent answered.
"""

import argparse
import sys

import rclpy
from robot_interfaces.srv import OtaTrigger
from status import Watcher, watch

# When a job shows one of these it has ended: well (observing), badly, or without anything to do (idle).
ENDS = ("observing", "failed", "rolled_back", "idle")


def trigger(node, request, seconds):
    """Call the service; None when nobody answers."""
    client = node.create_client(OtaTrigger, "ota/trigger")
    if not client.wait_for_service(seconds):
        return None
    future = client.call_async(request)
    rclpy.spin_until_future_complete(node, future, timeout_sec=seconds)
    return future.result()


def main():
    """Trigger, then follow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="", help="of the signed image; none: what the update server offers")
    parser.add_argument("--sha256", default="")
    parser.add_argument("--version", default="")
    parser.add_argument("--namespace", default="")
    parser.add_argument("--expect", default="confirmed", choices=("confirmed", "failed", "rolled_back"))
    parser.add_argument("--no-wait", action="store_true", help="do not follow the job")
    parser.add_argument("--seconds", type=float, default=300, help="to wait for the job's end")
    args = parser.parse_args()
    rclpy.init()
    node = rclpy.create_node("ota_trigger_client", namespace=args.namespace)
    answer = trigger(node, OtaTrigger.Request(url=args.url, sha256=args.sha256, version=args.version), 10)
    if answer is None:
        print("no agent answers on ota/trigger", file=sys.stderr)
        return 3
    print(answer.message, flush=True)
    if not answer.success:
        return 2
    if args.no_wait:
        return 0
    end = watch(node, Watcher(node, ENDS, job=answer.job_id), args.seconds)
    rclpy.shutdown()
    if end is None:
        print(f"the job has not ended within {args.seconds:.0f} s", file=sys.stderr)
        return 1
    done = end.state == "observing" or (end.state == "idle" and end.target_slot)
    state = "confirmed" if done else end.state
    return 0 if state == args.expect else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
