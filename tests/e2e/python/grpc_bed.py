"""A gRPC service and calls to it, with grpcio. Messages are octets, so that no code is generated.

    python grpc_bed.py server                      prints its port, then serves h2c
    python grpc_bed.py client HOST PORT AUTHORITY [CA]   prints what each call gave, as JSON

The client dials HOST:PORT whatever AUTHORITY says; with CA, in TLS that trusts the authorities of this
file.
"""

import collections
import hashlib
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

MIB = 1 << 20
# Larger than the 4 MiB that grpcio takes where nobody says, and than every window on the way.
SIZES = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
STATUSES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def octets(count, seed=b"x"):
    """Octets that no compression makes small, the same ones each time."""
    out = bytearray()
    number = 0
    while len(out) < count:
        out += hashlib.sha256(seed + number.to_bytes(4, "big")).digest()
        number += 1
    return bytes(out[:count])


def digest(message):
    return f"{len(message)} {hashlib.sha256(message).hexdigest()[:16]}"


class Service(grpc.GenericRpcHandler):
    def __init__(self):
        # Of each client, the calls of its that were cancelled while they waited.
        self.cancelled = collections.defaultdict(lambda: threading.Semaphore(0))
        self.handlers = {
            "/bed.Echo/Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/bed.Echo/Metadata": grpc.unary_unary_rpc_method_handler(self.metadata),
            "/bed.Echo/Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "/bed.Echo/Wait": grpc.unary_unary_rpc_method_handler(self.wait),
            "/bed.Echo/Waited": grpc.unary_unary_rpc_method_handler(self.waited),
            "/bed.Echo/Deadline": grpc.unary_unary_rpc_method_handler(self.deadline),
            "/bed.Echo/Count": grpc.unary_stream_rpc_method_handler(self.count),
            "/bed.Echo/Forever": grpc.unary_stream_rpc_method_handler(self.forever),
            "/bed.Echo/Break": grpc.unary_stream_rpc_method_handler(self.broken),
            "/bed.Echo/Sum": grpc.stream_unary_rpc_method_handler(self.sum),
            "/bed.Echo/Chat": grpc.stream_stream_rpc_method_handler(self.chat),
        }

    def service(self, details):
        return self.handlers.get(details.method)

    def unary(self, message, context):
        return message

    def metadata(self, message, context):
        context.send_initial_metadata((("x-first", "a"), ("x-first", "b"), ("octets-bin", b"\x00\xff\x80")))
        context.set_trailing_metadata((("x-last", "grün".encode().hex()), ("end-bin", bytes(range(256)))))
        seen = [(key, value if isinstance(value, str) else value.hex())
                for key, value in context.invocation_metadata()]
        return json.dumps(sorted(seen)).encode()

    def fail(self, message, context):
        context.set_trailing_metadata((("x-why", "because"),))
        context.abort(STATUSES[message[0]], "nein, ü % \u2603")

    def wait(self, message, context):
        gone = threading.Event()
        context.add_callback(gone.set)
        gone.wait()
        self.cancelled[message].release()
        return b""

    def waited(self, message, context):
        """Answers once a call of this client that waited has been cancelled."""
        return b"cancelled" if self.cancelled[message].acquire(timeout=60) else b"never"

    def deadline(self, message, context):
        left = context.time_remaining()
        # grpcio says so many years where there is none, and rounds up.
        return b"within 100 s" if 0 < left <= 101 else b"none"

    def count(self, message, context):
        for number in range(int(message)):
            yield b"%d" % number

    def forever(self, message, context):
        gone = threading.Event()
        context.add_callback(lambda: (gone.set(), self.cancelled[message].release()))
        while not gone.is_set():
            yield octets(1024)

    def broken(self, message, context):
        yield b"one"
        yield b"two"
        context.set_trailing_metadata((("x-why", "broken"),))
        context.abort(grpc.StatusCode.DATA_LOSS, "after two")

    def sum(self, messages, context):
        count, whole = 0, hashlib.sha256()
        for message in messages:
            count += len(message)
            whole.update(message)
        return f"{count} {whole.hexdigest()[:16]}".encode()

    def chat(self, messages, context):
        for message in messages:
            yield message


