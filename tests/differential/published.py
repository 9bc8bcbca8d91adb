"""What is published: real hosts of a page as internal URLs, and where their URLs lead outside. This is
the other implementation: it shares nothing with `src/translate`, and `urllib` reads the URLs."""

import re
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlsplit

OUTSIDE = "published.example.net"

ABSOLUTE = re.compile(
    rb"""\b([a-z-]+)\s*=\s*["']?\s*(https?)://([a-z0-9.-]+\.[a-z]{2,})(?::[0-9]+)?(/[^/"'\s<>?#&%]+/)?""",
    re.IGNORECASE,
)
# In the path or the query of another URL.
NESTED = re.compile(rb"[/=](https?)(?:://|%3a%2f%2f)([a-z0-9.-]+\.[a-z]{2,})", re.IGNORECASE)

PORTS = {"http": 80, "https": 443}

# Browsers skip these inside URLs, and blanks around them.
SKIPPED = re.compile("[\t\n\r]")
BLANKS = "".join(map(chr, range(33)))


@dataclass(frozen=True)
class Application:
    name: str
    internal: str
    external: str

    def to_json(self):
        return {"name": self.name, "internal": self.internal, "external": self.external}


@dataclass(frozen=True)
class Prefix:
    """A URL of a configuration in its parts; the host may begin with `*.`."""

    scheme: str
    host: str
    path: str

    @classmethod
    def of(cls, url):
        parts = urlsplit(url)
        return cls(parts.scheme, parts.netloc, parts.path)

    def label(self, host):
        """What stands for `*`, an empty text where there is none; `None` for another host."""
        if not self.host.startswith("*."):
            return "" if host == self.host else None
        label, _, rest = host.partition(".")
        return label if label and rest == self.host[2:] else None

    def holds(self, path):
        return path.startswith(self.path) or path == self.path.rstrip("/")


class Published:
    """The applications of one page; the first one is its own."""

    def __init__(self, applications, host):
        self.host = host
        self.rules = [(Prefix.of(one["internal"]), Prefix.of(one["external"])) for one in applications]

    def outside(self, url):
        """The external URL; `url` itself where it stays."""
        text = SKIPPED.sub("", url).strip(BLANKS)
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            return url
        if parts.scheme not in ("", "http", "https") or "\\" in text or "@" in parts.netloc:
            return url
        if not parts.netloc:
            return self.rooted(url, text) if text.startswith("/") and not parts.scheme else url
        found = self.find(parts, port)
        if not found:
            return url
        internal, external, host = found
        path = parts.path or "/"
        begin = f"{external.scheme}:" if parts.scheme else ""
        # All behind the authority is written as it was.
        behind = text[text.index(parts.netloc) + len(parts.netloc) + len(parts.path) :]
        return f"{begin}//{host}{moved(internal, external, path)}{behind}"

    def find(self, parts, port):
        host = parts.hostname or ""
        path = parts.path or "/"
        fitting = []
        for number, (internal, external) in enumerate(self.rules):
            label = internal.label(host)
            # A URL without a scheme has the application's own, or that of anybody.
            scheme = parts.scheme or internal.scheme
            is_there = scheme == internal.scheme and (port or PORTS[scheme]) == PORTS[scheme]
            if label is None or not is_there or not internal.holds(path):
                continue
            outside = external.host.replace("*", label)
            rank = (not label, len(internal.path), number == 0, internal.scheme)
            fitting.append((rank, internal, external, outside))
        return max(fitting, key=lambda one: one[0])[1:] if fitting else None

    def rooted(self, url, text):
        internal, external = self.rules[0]
        path = re.split("[?#]", text)[0]
        if not internal.holds(path):
            return url
        return moved(internal, external, path) + text[len(path) :]


def moved(internal, external, path):
    if path.startswith(internal.path):
        return external.path + path[len(internal.path) :]
    return external.path.rstrip("/") or "/"


def links(text):
    """Where a page's absolute links stand: an attribute, scheme, host, and first segment of the path."""
    found = [
        (attribute.decode().lower(), scheme.decode().lower(), host.decode().lower(), path.decode())
        for attribute, scheme, host, path in ABSOLUTE.findall(text)
    ]
    return found + [
        ("", scheme.decode().lower(), host.decode().lower(), "") for scheme, host in NESTED.findall(text)
    ]


def applications(found, usual, number):
    """Applications for a page with these links, and the host it is asked for at. The page's own internal
    host is the one most of its links lead to; where it has none, the `usual` one of its package. Two
    others are those of which fewest stand in a `href`. Every fifth page has the same arrangement of
    paths."""
    hosts = Counter(link[1:3] for link in found)
    plain = Counter(link[1:3] for link in found if link[0] == "href")
    scheme, host = min(hosts, key=lambda one: (-hosts[one], one), default=usual)
    others = sorted(hosts.keys() - {(scheme, host)}, key=lambda one: (plain[one] / hosts[one], -hosts[one], one))
    others = others[:2]
    paths = Counter(link[3] for link in found if link[3] and link[1:3] == (scheme, host))
    first = min(paths, key=lambda path: (-paths[path], path)) if paths else "/"
    own = f"{scheme}://{host}"
    label, _, rest = host.partition(".")
    asked = OUTSIDE
    arrangement = number % 5
    if arrangement == 0:
        declared = [("own", f"{own}/", f"https://{OUTSIDE}/")]
    elif arrangement == 1:
        declared = [("own", f"{own}/", f"https://{OUTSIDE}/published-{number}/")]
    elif arrangement == 2:
        declared = [("own", f"{own}{first}", f"https://{OUTSIDE}/published-{number}/a/")]
    elif arrangement == 3 and first != "/":
        # Two applications on one host, of which one has what is below a path.
        declared = [
            ("own", f"{own}/", f"https://{OUTSIDE}/published-{number}/"),
            ("below", f"{own}{first}", f"https://below.{OUTSIDE}/published/b/"),
        ]
    elif arrangement == 4 and rest.count("."):
        declared = [("own", f"{scheme}://*.{rest}/", f"https://*.any.{OUTSIDE}/")]
        asked = f"{label}.any.{OUTSIDE}"
    else:
        declared = [("own", f"{own}/", f"https://{OUTSIDE}/published-{number}/c/")]
    for at, (scheme, host) in enumerate(others):
        place = f"https://other.{OUTSIDE}/published-{at}/" if at else f"https://other-{number}.{OUTSIDE}/"
        declared.append((f"other-{at}", f"{scheme}://{host}/", place))
    return [Application(*one) for one in declared], asked
