"""Links in pages and style sheets: what it costs to translate them, and what of it is done.

Each stack here has the same application twice, translated and not, in the same processes: what is
added is the difference. All stacks run at once and are asked in turns, there and back.
"""

import gzip
import http.client
import os
import re
import ssl
import statistics
import threading
import time
import zlib

import page
import stacks
from material import free_ports
from measure import wrk
from processes import Failed

# Hosts of what is published beside the application itself.
OTHERS = ["wiki", "git", "tickets"]

CONNECTIONS = 8

# A page that comes slowly, as `sink.py` sends it.
PARTS = 6
PART = 4096
PAUSE = 0.2

# Of each, a round.
SAMPLES = 10
STAGGER = 0.03


class Load:
    def __init__(self, name, path, what, packed=False, translated=True):
        self.name = name
        self.path = path
        # For the report.
        self.what = what
        self.packed = packed
        self.translated = translated


PAGE = Load("page", "/page.html", "page")
PACKED = Load("page-packed", "/page.html", "page, gzip", packed=True)
SHEET = Load("sheet", "/sheet.css", "style sheet")
SAME = [
    Load("file", "/file", "application/octet-stream, 100 KiB", translated=False),
    Load("json", "/data.json", "application/json, 100 KiB", translated=False),
    Load("small", "/1k", "application/octet-stream, 1 KiB", translated=False),
]
ALL_LOADS = [PAGE, PACKED, SHEET, *SAME]


class Ours(stacks.Appproxy):
    name = "appproxy-links"
    hops = "gateway ⇐ TLS 1.3 ⇐ connector, `body: [html, css]`"
    template = "links.yaml"

    def launch(self):
        (port,) = free_ports(1)
        self.also = [f"127.0.0.1:{port}"]
        self.values |= {"without_port": port}
        super().launch()

    def ways(self, load):
        return {"without": self.values["without_port"], "with": self.port}


class Peer(stacks.Stack):
    """One hop with four servers in it."""

    def values_of_servers(self, line):
        """Their ports, and a line for each URL."""
        without, extended, packed = free_ports(3)
        ports = {"front": self.port, "without": without, "extended": extended, "packed": packed}
        for name, port in ports.items():
            self.values |= {name: f"127.0.0.1:{port}", f"{name}_port": port}
        pairs = zip(internal(self.application), external(self.port))
        return "\n".join(line.format(*pair) for pair in pairs)


class Apache(Peer):
    name = "apache-links"
    hops = "Apache, mod_proxy_html, one hop"

    def launch(self):
        lines = self.values_of_servers("ProxyHTMLURLMap {} {}")
        self.values |= {"url_maps": lines, "modules": "/usr/lib/apache2/modules"}
        self.run(["apache2", "-DFOREGROUND", "-f", self.config("links.apache.conf")])

    def ways(self, load):
        """It has no filter for style sheets."""
        values = self.values
        return {
            PAGE: {"without": values["without_port"], "with": self.port,
                   "extended": values["extended_port"]},
            PACKED: {"without": values["without_port"], "with": values["packed_port"]},
        }.get(load, {})


class Nginx(Peer):
    name = "nginx-links"
    hops = "nginx, sub_filter, one hop"

    def launch(self):
        lines = self.values_of_servers('sub_filter "{}" "{}";')
        self.values |= {"sub_filters": lines}
        self.run(["nginx", "-c", self.config("links.nginx.conf")])

    def ways(self, load):
        if not load.translated:
            return {}
        translated = self.values["packed_port"] if load.packed else self.port
        return {"without": self.values["without_port"], "with": translated}


ALL = [Ours, Apache, Nginx]
EXTENDED = "apache-links-extended"


def internal(application):
    """The URLs that stand in the page."""
    own = f"http://application.bench:{application.port}"
    return [own, *(f"http://{name}.bench" for name in OTHERS)]


def external(port):
    return [f"https://localhost:{port}", *(f"https://{name}.localhost:{port}" for name in OTHERS)]


class Way:
    """One of a stack's servers, as a load generator wants it."""

    def __init__(self, stack, name, port, load):
        self.stack = stack
        self.name = name
        self.port = port
        self.load = load

    def url(self, path):
        return f"https://localhost:{self.port}{path}"

    def fields(self):
        return ["-H", "Accept-Encoding: gzip"] if self.load.packed else []

    def cpu(self):
        return self.stack.cpu()

    def connect(self):
        context = ssl._create_unverified_context()
        return http.client.HTTPSConnection("localhost", self.port, timeout=20, context=context)

    def request(self, connection, path):
        coding = {"Accept-Encoding": "gzip" if self.load.packed else "identity"}
        connection.request("GET", path, headers=coding)
        answer = connection.getresponse()
        named = answer.headers.get("Content-Encoding", "identity")
        if answer.status != 200 or self.load.packed != (named == "gzip"):
            raise Failed(f"{self.stack.name}, {self.name}, {path}: {answer.status}, {named}")
        return answer

    def look(self, files):
        """What was translated: links, and text that is none; nothing where nothing should be."""
        connection = self.connect()
        body = self.request(connection, self.load.path).read()
        connection.close()
        if self.load.packed:
            body = gzip.decompress(body)
        if self.name == "without" or not self.load.translated:
            with open(os.path.join(files, self.load.path[1:]), "rb") as file:
                if file.read() != body:
                    raise Failed(f"{self.stack.name}, {self.name}: {self.load.path} came changed")
            return {}
        text, bases = body.decode(), external(self.stack.port)
        if self.load is SHEET:
            return {"links": page.links_of_style(text, bases)}
        found = page.Found(text, bases)
        return {"links": found.links, "mentions": found.mentions}


