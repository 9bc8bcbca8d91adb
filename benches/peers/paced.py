"""Requests at fixed moments over keep-alive TLS connections; latency counts from the moment a
request was due, so that a stack that stands still is not asked less.

Usage: paced.py PORT CONNECTIONS REQUESTS_PER_SECOND SECONDS. Prints one JSON object.
"""

import json
import socket
import ssl
import sys
import threading
import time

PATIENCE = 20


class Worker(threading.Thread):
    def __init__(self, port, dues):
        super().__init__(daemon=True)
        self.port, self.dues = port, dues
        self.connection, self.latencies, self.failed = None, [], 0

    def connect(self):
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        context = ssl._create_unverified_context()
        self.connection = context.wrap_socket(plain, server_hostname="localhost")

    def run(self):
        for due in self.dues:
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if self.connection is None:
                    self.connect()
                self.ask()
                self.latencies.append(time.monotonic() - due)
            except (OSError, ValueError):
                self.failed += 1
                self.connection = None

    def ask(self):
        self.connection.sendall(b"GET /1k HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % self.port)
        text = b""
        while b"\r\n\r\n" not in text or len(text.split(b"\r\n\r\n", 1)[1]) < 1024:
            got = self.connection.recv(65536)
            if not got:
                raise ValueError("closed")
            text += got
        if not text.startswith(b"HTTP/1.1 200"):
            raise ValueError(text[:100])


def main():
    port, connections = int(sys.argv[1]), int(sys.argv[2])
    rate, duration = float(sys.argv[3]), float(sys.argv[4])
    workers = [Worker(port, []) for _ in range(connections)]
    for worker in workers:
        worker.connect()
    start = time.monotonic() + 0.2
    for number in range(int(rate * duration)):
        workers[number % connections].dues.append(start + number / rate)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    latencies = sorted(one for worker in workers for one in worker.latencies)
    print(json.dumps({"latencies": latencies, "failed": sum(w.failed for w in workers)}))


if __name__ == "__main__":
    main()
