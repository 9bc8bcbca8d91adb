"""The part of the application that nginx has not: takes uploads, holds WebSockets open.

Usage: sink.py PORT
"""

import base64
import hashlib
import socket
import sys
import threading

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


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


if __name__ == "__main__":
    main()
