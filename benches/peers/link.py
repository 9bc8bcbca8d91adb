"""A long, thin and lossy link between two network namespaces, in user space.

Two TUN devices, one in each namespace; what is written to one is read here, delayed, sometimes lost,
and put into the other. Usage: link.py DEVICE DEVICE DELAY_MS LOSS MBIT_PER_SECOND
"""

import collections
import fcntl
import os
import random
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000

# How long a packet may wait for its turn before the queue is full, as in a router.
QUEUE = 0.1

# Packets taken from one side before the other has its turn.
BATCH = 64


class Direction:
    """One way across."""

    def __init__(self, source, target, delay, loss, rate, seed):
        self.source, self.target = source, target
        self.delay, self.loss, self.rate = delay, loss, rate
        # The same losses in every run.
        self.random = random.Random(seed)
        self.free = 0.0
        self.waiting = collections.deque()

    def take(self):
        now = time.monotonic()
        for _ in range(BATCH):
            try:
                packet = os.read(self.source, 4096)
            except BlockingIOError:
                return
            self.free = max(self.free, now)
            if self.random.random() < self.loss or self.free - now > QUEUE:
                continue
            self.free += len(packet) / self.rate
            self.waiting.append((self.free + self.delay, packet))

    def give(self):
        """Sends what is due; gives when the next is, if there is one."""
        while self.waiting:
            due, packet = self.waiting[0]
            if due > time.monotonic():
                return due
            self.waiting.popleft()
            try:
                os.write(self.target, packet)
            except OSError:
                # The other side's queue is full, or its device is down: lost, as on any link.
                pass
        return None


def tun(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def main():
    # It stands for wires, which need no processor: nobody is to wait for its turn.
    try:
        os.nice(-10)
    except PermissionError:
        pass
    near, far = tun(sys.argv[1]), tun(sys.argv[2])
    delay, loss = float(sys.argv[3]) / 1000, float(sys.argv[4])
    rate = float(sys.argv[5]) * 1e6 / 8
    ways = [
        Direction(near, far, delay, loss, rate, seed=11),
        Direction(far, near, delay, loss, rate, seed=22),
    ]
    print("up", flush=True)
    while True:
        due = [moment for moment in (way.give() for way in ways) if moment is not None]
        wait = max(0.0, min(due) - time.monotonic()) if due else None
        readable, _, _ = select.select([near, far], [], [], wait)
        for way in ways:
            if way.source in readable:
                way.take()


if __name__ == "__main__":
    main()
