"""A ROS 2 peer of the soak: comes, hears and says something, asks for a plan and an inhibitor, and goes.

peer.py ROBOT SECONDS
"""

import sys
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from robot_interfaces.msg import OtaStatus
from robot_interfaces.srv import OtaInhibit, OtaPlan


def main(robot, seconds):
    """Lives for so many seconds."""
    rclpy.init()
    node = rclpy.create_node(f"peer_{time.monotonic_ns() % 10**9}")
    late = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
    node.create_subscription(OtaStatus, "/ota/status", lambda _: None, late)
    diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
    velocity = node.create_publisher(Twist, "/cmd_vel", 10)
    plan, inhibit = node.create_client(OtaPlan, "/ota/plan"), node.create_client(OtaInhibit, "/ota/inhibit")
    end, n = time.monotonic() + seconds, 0
    asked = []
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
        values = [KeyValue(key=f"k{i}", value="v" * n) for i in range(20)]
        diagnostics.publish(DiagnosticArray(status=[DiagnosticStatus(name=f"{robot}/peer_{n % 3}", values=values)]))
        velocity.publish(Twist())
        if n % 10 == 0 and plan.service_is_ready() and inhibit.service_is_ready():
            asked.append(plan.call_async(OtaPlan.Request(url="https://localhost/nothing")))
            asked.append(inhibit.call_async(OtaInhibit.Request(owner="peer", reason="soak", seconds=1)))
        n += 1
    answered = sum(f.done() for f in asked)
    print(f"{answered} of {len(asked)} answered", flush=True)
    if n % 2:  # every other one goes without a word
        node.destroy_node()
        rclpy.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
