"""The part of the application that nginx has not: takes uploads, holds WebSockets open, sends a page
in parts.

Usage: sink.py PORT FILES
"""

import base64
import hashlib
import os
import socket
import sys
import threading
import time
import zlib

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3

# Of a page in parts, and how long the application thinks between them.
PART = 4096
PAUSE = 0.2


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
    # Hundreds of WebSockets, each with a thread that waits.
    threading.stack_size(128 * 1024)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def serve(connection):
    buffer = memoryview(bytearray(1 << 18))
    with connection:
        while answer(connection, buffer):
            pass


def answer(connection, buffer):
    """Answers one request; False where the connection is over."""
    head = b""
    while b"\r\n\r\n" not in head:
        octets = connection.recv(65536)
        if not octets:
            return False
        head += octets
    head, rest = head.split(b"\r\n\r\n", 1)
    lines = [line.split(b":", 1) for line in head.split(b"\r\n")[1:]]
    fields = {name.strip().lower(): value.strip() for name, value in lines}
    if head.startswith(b"GET /parts "):
        in_parts(connection, b"gzip" in fields.get(b"accept-encoding", b""))
        return True
    if b"sec-websocket-key" in fields:
        accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + GUID).digest())
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        while connection.recv_into(buffer):
            pass
        return False
    if b"content-length" in fields:
        left = int(fields[b"content-length"]) - len(rest)
        while left > 0:
            got = connection.recv_into(buffer, min(left, len(buffer)))
            if not got:
                return False
            left -= got
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    return True


def in_parts(connection, packed):
    """A page whose parts an application has one after the other; each says when it was sent."""
    with open(os.path.join(sys.argv[2], "parts"), "rb") as file:
        parts = list(iter(lambda: file.read(PART), b""))
    coding = b"Content-Encoding: gzip\r\n" if packed else b""
    text = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n" + coding
    text += b"Transfer-Encoding: chunked\r\n\r\n"
    pack = zlib.compressobj(6, zlib.DEFLATED, 31)
    for number, part in enumerate(parts):
        if number > 0:
            time.sleep(PAUSE)
        part += b"<!-- sent %.6f -->\n" % time.monotonic()
        if packed:
            part = pack.compress(part) + pack.flush(zlib.Z_SYNC_FLUSH)
        connection.sendall(text + b"%x\r\n%s\r\n" % (len(part), part))
        text = b""
    end = pack.flush() if packed else b""
    end = b"%x\r\n%s\r\n" % (len(end), end) if end else b""
    connection.sendall(end + b"0\r\n\r\n")


if __name__ == "__main__":
    main()
