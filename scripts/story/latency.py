"""How soon the agent answers, and how soon it begins to download."""

import contextlib
import http.client
import http.server
import os
import ssl
import sys
import threading
import time
from pathlib import Path

import rclpy
from processes import Failed
from robot_interfaces.srv import OtaTrigger
from std_srvs.srv import Trigger

CALLS = 500
DOWNLOADS = 30
ENDED = ("idle", "failed", "observing")


def spread(seconds):
    """The middle one and the 99th of a hundred, in ms."""
    ordered = sorted(1000 * s for s in seconds)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, 99 * len(ordered) // 100)]


def durable(folder, times=31):
    """Seconds that it takes to write a small file, sync it, put it in its place and sync the folder, as the agent's
    journal does for each step: the middle one.
    """
    took = []
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(times):
        began = time.monotonic()
        with (folder / "durable.new").open("wb") as f:
            f.write(bytes(3000))
            f.flush()
            os.fsync(f.fileno())
        (folder / "durable.new").rename(folder / "durable")
        os.fsync(handle)
        took.append(time.monotonic() - began)
    os.close(handle)
    return sorted(took)[times // 2]


class Server:
    """An HTTPS server that has nothing, and remembers when it was asked."""

    def __init__(self, tls):
        asked, lock = [], threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            """Notes the moment at which the request was read."""

            protocol_version = "HTTP/1.1"  # a connection is kept

            def do_GET(self):
                """Has nothing."""
                with lock:
                    asked.append(time.monotonic())
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                """Says nothing."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "server.pem", tls / "server-key.pem")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.asked, self.port = asked, self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        """Ends it."""
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def peer(processes):
    """A service of the same type in rclpy, a process of its own, that answers at once."""
    processes.start("peer", sys.executable, Path(__file__).resolve(), "peer")
    yield
    processes.end("peer")


def serve():
    """Is that process."""
    rclpy.init()
    node = rclpy.create_node("peer")

    def answer(request, response):
        response.success, response.message = not request.url.startswith("ftp:"), "peer"
        return response

    node.create_service(OtaTrigger, "/peer/trigger", answer)
    with contextlib.suppress(KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        rclpy.spin(node)


def call(client, service, request):
    """Calls and returns the answer and the seconds that it took."""
    began = time.monotonic()
    future = service.call_async(request)
    rclpy.spin_until_future_complete(client.node, future, timeout_sec=10)
    if not future.done():
        raise Failed(f"{service.srv_name} did not answer within 10 s")
    return future.result(), time.monotonic() - began


def answers(client, processes):
    """Seconds that calls of /ota/trigger took, by turns with those of a service in rclpy. What is asked for is refused
    for its address by the agent, so that nothing but the call is measured.
    """
    theirs = client.node.create_client(OtaTrigger, "/peer/trigger")
    times = {"agent": [], "rclpy": []}
    with peer(processes):
        if not theirs.wait_for_service(timeout_sec=30):
            raise Failed("the service /peer/trigger did not appear")
        for n in range(CALLS + 20):
            for name, service in (("agent", client.service), ("rclpy", theirs)):
                answer, took = call(client, service, OtaTrigger.Request(url="ftp://localhost/x"))
                if answer.success:
                    raise Failed(f"{service.srv_name} took an address that begins with ftp:")
                if n >= 20:  # the first are not at rest
                    times[name].append(took)
    return times


def network(server, roots):
    """Seconds that a request alone takes until the server has read it, over a connection that is kept: the middle."""
    connection = http.client.HTTPSConnection("localhost", server.port, context=ssl.create_default_context(cafile=roots))
    took = []
    for n in range(DOWNLOADS):
        server.asked.clear()
        began = time.monotonic()
        connection.request("GET", f"/v1/artifacts/{n:064x}")
        connection.getresponse().read()
        took.append(server.asked[0] - began)
    connection.close()
    return sorted(took)[DOWNLOADS // 2]


def downloads(client, server):
    """Seconds from the call of /ota/trigger to the request for the image at the server: the first, which needs a
    connection, and those that find one.
    """
    times = []
    cancel = client.node.create_client(Trigger, "/ota/cancel")
    for n in range(DOWNLOADS):
        server.asked.clear()
        client.spin_until(lambda: client.status and client.status.state in ENDED, 30, "the end of the last job")
        began = time.monotonic()
        answer, _ = call(client, client.service,
                         OtaTrigger.Request(url=f"https://localhost:{server.port}/v1/artifacts/{n:064x}"))
        if not answer.success:
            raise Failed(f"/ota/trigger refused: {answer.message}")
        client.spin_until(lambda: server.asked, 30, "the request for the image")
        times.append(server.asked[0] - began)
        call(client, cancel, Trigger.Request())
    return times


if __name__ == "__main__" and sys.argv[1:] == ["peer"]:
    serve()
