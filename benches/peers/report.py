"""The figures of a run as tables in Markdown, the gates, and the machine they hold for."""

import json
import os
import platform
import re
import statistics
import subprocess

import lossy
import stacks
import translation_report

OURS = stacks.Appproxy.name
RATHOLE = stacks.NginxRathole.name
SIGNED_IN = stacks.SignedIn.name

# Load, figure, against whom, at most, and whose it is where it is not the usual one. Ratios are medians of the ratios of each round.
GATES = [
    ("CPU per request, 1 at once", "c1", "cpu", stacks.ANCHOR, 1.8),
    ("CPU per request, 64 at once", "c64", "cpu", stacks.ANCHOR, 1.3),
    ("CPU per request, 256 at once", "c256", "cpu", stacks.ANCHOR, 1.2),
    ("p50, 1 at once", "c1", "p50", stacks.ANCHOR, 1.5),
    ("CPU per GiB down", "down", "cpu", stacks.ANCHOR, 1.0),
    ("CPU per GiB up", "up", "cpu", stacks.ANCHOR, 1.0),
    ("CPU per request, 1 at once", "c1", "cpu", RATHOLE, 1.0),
    ("CPU per request, 64 at once", "c64", "cpu", RATHOLE, 1.0),
    ("CPU per request, 256 at once", "c256", "cpu", RATHOLE, 1.0),
    ("CPU per request, 1 at once", "c1", "cpu", OURS, 1.05, SIGNED_IN),
    ("CPU per request, 64 at once", "c64", "cpu", OURS, 1.05, SIGNED_IN),
    ("idle TLS connection, KiB", "idle", "memory", None, 28.0),
    ("lossy link, small p50, ms", "lossy", "p50", None, 2000 * lossy.ROUND_TRIP),
]


class Results:
    """What was measured, by stack and load, one entry a round."""

    def __init__(self):
        self.rounds = {}
        self.failures = []

    def add(self, stack, load, round_, figures):
        self.rounds.setdefault(stack, {}).setdefault(load, {})[round_] = figures

    def values(self, stack, load, figure):
        return {
            round_: figures[figure]
            for round_, figures in self.rounds.get(stack, {}).get(load, {}).items()
            if figure in figures
        }

    def median(self, stack, load, figure):
        values = self.values(stack, load, figure)
        return statistics.median(values.values()) if values else None

    def ratios(self, stack, load, figure, against):
        """Round by round, so that a machine that was busy in one of them was so for both."""
        ours, theirs = self.values(stack, load, figure), self.values(against, load, figure)
        # A cost that is below the clock's resolution has no ratio.
        return [ours[r] / theirs[r] for r in ours if theirs.get(r)]

    def dump(self, path):
        with open(path, "w") as file:
            json.dump(self.rounds, file, indent=1)


def gates(results):
    """Rows of words: what, against whom, the figure with its least and most, the bound, the word.
    The second value says whether all of them are met."""
    rows, met = [], True
    for what, load, figure, against, most, *whose in GATES:
        who = whose[0] if whose else OURS
        what = f"{who}: {what}" if whose else what
        if against:
            found = results.ratios(who, load, figure, against)
        else:
            scale = 1000 if figure == "p50" else 1
            found = [value * scale for value in results.values(who, load, figure).values()]
        if not found:
            # Whoever asked for some stacks or loads alone wants nothing of the others.
            asked = against is None or against in results.rounds
            if asked and load in results.rounds.get(who, {}):
                rows.append([what, against or "", "not measured", f"≤ {most:g}", ""])
            continue
        median = statistics.median(found)
        passes = median <= most
        met = met and passes
        times = " ×" if against else ""
        shown = f"{median:.2f}{times} ({min(found):.2f} to {max(found):.2f})"
        word = "PASS" if passes else f"MISS by {median / most - 1:.0%}"
        rows.append([what, against or "", shown, f"≤ {most:g}{times}", word])
    translated = translation_report.gates(results)
    met = met and all(row[-1] == "PASS" for row in translated)
    return rows + translated, met


def table(head, rows):
    lines = ["| " + " | ".join(cells) + " |" for cells in [head, *rows]]
    lines.insert(1, "|" + "---|" * len(head))
    return "\n".join(lines)


def milliseconds(value):
    return "–" if value is None else f"{value * 1000:.3g}"


def text(results, kinds, about):
    """The whole report."""
    kinds = [kind for kind in kinds if kind.name in results.rounds]
    parts = [about]
    parts += small_and_bulk(results, kinds) if kinds else []
    parts += translation_report.tables(results, table)
    parts.append("Gates (median of the rounds, least and most):")
    rows, _ = gates(results)
    parts.append(table(["what", "against", "figure", "bound", ""], rows))
    for failure in results.failures:
        parts.append(f"Not measured: {failure}")
    return "\n\n".join(parts) + "\n"


