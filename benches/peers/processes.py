"""Processes that the bench starts, and what they cost: each with all that it starts itself."""

import os
import signal
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")

# How long a program may take to end before it is killed.
FAREWELL = 5.0


class Failed(Exception):
    """The bench cannot go on, with the reason for whoever started it."""


class Process:
    """One program; its output goes to a log beside its configuration."""

    def __init__(self, command, log, namespace=None):
        self.name = os.path.basename(command[0])
        self.log = log
        # `ip netns exec` becomes the program itself, so the process id is the program's.
        prefix = ["ip", "netns", "exec", namespace] if namespace else []
        with open(log, "ab") as out:
            self.popen = subprocess.Popen(
                prefix + command, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def check(self):
        """Says why, where the program has ended."""
        code = self.popen.poll()
        if code is not None:
            raise Failed(f"{self.name} ended with {code}; the end of {self.log}:\n{tail(self.log)}")

    def stop(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            # Whoever does not go takes its workers along; they are its own alone.
            for pid in reversed(tree(self.popen.pid)):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.popen.wait()

    def cpu(self):
        """Seconds of CPU, user and system, of the program and all below it."""
        return sum(map(cpu_of, tree(self.popen.pid)))

    def memory(self):
        """Proportional set size in KiB of the program and all below it."""
        return sum(map(memory_of, tree(self.popen.pid)))


def tail(log, octets=1500):
    with open(log, "rb") as file:
        return file.read()[-octets:].decode(errors="replace")


def tree(root):
    """The process ids of a process and all below it."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    parent = int(file.read().rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def cpu_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            # Past the name, which may hold anything: fields 14 and 15 of proc(5).
            fields = file.read().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_of(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    except (FileNotFoundError, ProcessLookupError):
        return 0


def until(what, holds, processes, patience=20.0):
    """Waits for something, and says what was waited for where it does not come."""
    end = time.monotonic() + patience
    while not holds():
        for process in processes:
            process.check()
        if time.monotonic() > end:
            logs = "\n".join(f"{process.log}:\n{tail(process.log)}" for process in processes)
            raise Failed(f"waited {patience:.0f} s for {what} in vain\n{logs}")
        time.sleep(0.02)
