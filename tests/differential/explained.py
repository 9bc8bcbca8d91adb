"""Differences that are meant: what we do that the other parsers' rules do not, and the other way round. Each
has to be seen, so that none outlives its reason."""

import re

INSIDE_ANOTHER = re.compile(r"(?<=[/=])https?://[^?#&;,|]*")


def a_url_inside_another(difference, published):
    return INSIDE_ANOTHER.sub(lambda match: published.outside(match[0]), difference.expected) == difference.got


def blanks_around_a_url(difference, _):
    before, got = difference.before, difference.got
    kept = before[len(before.rstrip()) :]
    return bool(kept) and got.endswith(kept) and got.strip() == difference.expected


def a_backslash(difference, published):
    """Only scheme, host and path as far as it is published become others: the rest keeps its backslashes."""
    outside = published.outside(difference.before.replace("\\", "/"))
    return "\\" in difference.before and difference.got.replace("\\", "/") == outside


# Each with its reason.
EXPLAINED = {
    a_url_inside_another: "an absolute URL in the path or the query of another one is a link, too",
    blanks_around_a_url: "they stay as they came; the others trim what they change",
    a_backslash: "browsers take it for a slash, and so do we; urllib does not",
}


def explanation(difference, published):
    """The first one that applies."""
    return next((one for one in EXPLAINED if one(difference, published)), None)
