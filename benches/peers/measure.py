"""What others' load generators print, read, and the CPU of what they loaded."""

import os
import re
import subprocess
import tempfile
import time

from processes import Failed

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def seconds(text):
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if not found:
        raise Failed(f"`{text}` is no time that a load generator prints")
    return float(found[1]) * UNITS[found[2]]


def percentile(sorted_values, share):
    if not sorted_values:
        raise Failed("nothing was answered, so there is no latency")
    last = len(sorted_values) - 1
    return sorted_values[min(last, int(len(sorted_values) * share))]


def run(command, patience):
    done = subprocess.run(command, capture_output=True, text=True, timeout=patience)
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def costs(stack, act):
    """What `act` gives, and the CPU that the stack needed meanwhile, in seconds."""
    before = stack.cpu()
    result = act()
    return result, stack.cpu() - before


def wrk(stack, connections, duration, path="/1k"):
    """Requests as fast as they go, over HTTP/1.1 with keep-alive."""
    threads = 1 if connections < 8 else 2
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{duration}s", "--latency",
               "--timeout", "8", *stack.fields(), stack.url(path)]
    text, cpu = costs(stack, lambda: run(command, duration + 30))
    counted = re.search(r"(\d+) requests in ([\d.]+(?:us|ms|s|m))", text)
    if not counted:
        raise Failed(f"wrk said nothing to be counted:\n{text}")
    requests = int(counted[1])
    errors = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", text)))
    errors += sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
    return {
        "cpu": cpu / requests * 1000,
        "rate": requests / seconds(counted[2]),
        "p50": seconds(re.search(r"^\s+50%\s+(\S+)", text, re.MULTILINE)[1]),
        "p99": seconds(re.search(r"^\s+99%\s+(\S+)", text, re.MULTILINE)[1]),
        "errors": errors,
    }


def h2load(stack, clients, streams, duration, rate=None, http1=False):
    """Requests over HTTP/2; or at a fixed rate in all, over HTTP/1.1."""
    with tempfile.NamedTemporaryFile(prefix="bench-", suffix=".log") as log:
        command = ["h2load", "-t", "1", "-c", str(clients), "-m", str(streams),
                   "-D", str(duration), "--log-file", log.name]
        command += ["--h1"] if http1 else []
        command += ["--rps", f"{rate / clients:.4f}"] if rate else []
        command.append(stack.url("/1k"))
        text, cpu = costs(stack, lambda: run(command, duration + 30))
        # One line a request: when it began, its status, microseconds.
        with open(log.name) as file:
            lines = [line.split("\t") for line in file]
    good = sorted(int(line[2]) / 1e6 for line in lines if line[1] == "200")
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", text)
    if not failed or not good:
        raise Failed(f"h2load had no answer:\n{text}")
    return {
        "cpu": cpu / len(good) * 1000,
        "rate": len(good) / duration,
        "p50": percentile(good, 0.50),
        "p99": percentile(good, 0.99),
        "errors": sum(map(int, failed.groups())) + len(lines) - len(good),
    }


def bulk(stack, material, up):
    """One file down or up, by curl; CPU for each GiB."""
    command = ["curl", "-skf", "--http1.1", "-o", os.devnull, "-w", "%{time_total}"]
    if up:
        source = os.path.join(material.files, "bulk")
        command += ["-T", source, "-H", "Expect:", stack.url("/sink")]
    else:
        command.append(stack.url("/bulk"))
    text, cpu = costs(stack, lambda: run(command, 300))
    return {"cpu": cpu * 1024 / material.bulk, "rate": material.bulk / float(text)}


def settle(stack, patience=5.0):
    """Waits until a stack does nothing more for what was asked of it."""
    end = time.monotonic() + patience
    before = stack.cpu()
    while time.monotonic() < end:
        time.sleep(0.3)
        after = stack.cpu()
        if after - before <= 0.01:
            return
        before = after