def write_files(files, application):
    """What is asked for; it names the application, so it is another one at each start."""
    bases = internal(application)
    sheet = page.style_sheet(bases)
    made = {"page.html": page.page(bases), "sheet.css": sheet,
            "parts": b"".join(page.parts(bases, PARTS, PART))}
    item = b'{"id": 1, "self": "%s/items/1", "title": "one"},\n' % bases[0].encode()
    made["data.json"] = (b"[" + item * 4096)[: 100 << 10]
    made["file"] = bytes(100 << 10)
    for name, octets in made.items():
        with open(os.path.join(files, name), "wb") as file:
            file.write(octets)
    with open(os.path.join(files, "page.html.gz"), "wb") as file:
        file.write(gzip.compress(made["page.html"], 6, mtime=0))
    return page.links_of_style(sheet.decode(), bases)


def measure(kinds, plan, round_, results):
    """One round: all of it with all of them."""
    application = stacks.Application(plan.material)
    running = []
    try:
        in_sheet = write_files(plan.material.files, application)
        for kind in kinds:
            running.append(kind(plan.material, application).start())
        order = running[:: -1 if round_ % 2 else 1]
        for load in ALL_LOADS:
            turns = [Way(stack, name, port, load)
                     for stack in order for name, port in stack.ways(load).items()]
            of = {PAGE: page.LINKS, PACKED: page.LINKS, SHEET: in_sheet}.get(load)
            take_turns(turns, plan, round_, results, of)
        for stack in order:
            in_parts(stack, round_, results)
    finally:
        for stack in running:
            stack.stop()
        application.stop()


def take_turns(turns, plan, round_, results, of):
    """Slices there and back, so that what drifts does so for all."""
    load = turns[0].load if turns else None
    seen, costs = {}, {}
    for way in turns:
        seen[way] = way.look(plan.material.files) | ({"of": of} if of else {})
        if load is PAGE:
            wrk(way, CONNECTIONS, 1, load.path)
    for way in [*turns, *reversed(turns)]:
        figures = wrk(way, CONNECTIONS, max(1, plan.seconds // 2), load.path)
        if figures["errors"]:
            raise Failed(f"{way.stack.name}, {way.name}: {figures['errors']} answers were none")
        costs.setdefault(way, []).append(figures["cpu"])
    without = {way.stack: costs[way] for way in turns if way.name == "without"}
    for way in turns:
        if way.name == "without":
            continue
        name = EXTENDED if way.name == "extended" else way.stack.name
        before, after = without[way.stack], costs[way]
        figures = {"without": statistics.mean(before), "with": statistics.mean(after),
                   "halves": [before, after]}
        results.add(name, load.name, round_, figures | seen[way])


def in_parts(stack, round_, results):
    """A page that the application sends in parts: when its first octets come, and each part."""
    for load in (PAGE, PACKED) if isinstance(stack, Ours) else (PAGE,):
        ways = [Way(stack, name, port, load)
                for name, port in stack.ways(load).items() if name != "extended"]
        visits = [Visit(way) for _ in range(SAMPLES) for way in ways]
        for visit in visits:
            visit.start()
            time.sleep(STAGGER)
        for visit in visits:
            visit.join()
        figures = {}
        for way in ways:
            own = [visit for visit in visits if visit.way is way]
            for visit in own:
                if visit.failed:
                    raise Failed(f"{stack.name}, {way.name}, in parts: {visit.failed}")
            figures[way.name] = statistics.median(visit.first for visit in own)
            delays = [delay for visit in own for delay in visit.delays]
            figures[f"slowest {way.name}"] = max(delays)
            figures[f"late {way.name}"] = sum(delay >= PAUSE for delay in delays)
        results.add(stack.name, f"parts-{load.name}", round_, figures)


class Visit(threading.Thread):
    """Somebody who waits for such a page, over a connection that is open already."""

    def __init__(self, way):
        super().__init__()
        self.way = way
        self.first = None
        self.delays = []
        self.failed = None

    def run(self):
        try:
            self.read()
        except (OSError, http.client.HTTPException, zlib.error, Failed) as error:
            self.failed = error

    def read(self):
        connection = self.way.connect()
        connection.request("GET", "/1k")
        connection.getresponse().read()
        unpack = zlib.decompressobj(31) if self.way.load.packed else None
        text, end = b"", 0
        began = time.monotonic()
        answer = self.way.request(connection, "/parts")
        while octets := answer.read1(1 << 16):
            now = time.monotonic()
            self.first = self.first or now - began
            text += unpack.decompress(octets) if unpack else octets
            for found in re.finditer(rb"<!-- sent ([\d.]+) -->", text[end:]):
                self.delays.append(now - float(found[1]))
            end = max(0, text.rfind(b"-->") + 3)
        connection.close()
        if len(self.delays) != PARTS:
            raise Failed(f"{len(self.delays)} of {PARTS} parts came")
