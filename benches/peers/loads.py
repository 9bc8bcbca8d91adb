"""What is asked of each stack. A load gives figures by name; what they are is in the report."""

import base64
import os
import socket
import ssl
import subprocess

import stacks
from measure import bulk, h2load, settle, wrk
from processes import Failed, Process

# Connections that wait; enough that the pages of each are more than noise.
IDLE = 1000
WEBSOCKETS = 400

# Those before them, not counted.
FIRST = 50

# Requests in a second, over this many connections: far below what any stack can do.
FIXED_RATE = 500
FIXED_CONNECTIONS = 32

SLOW_READERS = 20
SLOW_RATE = "20k"


class Load:
    def __init__(self, name, act, fresh=False):
        self.name = name
        self.act = act
        # What measures memory wants processes that have not had any of it before.
        self.fresh = fresh


def fixed(stack, plan):
    return h2load(stack, FIXED_CONNECTIONS, 1, plan.seconds, rate=FIXED_RATE, http1=True)


def http2(stack, plan):
    """64 at once as browsers ask: eight connections with eight streams each."""
    return h2load(stack, 8, 8, plan.seconds)


def connect(stack):
    plain = socket.create_connection(("127.0.0.1", stack.port), timeout=20)
    if stack.scheme == "http":
        return plain
    return ssl._create_unverified_context().wrap_socket(plain, server_hostname="localhost")


def until_body(connection, octets):
    """Reads one answer whose body has that many octets."""
    text = b""
    while b"\r\n\r\n" not in text or len(text.split(b"\r\n\r\n", 1)[1]) < octets:
        got = connection.recv(65536)
        if not got:
            raise Failed(f"a connection was closed after {text[:200]!r}")
        text += got
    return text


def held(stack, count, request, octets, expected):
    """KiB that a connection costs which waits after one answer."""
    connections = []

    def hold(how_many):
        for _ in range(how_many):
            connection = connect(stack)
            connections.append(connection)
            connection.sendall(request)
            answer = until_body(connection, octets)
            if not answer.startswith(b"HTTP/1.1 " + expected):
                raise Failed(f"{stack.name} answered {answer[:200]!r}")
        settle(stack)

    try:
        # Code that runs for the first time takes memory once and for all; these stay open.
        hold(FIRST)
        before = stack.memory()
        hold(count)
        return {"memory": (stack.memory() - before) / count}
    finally:
        for connection in connections:
            connection.close()


def idle(stack, _):
    request = b"GET /1k HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % stack.port
    return held(stack, IDLE, request, 1024, b"200")


def websockets(stack, _):
    request = (
        b"GET /websocket HTTP/1.1\r\nHost: localhost:%d\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n"
        % (stack.port, base64.b64encode(os.urandom(16)))
    )
    return held(stack, WEBSOCKETS, request, 0, b"101")


def slow_readers(stack, plan):
    """The fixed rate beside clients that take a large file slowly: does it wait for them?"""
    command = ["curl", "-sk", "--http1.1", "--limit-rate", SLOW_RATE, "-o", os.devnull]
    log = os.path.join(stack.folder, "slow.log")
    readers = []
    try:
        for _ in range(SLOW_READERS):
            readers.append(Process([*command, stack.url("/bulk")], log))
        # Once every buffer on the way is full, nothing moves any more but by their pace.
        settle(stack)
        figures = h2load(stack, 16, 1, plan.seconds, rate=100, http1=True)
        figures["memory"] = stack.memory() / 1024
        for reader in readers:
            reader.check()
        return figures
    finally:
        for reader in readers:
            reader.stop()


ALL = [
    Load("c1", lambda stack, plan: wrk(stack, 1, plan.seconds)),
    Load("c64", lambda stack, plan: wrk(stack, 64, plan.seconds)),
    Load("c256", lambda stack, plan: wrk(stack, 256, plan.seconds)),
    Load("http2", http2),
    Load("down", lambda stack, plan: bulk(stack, plan.material, up=False)),
    Load("up", lambda stack, plan: bulk(stack, plan.material, up=True)),
    Load("fixed", fixed),
    Load("idle", idle, fresh=True),
    Load("websockets", websockets, fresh=True),
    Load("slow", slow_readers, fresh=True),
]


def wanted(load, stack):
    """Without TLS there is no HTTP/2, and without a program in between no memory of one."""
    if issubclass(stack, stacks.SIGNED):
        return load.name in ("c1", "c64", "c256")
    return stack.scheme == "https" or load.name not in ("http2", "idle", "websockets", "slow")
