"""Prints as JSON what a node publishes, subscribes to, serves and asks for. Usage: names.py NODE [NAMESPACE]."""

import json
import sys
import time

import rclpy


def names(node, name, namespace):
    """Return the names by kind, or None while the graph does not hold the node."""
    if (name, namespace) not in node.get_node_names_and_namespaces():
        return None
    ask = {
        "publish": node.get_publisher_names_and_types_by_node,
        "subscribe": node.get_subscriber_names_and_types_by_node,
        "reply": node.get_service_names_and_types_by_node,
        "request": node.get_client_names_and_types_by_node,
    }
    return {kind: sorted(n for n, _ in f(name, namespace)) for kind, f in ask.items()}


def main():
    """Ask until the graph says the same for two seconds, for at most a minute."""
    name, namespace = sys.argv[1], (sys.argv[2:] or ["/"])[0]
    rclpy.init(args=[])
    node = rclpy.create_node("names")
    last, since = None, time.monotonic()
    deadline = since + 60
    while time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.2)
        now = names(node, name, namespace)
        if now != last:
            last, since = now, time.monotonic()
        if last and time.monotonic() - since > 2:
            break
    json.dump(last, sys.stdout)
    rclpy.shutdown()


main()
