"""Thousands of real pages through our translation of links, and through that of others.

Run by `make differential`. `collect` fetches documentation packages of Debian and declares hosts that
their pages link to as internal; a test of `tests/operations` translates the pages as a gateway does;
`compare` holds what came out against html5lib and lxml, and against the pages octet by octet. A
difference that `explained.py` does not explain fails the run, and so does an explanation that explains
nothing.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import sys
from collections import Counter
from dataclasses import dataclass, field

sys.dont_write_bytecode = True

import explained
import octets
import pages
import reference
from published import OUTSIDE, Published, applications, links


def arguments():
    parser = argparse.ArgumentParser(prog="tests/differential", description=__doc__)
    parser.add_argument("step", choices=["collect", "compare"])
    parser.add_argument("--folder", required=True, help="where packages, pages and outcomes go")
    return parser.parse_args()


def collect(folder):
    found = [(package, path, links_of(path)) for package, path in pages.collect(folder)]
    usual = {}
    for package in {package for package, _, _ in found}:
        hosts = Counter(link[1:3] for name, _, of_page in found if name == package for link in of_page)
        usual[package] = max(hosts, key=lambda host: (hosts[host], host), default=("https", "www.debian.org"))
    entries = []
    for number, (package, path, of_page) in enumerate(found):
        declared, host = applications(of_page, usual[package], number)
        entries.append(
            {
                "package": package,
                "page": os.path.relpath(path, folder),
                "out": f"outcomes/{number}.html",
                "host": host,
                "seed": number,
                "applications": [application.to_json() for application in declared],
            }
        )
    # What an earlier run left must not be taken for what this one made.
    shutil.rmtree(os.path.join(folder, "outcomes"), ignore_errors=True)
    os.mkdir(os.path.join(folder, "outcomes"))
    with open(os.path.join(folder, "list.json"), "w", encoding="utf-8") as file:
        json.dump(entries, file, indent=1)
    print(f"{len(entries)} pages of {len({entry['package'] for entry in entries})} packages")


def links_of(path):
    with open(path, "rb") as file:
        text = file.read()
    if OUTSIDE.encode() in text:
        raise SystemExit(f"{path} has a host that is to be seen outside only")
    return links(text)


@dataclass
class Seen:
    """Of one page, or of all."""

    counts: Counter = field(default_factory=Counter)
    explained: Counter = field(default_factory=Counter)
    faults: list = field(default_factory=list)

    def add(self, other):
        self.counts += other.counts
        self.explained += other.explained
        self.faults += other.faults


def looked_at(work):
    folder, entry, told = work
    page = read(folder, entry["page"])
    outcome = read(folder, entry["out"])
    published = Published(entry["applications"], entry["host"])
    seen = Seen()
    seen.counts.update(pages=1, octets=len(page), links=told["links"])
    seen.counts[told["decision"]] += 1
    if told["links"]:
        seen.counts["pages with links that changed"] += 1

    def fault(text):
        seen.faults.append(f"{entry['page']} ({entry['out']}): {text}")

    try:
        replaced = octets.count_replaced(page, outcome, published)
        if replaced != told["links"]:
            fault(f"{replaced} URLs were replaced, and {told['links']} counted")
    except octets.Different as different:
        fault(str(different))
    for parser in reference.PARSERS:
        for difference in reference.differences(parser, page, outcome, published):
            explanation = explained.explanation(difference, published)
            if explanation:
                seen.explained[explanation.__name__] += 1
            else:
                fault(str(difference))
    return seen


def read(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


def compare(folder):
    entries = json.loads(read(folder, "list.json"))
    outcomes = json.loads(read(folder, "outcomes/told.json"))
    work = [(folder, *pair) for pair in zip(entries, outcomes, strict=True)]
    total = Seen()
    with multiprocessing.Pool() as pool:
        for seen in pool.imap(looked_at, work, chunksize=8):
            total.add(seen)
    report(total, {entry["package"] for entry in entries})


def report(total, packages):
    print(f"packages: {len(packages)}")
    for name, count in total.counts.items():
        print(f"{name}: {count:,}")
    print("differences that are explained:")
    for explanation, reason in explained.EXPLAINED.items():
        count, name = total.explained[explanation.__name__], explanation.__name__.replace("_", " ")
        print(f"  {count:,} of {name}: {reason}")
        if not count:
            total.faults.append(f"the explanation `{name}` explains nothing")
    for fault in total.faults:
        print(f"not explained: {fault}")
    if len(packages) < pages.FEWEST_PACKAGES or total.counts["pages"] < pages.FEWEST_PAGES:
        raise SystemExit("too few pages")
    if total.faults:
        raise SystemExit(f"{len(total.faults)} differences are not explained")


if __name__ == "__main__":
    chosen = arguments()
    {"collect": collect, "compare": compare}[chosen.step](chosen.folder)