def serve():
    # Calls that wait occupy a thread each.
    server = grpc.server(ThreadPoolExecutor(32), options=SIZES)
    server.add_generic_rpc_handlers((Service(),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


class Calls:
    def __init__(self, channel):
        self.channel = channel
        self.seen = []

    def record(self, name, call, result):
        """Notes what a call gave; `call` is what grpcio returns for it or raises."""
        plain = lambda fields: sorted(
            [key, value if isinstance(value, str) else value.hex()] for key, value in fields or ())
        self.seen.append({
            "name": name,
            "result": result,
            "code": call.code().name,
            "details": call.details(),
            "initial": plain(call.initial_metadata()),
            "trailing": plain(call.trailing_metadata()),
        })

    def unary(self, name, method, message, show=digest, **options):
        try:
            result, call = self.channel.unary_unary(f"/bed.Echo/{method}").with_call(message, **options)
            self.record(name, call, show(result))
        except grpc.RpcError as call:
            self.record(name, call, None)

    def stream(self, name, call, show=digest):
        result = []
        try:
            result.extend(show(message) for message in call)
        except grpc.RpcError:
            pass
        self.record(name, call, result)


def calls(channel):
    all = Calls(channel)
    text = bytes.decode
    stream = lambda method: channel.unary_stream(f"/bed.Echo/{method}")

    for size in [0, 1, 16_383, 16_384, 65_535, 65_536, MIB, 4 * MIB, 16 * MIB]:
        all.unary(f"unary of {size}", "Unary", octets(size))
    all.unary("compressed", "Unary", b"a" * MIB, compression=grpc.Compression.Gzip)
    sent = (("x-own", "one"), ("x-own", "two"), ("octets-bin", bytes(range(256))), ("long", "l" * 3000))
    all.unary("metadata", "Metadata", b"", show=lambda m: [
        pair for pair in json.loads(m) if not pair[0].startswith(("x-forwarded-", "x-request-id", "forwarded"))
    ], metadata=sent)
    for number, status in enumerate(STATUSES):
        all.unary(f"fails with {status.name}", "Fail", bytes([number]))
    all.unary("no such method", "Nothing", b"")

    all.stream("server stream of none", stream("Count")(b"0"))
    all.stream("server stream of 1000", stream("Count")(b"1000"), show=text)
    all.stream("server stream that breaks", stream("Break")(b""), show=text)

    for name, messages in [
        ("none", []),
        ("64 of 64 KiB", [octets(65_536)] * 64),
        ("4 of 4 MiB", [octets(4 * MIB)] * 4),
    ]:
        try:
            result, call = channel.stream_unary("/bed.Echo/Sum").with_call(iter(messages))
            all.record(f"client stream of {name}", call, result.decode())
        except grpc.RpcError as call:
            all.record(f"client stream of {name}", call, None)

    # Each message waits for the one before it to come back: nothing on the way may hold one.
    replies = threading.Semaphore(1)
    def turns():
        for number in range(100):
            replies.acquire()
            yield octets(number * 97)
    call = channel.stream_stream("/bed.Echo/Chat")(turns())
    result = []
    for message in call:
        result.append(digest(message))
        replies.release()
    all.record("bidirectional, in turns", call, result)
    all.stream("bidirectional, at once", channel.stream_stream("/bed.Echo/Chat")(
        iter([octets(65_536)] * 64)))

    me = os.urandom(16)
    waited = lambda name: all.unary(name, "Waited", me, show=text)
    all.unary("a deadline is told", "Deadline", b"", show=text, timeout=100)
    all.unary("no deadline is told", "Deadline", b"", show=text)
    all.unary("a deadline passes", "Wait", me, timeout=3)
    waited("the service learns of the deadline")
    call = channel.unary_unary("/bed.Echo/Unary").future(b"")
    call.cancel()
    all.unary("after a call cancelled at once", "Unary", b"still here")
    call = stream("Forever")(me)
    first = digest(next(call))
    call.cancel()
    all.seen.append({"name": "cancelled stream", "result": first, "code": call.code().name})
    waited("the service learns of the cancelling")
    return all.seen


def main():
    if sys.argv[1] == "server":
        return serve()
    host, port, authority, *ca = sys.argv[2:]
    options = SIZES + [
        ("grpc.default_authority", authority),
        ("grpc.enable_http_proxy", 0),
    ]
    if ca:
        options.append(("grpc.ssl_target_name_override", authority.split(":")[0]))
        with open(ca[0], "rb") as file:
            trust = grpc.ssl_channel_credentials(file.read())
        channel = grpc.secure_channel(f"{host}:{port}", trust, options)
    else:
        channel = grpc.insecure_channel(f"{host}:{port}", options)
    with channel:
        print(json.dumps(calls(channel)))


main()
