"""The same page as two other parsers read it, with their links rewritten: html5lib with the list of URL
attributes that HTML has, and lxml with its own `rewrite_links`. Then both trees are compared with that of
our outcome, node by node."""

import logging
import re
from dataclasses import dataclass

import html5lib
import lxml.html

# What HTML says holds a URL, on which elements; also what it once said.
URLS = {
    "href": {"a", "area", "base", "link"},
    "src": {"audio", "embed", "frame", "iframe", "img", "input", "script", "source", "track", "video"},
    "action": {"form"},
    "formaction": {"button", "input"},
    "poster": {"video"},
    "cite": {"blockquote", "del", "ins", "q"},
    "data": {"object"},
    "background": {"body", "table", "td", "th", "tr"},
    "longdesc": {"frame", "iframe", "img"},
    "manifest": {"html"},
    "profile": {"head"},
    "codebase": {"applet", "object"},
}
SETS = {"srcset": {"img", "source"}, "imagesrcset": {"link"}}

IN_STYLE = re.compile(r"""(url\(\s*(?:"|'|)|@import\s+["'])([^"')]*)""", re.IGNORECASE)
REFRESH = re.compile(r"""(\s*[0-9.]+\s*[;,]\s*(?:url\s*=\s*)?["']?)([^"']*)""", re.IGNORECASE)

logging.getLogger("html5lib").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Difference:
    parser: str
    element: str
    # Or what else a node has, in parentheses.
    attribute: str
    before: str
    expected: str
    got: str


def html5lib_tree(octets):
    return html5lib.parse(octets, treebuilder="etree", namespaceHTMLElements=False)


def html5lib_rewritten(tree, published):
    for element in tree.iter():
        if not isinstance(element.tag, str):
            continue
        name = local(element.tag)
        for key, value in element.attrib.items():
            element.set(key, of_attribute(element, name, key, value, published))
        if name == "style" and element.text:
            element.text = of_style(element.text, published)


def of_attribute(element, name, key, value, published):
    attribute = local(key)
    is_svg = "svg" in element.tag
    if name in URLS.get(attribute, ()) or (is_svg and attribute == "href"):
        return published.outside(value)
    if name in SETS.get(attribute, ()):
        return re.sub(r"(^|,\s+)(\S+)", lambda m: m[1] + published.outside(m[2]), value)
    if attribute == "style":
        return of_style(value, published)
    if name == "meta" and attribute == "content" and element.get("http-equiv", "").lower() == "refresh":
        return REFRESH.sub(lambda m: m[1] + published.outside(m[2]), value, count=1)
    return value


def of_style(text, published):
    return IN_STYLE.sub(lambda m: m[1] + published.outside(m[2]), text)


def lxml_tree(octets):
    return lxml.html.document_fromstring(octets, parser=lxml.html.HTMLParser(huge_tree=True))


def lxml_rewritten(tree, published):
    tree.rewrite_links(published.outside, resolve_base_href=False)


PARSERS = {"html5lib": (html5lib_tree, html5lib_rewritten), "lxml": (lxml_tree, lxml_rewritten)}


def local(name):
    return name.rpartition("}")[2]


def differences(parser, page, outcome, published):
    """What is other in our outcome than in the page rewritten by this parser's means."""
    read, rewrite = PARSERS[parser]
    tree = read(page)
    plain = nodes(tree)
    rewrite(tree, published)
    expected = nodes(tree)
    got = nodes(read(outcome)) if outcome != page else plain
    if not len(plain) == len(expected) == len(got):
        return [Difference(parser, "", "(nodes)", str(len(plain)), str(len(expected)), str(len(got)))]
    found = []
    for before, other, ours in zip(plain, expected, got):
        for key in other.keys() | ours.keys():
            if other.get(key) != ours.get(key):
                values = (str(one.get(key)) for one in (before, other, ours))
                found.append(Difference(parser, before["(tag)"], key, *values))
    return found


def nodes(tree):
    """All that each node is, by name."""
    return [
        {local(key): value for key, value in node.attrib.items()}
        # No attribute has one of these names.
        | {"(tag)": local(str(node.tag)), "(text)": node.text, "(tail)": node.tail}
        | {"(children)": len(node)}
        for node in tree.iter()
    ]
