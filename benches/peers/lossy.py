"""The public and the private side with a poor link between them."""

import json
import os
import subprocess
import sys

import stacks
from measure import percentile, run
from processes import Failed, Process, until

ROUND_TRIP = 0.05
LOSS = 0.001
MEGABITS = 100

# Small requests that are measured, beside clients that take one file of 1 MiB after another.
RATE = 100
CONNECTIONS = 48
BULK = 4

# cubic is what most machines have. Where it is neither the machine's own nor allowed in a namespace,
# Reno stands in, which takes a loss no lighter.
CONGESTION = ["cubic", "reno"]

HERE = os.path.dirname(os.path.abspath(__file__))


def obstacle():
    """Why this machine cannot have such a link, where it cannot."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    return None


class Link:
    """Two namespaces and what joins them."""

    def __init__(self, material):
        self.material = material
        number = os.getpid()
        self.near, self.far = f"bench-{number}-a", f"bench-{number}-b"
        self.devices = f"bn{number}a"[:15], f"bn{number}b"[:15]
        self.process = None
        self.congestion = None

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return stacks.Net(self.near, self.far, "10.99.0.1", "10.99.0.2")

    def build(self):
        log = self.material.path("link.log")
        open(log, "w").close()
        command = ["python3", os.path.join(HERE, "link.py"), *self.devices,
                   str(ROUND_TRIP * 1000 / 2), str(LOSS), str(MEGABITS)]
        self.process = Process(command, log)

        def is_up():
            with open(log) as file:
                return file.read().startswith("up")

        until("the link", is_up, [self.process])
        sides = zip((self.near, self.far), self.devices, ("10.99.0.1/30", "10.99.0.2/30"))
        for namespace, device, address in sides:
            ip("netns", "add", namespace)
            ip("link", "set", device, "netns", namespace)
            ip("-n", namespace, "link", "set", "lo", "up")
            ip("-n", namespace, "addr", "add", address, "dev", device)
            ip("-n", namespace, "link", "set", device, "mtu", "1500", "txqueuelen", "10000", "up")
            self.congestion = congest(namespace)

    def __exit__(self, *_):
        if self.process:
            self.process.stop()
        for namespace in (self.near, self.far):
            subprocess.run(["ip", "netns", "del", namespace], stderr=subprocess.DEVNULL)


def congest(namespace):
    """Sets the congestion control; gives which it is."""
    for name in CONGESTION:
        setting = f"net.ipv4.tcp_congestion_control={name}"
        command = ["ip", "netns", "exec", namespace, "sysctl", "-qw", setting]
        if subprocess.run(command, capture_output=True).returncode == 0:
            return name
    raise Failed(f"no congestion control of {', '.join(CONGESTION)} may be set in {namespace}")


def ip(*arguments):
    run(["ip", *arguments], 10)


def measure(kind, material, duration):
    """p50 and p99 of small requests beside bulk, for one stack."""
    link = Link(material)
    with link as net:
        application = stacks.Application(material, net)
        stack = None
        bulk = []
        try:
            stack = kind(material, application, net).start()
            log = os.path.join(stack.folder, "bulk.log")
            # One connection each, one file after another.
            files = stack.url("/1m") + "?[1-100000]"
            command = ["curl", "-skf", "--http1.1", "-o", os.devnull, files]
            bulk = [Process(command, log, net.public) for _ in range(BULK)]
            paced = ["ip", "netns", "exec", net.public, sys.executable,
                     os.path.join(HERE, "paced.py"), str(stack.port), str(CONNECTIONS),
                     str(RATE), str(duration)]
            answer = json.loads(run(paced, duration + 120))
            for process in bulk:
                process.check()
        finally:
            for process in bulk:
                process.stop()
            if stack:
                stack.stop()
            application.stop()
    latencies = answer["latencies"]
    if not latencies:
        raise Failed(f"{kind.name} answered nothing across the lossy link")
    return {
        "p50": percentile(latencies, 0.50),
        "p99": percentile(latencies, 0.99),
        "errors": answer["failed"],
        "congestion": link.congestion,
    }
