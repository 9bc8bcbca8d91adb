"""Runs a command where the name server is this one, with one of these zones: `dangling`, `missing`, `mended`,
`failing` (it answers SERVFAIL), `silent` (it answers nothing), `nobody` (no server is named).

In a network and a mount namespace of its own, whose /etc/resolv.conf is replaced.
"""

import socket
import subprocess
import sys
import tempfile
import threading

A, CNAME, AAAA = 1, 5, 28
NAME = "wiki.corp.test"
ALIAS = "gone.hoster.test"


def question(packet):
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode().lower())
        at += packet[at] + 1
    return ".".join(labels), int.from_bytes(packet[at + 1 : at + 3], "big"), at + 5


def name(text):
    return b"".join(bytes([len(l)]) + l.encode() for l in text.split(".")) + b"\0"


def record(kind, data):
    return b"\xc0\x0c" + kind.to_bytes(2, "big") + b"\0\x01\0\0\0\0" + len(data).to_bytes(2, "big") + data


def answer(zone, packet):
    asked, kind, end = question(packet)
    code, records = 2 if zone == "failing" else 3, []
    if asked == NAME and zone == "dangling":
        records = [record(CNAME, name(ALIAS))]
        code = 0 if kind == CNAME else 3
    elif asked == NAME and zone == "mended":
        code = 0
        if kind == A:
            records = [record(A, bytes([127, 0, 0, 1]))]
    head = packet[:2] + bytes([0x81, 0x80 | code, 0, 1, 0, len(records), 0, 0, 0, 0])
    return head + packet[12:end] + b"".join(records)


def serve(server, zone):
    while True:
        packet, sender = server.recvfrom(1500)
        if zone == "silent":
            continue
        server.sendto(answer(zone, packet), sender)


def main():
    zone, command = sys.argv[1], sys.argv[2:]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    threading.Thread(target=serve, args=(server, zone), daemon=True).start()
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("options timeout:1\n" if zone == "nobody" else "nameserver 127.0.0.1\noptions timeout:1\n")
        file.flush()
        subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)
        sys.exit(subprocess.run(command, check=False).returncode)


main()
