"""appproxy and its peers, one after the other and in turns, on this machine's loopback.

Run by `make bench`, which installs what it needs. Every round goes through all stacks, every second
round backwards; each stack starts anew in each round. What counts is the CPU of the proxies, from the
kernel's accounts of their processes, and ratios within a round: client, application and proxies share
the processors, so requests a second say more about the machine than about a proxy.
"""

import argparse
import os
import shutil
import signal
import sys
import time

sys.dont_write_bytecode = True

import loads
import lossy
import report
import stacks
import translation
from material import Material
from measure import wrk
from processes import Failed

STACKS = [*stacks.ALL, *translation.ALL]

TOOLS = ["nginx", "haproxy", "apache2", "wrk", "h2load", "curl", "openssl", "ip"]


def arguments():
    parser = argparse.ArgumentParser(prog="benches/peers", description=__doc__)
    parser.add_argument("--appproxy", required=True, help="the program, a release build")
    parser.add_argument("--rathole", required=True, help="rathole's program")
    parser.add_argument("--folder", required=True, help="where configurations and logs go")
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--seconds", type=positive, default=3, help="of each load")
    parser.add_argument("--bulk", type=positive, default=1024, help="MiB of the large file")
    parser.add_argument("--only", type=names(kind.name for kind in STACKS), help="stacks")
    parser.add_argument("--loads", type=names([*(l.name for l in loads.ALL), "lossy",
                                                    "translation"]))
    parser.add_argument("--record", help="the document that gets the report between its marks")
    parser.add_argument("--mark", default="bench", help="the name of those marks")
    return parser.parse_args()


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def names(known):
    known = list(known)

    def read(text):
        given = [word for word in text.replace(",", " ").split() if word]
        for word in given:
            if word not in known:
                raise argparse.ArgumentTypeError(f"`{word}` is none of {', '.join(known)}")
        return given or None

    return read


def check_tools(options, kinds):
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    needed = {options.appproxy}
    if stacks.NginxRathole in kinds:
        needed.add(options.rathole)
    missing += [program for program in needed if not os.access(program, os.X_OK)]
    if missing:
        raise Failed(f"missing: {', '.join(missing)}. `make bench` installs them where it may")


def say(*words):
    print("bench:", *words, file=sys.stderr, flush=True)


def visit(kind, application, plan, round_, results):
    """All loads on one stack, which is started anew for those that want it so."""
    wanted = [load for load in plan.loads if loads.wanted(load, kind)]
    stack = None
    try:
        for load in wanted:
            if stack and load.fresh:
                stack.stop()
                stack = None
            if stack is None:
                stack = kind(plan.material, application).start()
                # So that pools are filled and pages are there; what measures memory wants neither.
                if not load.fresh:
                    wrk(stack, 16, 1)
            figures = load.act(stack, plan)
            results.add(kind.name, load.name, round_, figures)
            if load.fresh:
                stack.stop()
                stack = None
    finally:
        if stack:
            stack.stop()


class Plan:
    def __init__(self, options, material):
        self.material = material
        self.seconds = options.seconds
        self.loads = [l for l in loads.ALL if not options.loads or l.name in options.loads]
        self.lossy = not options.loads or "lossy" in options.loads
        self.translation = not options.loads or "translation" in options.loads


def rounds(options, kinds, translating, plan, results):
    across = [kind for kind in kinds if kind in (stacks.NginxNginx, stacks.NginxRathole,
                                                 stacks.Appproxy)]
    obstacle = lossy.obstacle() if plan.lossy else None
    if obstacle:
        say(f"the lossy link is left out: {obstacle}")
    for round_ in range(options.rounds):
        order = kinds[:: -1 if round_ % 2 else 1]
        for kind in order if plan.loads else []:
            began = time.monotonic()
            application = stacks.Application(plan.material)
            try:
                visit(kind, application, plan, round_, results)
            except Failed as failed:
                # The others are worth their figures all the same.
                results.failures.append(f"{kind.name} in round {round_ + 1}: {failed}")
                say(results.failures[-1])
            finally:
                application.stop()
            say(f"round {round_ + 1}/{options.rounds}: {kind.name}, "
                f"{time.monotonic() - began:.0f} s, load average {os.getloadavg()[0]:.1f}")
        for kind in across if plan.lossy and not obstacle else []:
            try:
                figures = lossy.measure(kind, plan.material, 2 * plan.seconds)
            except Failed as failed:
                results.failures.append(f"{kind.name} across the lossy link: {failed}")
                say(results.failures[-1])
                continue
            results.add(kind.name, "lossy", round_, figures)
            say(f"round {round_ + 1}/{options.rounds}: {kind.name} across the lossy link")
        if plan.translation and translating:
            began = time.monotonic()
            try:
                translation.measure(translating, plan, round_, results)
            except Failed as failed:
                results.failures.append(f"links in pages in round {round_ + 1}: {failed}")
                say(results.failures[-1])
            say(f"round {round_ + 1}/{options.rounds}: links in pages, "
                f"{time.monotonic() - began:.0f} s, load average {os.getloadavg()[0]:.1f}")


def main():
    options = arguments()
    # As Ctrl-C: what runs is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    kinds, translating = stacks.USUAL, translation.ALL
    if options.only:
        kinds = [kind for kind in stacks.ALL if kind.name in options.only]
        translating = [kind for kind in translation.ALL if kind.name in options.only]
    stacks.Appproxy.program = os.path.abspath(options.appproxy)
    stacks.NginxRathole.program = os.path.abspath(options.rathole)
    if options.loads == ["translation"]:
        kinds = []
    check_tools(options, kinds)
    folder = os.path.abspath(options.folder)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    load_before = os.getloadavg()[0]
    plan = Plan(options, Material(folder, options.bulk))
    results = report.Results()
    rounds(options, kinds, translating, plan, results)
    results.dump(os.path.join(folder, "results.json"))
    result = report.text(results, kinds, report.about(options, load_before))
    print(result)
    if results.failures:
        raise Failed(f"{len(results.failures)} of the loads were not measured, see above")
    if options.record:
        report.record(options.record, options.mark, result)


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"bench: {failed}")
    except KeyboardInterrupt:
        sys.exit(130)