def small_and_bulk(results, kinds):
    """Requests, one file, and what is not asked for as fast as it goes."""
    parts = []
    head = ["stack", "1 at once", "64", "256", "HTTP/2, 64"]
    loads = ["c1", "c64", "c256", "http2"]
    measured = {load for of in results.rounds.values() for load in of}
    parts.append("CPU of all proxies, milliseconds a request (× nginx-nginx):")
    rows = [[kind.name] + [with_ratio(results, kind.name, load) for load in loads]
            for kind in kinds if kind.scheme == "https"]
    parts.append(table(head, rows))
    parts.append("Requests a second; p50 / p99 in milliseconds:")
    rows = [[kind.name] + [speed(results, kind.name, load) for load in loads] for kind in kinds]
    parts.append(table(head, rows))
    if measured & {"down", "up"}:
        parts.append("One file, CPU-seconds a GiB (× nginx-nginx), MiB a second:")
        rows = []
        for kind in kinds:
            row = [kind.name]
            for load in ("down", "up"):
                rate = results.median(kind.name, load, "rate")
                cost = with_ratio(results, kind.name, load)
                row += [cost, "–" if rate is None else f"{rate:.0f}"]
            rows.append(row)
        parts.append(table(["stack", "down", "MiB/s", "up", "MiB/s"], rows))
    if measured & {"fixed", "slow", "lossy", "idle", "websockets"}:
        parts += others(results, kinds)
    return parts


def others(results, kinds):
    """What is not asked for as fast as it goes."""
    parts = []
    parts.append("At a fixed rate, beside slow readers, across the lossy link: p50 / p99 in "
                 "milliseconds. Memory: what one more connection costs.")
    head = ["stack", "500 a second", "beside 20 slow readers", "lossy link, beside bulk",
            "idle TLS, KiB", "WebSocket, KiB"]
    used = {figures["congestion"] for loads in results.rounds.values()
            for figures in loads.get("lossy", {}).values()}
    if used:
        parts[-1] += (f" The link: {lossy.ROUND_TRIP * 1000:.0f} ms there and back, "
                      f"{lossy.LOSS:.1%} lost each way, {lossy.MEGABITS} Mbit/s, "
                      f"congestion control {' and '.join(sorted(used))}.")
    rows = []
    for kind in kinds:
        row = [kind.name] + [pair(results, kind.name, load) for load in ("fixed", "slow", "lossy")]
        for load in ("idle", "websockets"):
            memory = results.median(kind.name, load, "memory")
            row.append("–" if memory is None else f"{memory:.1f}")
        rows.append(row)
    parts.append(table(head, rows))
    return parts


def with_ratio(results, stack, load):
    value = results.median(stack, load, "cpu")
    ratios = results.ratios(stack, load, "cpu", stacks.ANCHOR)
    # What has no process between client and application costs nothing.
    if not value:
        return "–"
    ratio = f" ({statistics.median(ratios):.2f} ×)" if ratios else ""
    return f"{value:.3g}{ratio}"


def speed(results, stack, load):
    rate = results.median(stack, load, "rate")
    return "–" if rate is None else f"{rate:,.0f}; {pair(results, stack, load)}"


def pair(results, stack, load):
    p50, p99 = (results.median(stack, load, figure) for figure in ("p50", "p99"))
    if p50 is None:
        return "–"
    errors = sum(results.values(stack, load, "errors").values())
    failed = f", {errors:.0f} failed" if errors else ""
    return f"{milliseconds(p50)} / {milliseconds(p99)}{failed}"


def first_line(command, pattern):
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return None
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else None


def about(options, load_before):
    """The machine and the versions, for whoever compares."""
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    with open("/proc/meminfo") as file:
        memory = int(re.search(r"MemTotal:\s*(\d+)", file.read())[1]) >> 20
    number = r"(\d[\w.+-]*)"
    versions = {
        "appproxy": first_line([options.appproxy, "--version"], number),
        "nginx": first_line(["nginx", "-v"], "nginx/" + number),
        "Apache": first_line(["apache2", "-v"], "Apache/" + number),
        "haproxy": first_line(["haproxy", "-v"], "version " + number),
        "rathole": first_line([options.rathole, "--version"], r"rathole " + number)
        or first_line([options.rathole, "--version"], r"Build Version: +" + number),
        "wrk": first_line(["wrk", "-v"], r"(\d+\.\d[\w.+-]*)"),
        "h2load": first_line(["h2load", "--version"], "nghttp2/" + number),
        "curl": first_line(["curl", "--version"], "curl " + number),
        "OpenSSL": first_line(["openssl", "version"], "OpenSSL " + number),
        "rustc": first_line(["rustc", "--version"], number),
    }
    listed = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    commit = first_line(["git", "rev-parse", "--short=10", "HEAD"], r"(\w+)")
    return (
        f"{options.rounds} rounds of {options.seconds} s each, medians, commit {commit}. "
        f"{os.cpu_count()} × {model[1] if model else platform.machine()}, {memory} GiB, "
        f"Linux {platform.release()}, load average {load_before:.1f} before and "
        f"{os.getloadavg()[0]:.1f} after. {listed}."
    )


def record(path, mark, result):
    """Puts the report between its two marks in a document."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    with open(path) as file:
        document = file.read()
    if document.count(begin) != 1 or document.count(end) != 1:
        raise SystemExit(f"bench: {path} needs the lines `{begin}` and `{end}` once each")
    before, rest = document.split(begin)
    after = rest.split(end)[1]
    with open(path, "w") as file:
        file.write(f"{before}{begin}\n{result}{end}{after}")
