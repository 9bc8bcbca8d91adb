"""Whether a page is the same but for its links, without a parser: each external URL in what came out
stands where the page had an internal one, and all between is the same octet by octet."""

import re

COLON = rb"(?::|%3a|%253a)"
SLASH = rb"(?:/|%2f|%252f)"


class Different(Exception):
    """What came out is not the page with other URLs."""


def count_replaced(page, outcome, published):
    """How many URLs were replaced."""
    forms = [form(number, *rule) for number, rule in enumerate(published.rules)]
    written = re.compile(b"|".join(outside for outside, _ in forms), re.IGNORECASE)
    at = in_page = count = 0
    for match in written.finditer(outcome):
        in_page = passed(page, in_page, outcome[at : match.start()])
        number = int(match.lastgroup.removeprefix("form"))
        label = match.groupdict().get(f"label{number}") or b""
        inside = re.compile(forms[number][1].replace(b"LABEL", re.escape(label)), re.IGNORECASE)
        was = inside.match(page, in_page)
        if not was:
            raise Different(f"{match[0]!r} instead of {page[in_page : in_page + 60]!r}")
        at, in_page = match.end(), was.end()
        count += 1
    in_page = passed(page, in_page, outcome[at:])
    if in_page != len(page):
        raise Different(f"{page[in_page:][:60]!r} is missing at the end")
    return count


def passed(page, at, octets):
    """The position in the page behind octets that stayed."""
    if not page.startswith(octets, at):
        same = next(n for n, octet in enumerate(octets) if page[at + n : at + n + 1] != bytes([octet]))
        raise Different(f"{octets[same:][:60]!r} instead of {page[at + same :][:60]!r}")
    return at + len(octets)


def form(number, internal, external):
    """Patterns for a URL as it came out, and as it stood in the page."""
    outside = begin(external, b"(?P<label%d>[a-z0-9-]+)" % number) + path(external)
    inside = begin(internal, b"LABEL") + path(internal)
    # Of the page's own application the path alone is enough, where it is another one: no page has it.
    if number == 0 and external.path != "/":
        outside += b"|" + path(external)
        inside += b"|" + path(internal)
    return b"(?P<form%d>%s)" % (number, outside), inside


def begin(prefix, label):
    host = re.escape(prefix.host.encode()).replace(rb"\*", label)
    return rb"(?:%s%s)?%s%s%s(?::[0-9]+)?" % (prefix.scheme.encode(), COLON, SLASH, SLASH, host)


def path(prefix):
    segments = [re.escape(segment.encode()) for segment in prefix.path.split("/") if segment]
    return b"".join(SLASH + segment for segment in segments) + SLASH + b"?"
