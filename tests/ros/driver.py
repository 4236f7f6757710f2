"""A ROS 2 node that does what it is told: one JSON command a line on standard input, one JSON answer a line out.

{"do": "call", "service": s, "type": t, "request": {...}, "times": 1}  → response, found (s), seconds [each]
{"do": "read", "topic": s, "type": t, "qos": q, "count": 1, "within": 5} → messages (fewer when time is up)
{"do": "publish", "topic": s, "type": t, "qos": q, "message": {...}, "times": 1, "hertz": 10}
{"do": "advertise", "topic": s, "type": t, "qos": q}                  → a publisher that says nothing
{"do": "goal", "action": s, "type": t, "goal": {...}, "cancel": state}  → accepted, status, result, feedback, canceled
{"do": "cancel", "action": s, "id": [16 bytes], "stamp": {...}}        → code, goals
{"do": "names"}                                                        → nodes, services, topics
"""

import contextlib
import json
import sys
import threading
import time

import rclpy
from action_msgs.srv import CancelGoal
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rosjson import fill, load, plain, qos

PATIENCE = 20.0  # seconds for anything to appear or answer


class Driver:
    """The commands, and what they have made so far."""

    def __init__(self, node):
        """Work with a node that is spun elsewhere."""
        self.node = node
        self.clients = {}
        self.publishers = {}

    def call(self, service, type, request=None, times=1, within=PATIENCE):
        """Call a service, several times in a row where asked."""
        started = time.monotonic()
        if service not in self.clients:
            self.clients[service] = self.node.create_client(load(type), service)
        client = self.clients[service]
        if not client.wait_for_service(PATIENCE):
            raise TimeoutError(f"there is no service {service}")
        found, seconds, response = time.monotonic() - started, [], None
        for _ in range(times):
            began = time.perf_counter()
            response = wait(client.call_async(fill(load(type).Request(), request or {})), within)
            seconds.append(time.perf_counter() - began)
        return {"response": plain(response), "found": found, "seconds": seconds}

    def read(self, topic, type, qos="reliable", count=1, within=5.0):
        """Subscribe and collect messages."""
        messages, enough = [], threading.Event()

        def hear(message):
            messages.append({"after": time.monotonic() - started, "message": plain(message)})
            if len(messages) >= count:
                enough.set()

        started = time.monotonic()
        subscription = self.node.create_subscription(load(type), topic, hear, QOS(qos, 100))
        enough.wait(within)
        self.node.destroy_subscription(subscription)
        return {"messages": messages[:count] if enough.is_set() else messages}

    def publish(self, topic, type, message, *, qos="reliable", times=1, hertz=10.0):  # noqa: PLR0913
        """Publish a message once somebody listens."""
        publisher = self.publisher(topic, type, qos)
        end = time.monotonic() + PATIENCE
        while publisher.get_subscription_count() == 0:
            if time.monotonic() > end:
                raise TimeoutError(f"nobody listens to {topic}")
            time.sleep(0.01)
        for i in range(times):
            publisher.publish(fill(load(type)(), message))
            if i + 1 < times:
                time.sleep(1 / hertz)
        return {"published": times}

    def publisher(self, topic, type, qos):
        """Return the publisher of a topic, one for each quality of service."""
        key = (topic, qos)
        if key not in self.publishers:
            self.publishers[key] = self.node.create_publisher(load(type), topic, QOS(qos))
        return self.publishers[key]

    def advertise(self, topic, type, qos="reliable"):
        """Declare a publisher, whether anybody can hear it or not."""
        self.publisher(topic, type, qos)
        return {}

    def goal(self, action, type, goal=None, cancel=""):
        """Send a goal, collect its feedback, and wait for its end; ask to cancel it in a state, where one is given."""
        client = ActionClient(self.node, load(type), action)
        if not client.wait_for_server(PATIENCE):
            raise TimeoutError(f"there is no action {action}")
        feedback, reached = [], threading.Event()

        def hear(message):
            feedback.append(plain(message.feedback))
            if message.feedback.state == cancel:
                reached.set()

        handle = wait(client.send_goal_async(fill(load(type).Goal(), goal or {}), feedback_callback=hear))
        out = {"accepted": handle.accepted, "stamp": plain(handle.stamp), "id": plain(handle.goal_id.uuid)}
        if handle.accepted:
            coming = handle.get_result_async()
            if cancel:
                if not reached.wait(PATIENCE):
                    raise TimeoutError(f"no feedback with state {cancel}: {feedback}")
                out["canceled"] = plain(wait(handle.cancel_goal_async()))
            last = wait(coming)
            out |= {"status": last.status, "result": plain(last.result)}
        client.destroy()
        return out | {"feedback": feedback}

    def cancel(self, action, id=None, stamp=None):
        """Ask to cancel goals, one's own or not."""
        request = CancelGoal.Request()
        fill(request.goal_info.stamp, stamp or {})
        if id:
            request.goal_info.goal_id.uuid = bytearray(id)
        client = self.node.create_client(CancelGoal, action + "/_action/cancel_goal")
        if not client.wait_for_service(PATIENCE):
            raise TimeoutError(f"there is no action {action}")
        response = wait(client.call_async(request))
        self.node.destroy_client(client)
        return {"code": response.return_code, "goals": [plain(g.goal_id.uuid) for g in response.goals_canceling]}

    def names(self):
        """Return what is on the graph."""
        return {
            "nodes": [ns.rstrip("/") + "/" + name for name, ns in self.node.get_node_names_and_namespaces()],
            "services": dict(self.node.get_service_names_and_types()),
            "topics": dict(self.node.get_topic_names_and_types()),
        }


QOS = qos  # the commands have arguments of that name


def wait(future, within=PATIENCE):
    """Return the future's result, computed by the thread that spins."""
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    if not done.wait(within):
        raise TimeoutError("no answer came")
    return future.result()


def main():
    """Answer commands until standard input ends."""
    rclpy.init()
    node = rclpy.create_node("driver")
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin():
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    spinner = threading.Thread(target=spin, daemon=True)
    spinner.start()
    driver = Driver(node)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(driver, command.pop("do"))(**command)
        except Exception as e:  # the test decides what that means
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), flush=True)
    rclpy.shutdown()
    spinner.join(5)


if __name__ == "__main__":
    main()
