"""A page of documentation and a style sheet, the same in every run, and what a parser finds there.

Usage: page.py FOLDER, to look at them.
"""

import html.parser
import os
import random
import re
import sys

# A page as long as those that the reference figures of link translation were taken from, with as
# many tags, attributes with URLs, and links to what is published.
OCTETS = 102_425
TAGS = 1325
ATTRIBUTES = 660
LINKS = 222

# Beside the links: the same URLs where nobody follows them. Who changes these has changed text.
MENTIONS = 15

STYLE_SHEET = 1 << 20

URLS = {"href", "src", "action", "formaction", "poster", "cite", "data", "background", "longdesc",
        "ping", "srcset", "imagesrcset"}

WORDS = (
    "the of and to in is for on that with as by this from or an are at be which not have was all "
    "can their more has but one will about when also other your use new time may any only some its "
    "into than them these out over such up used most our request answer header field session tunnel "
    "gateway connector certificate application timeout default value setting häufig größer café"
).split()


class Writer:
    """Elements one after the other; what is left of each number is known at any time."""

    def __init__(self, bases):
        self.random = random.Random(7)
        self.bases = bases
        self.parts = []
        # Where text goes that makes the page as long as it is to be.
        self.blanks = []
        self.tags = self.attributes = self.links = self.mentions = self.serial = 0

    def raw(self, text, tags=0, attributes=0, links=0):
        self.parts.append(text)
        self.tags += tags
        self.attributes += attributes
        self.links += links

    def blank(self):
        self.blanks.append(len(self.parts))
        self.parts.append("")

    def words(self, count):
        return " ".join(self.random.choice(WORDS) for _ in range(count))

    def name(self):
        return self.random.choice(WORDS[:60])

    def internal(self, folder="docs"):
        """An absolute URL of something that is published."""
        self.serial += 1
        base = self.bases[self.serial % len(self.bases)]
        return f"{base}/{folder}/{self.name()}-{self.serial}"

    def local(self, folder="guide"):
        self.serial += 1
        return f"/{folder}/{self.name()}-{self.serial}.html"

    def mention(self):
        self.mentions += 1
        return self.internal("api")

    def head(self):
        base = self.bases[0]
        self.raw('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
                 '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
                 f'<title>{self.words(6)}</title>\n', tags=5)
        self.raw(f'<link rel="stylesheet" href="{base}/static/site.css">\n'
                 f'<link rel="icon" href="/favicon.ico">\n'
                 f'<link rel="canonical" href="{self.internal()}">\n', 3, 3, 2)
        rules = "".join(f".{self.name()}-{n} {{ margin: {n}px; color: #{n:03x} }}\n"
                        for n in range(60))
        self.raw(f'<style>\n@import "{base}/static/print.css";\nbody {{ background: '
                 f'url("{base}/img/paper.png") }}\n.logo {{ background: url(/img/logo.svg) }}\n'
                 f'{rules}</style>\n', 1, 0, 2)
        self.raw(f'<script src="{base}/static/app.js" defer></script>\n', 1, 1, 1)
        self.raw('<script>\nvar settings = { search: "' + self.mention() + '", limit: 20 };\n'
                 + 'function shown(x) { return x < 2 ? "one" : "<b>many</b>"; }\n' * 40
                 + '</script>\n</head>\n<body>\n', 2)

    def navigation(self):
        self.raw('<nav class="sidebar" aria-label="Contents"><ul class="toc">\n', 2)
        for n in range(48):
            url, links = (self.internal(), 1) if n % 6 == 0 else (self.local(), 0)
            self.raw(f'<li class="toctree-l{n % 3 + 1}"><a class="reference internal" href="{url}">'
                     f'{self.words(3)}</a></li>\n', 2, 1, links)
        self.raw('</ul></nav>\n<main id="content">\n', 1)

    def section(self, number):
        name = f"section-{number}"
        self.raw(f'<section id="{name}"><h2>{self.words(4)} <a class="headerlink" href="#{name}" '
                 'title="Link to this heading">¶</a></h2>\n', 3, 1)
        for n in range(2):
            self.raw('<p>', 1)
            self.blank()
            self.raw(f' <a href="{self.internal()}">{self.words(2)}</a>, ', 1, 1, 1)
            self.raw(f'<a class="reference" href="{self.local()}"><code class="xref">'
                     f'{self.words(1)}</code></a> ', 2, 1)
            self.blank()
            self.raw(f' <em>{self.words(2)}</em> <a href="https://www.example.org/rfc/{number}{n}">'
                     f'{self.words(2)}</a></p>\n', 2, 1)
        getattr(self, ("table", "figure", "form", "listing", "quotation")[number % 5])(number)
        self.raw('</section>\n')

    def table(self, number):
        self.raw('<table class="docutils"><thead><tr><th>setting</th><th>default</th><th>see</th>'
                 '</tr></thead><tbody>\n', 7)
        for n in range(5):
            url, links = (self.internal(), 1) if n % 3 == 0 else (self.local("settings"), 0)
            self.raw(f'<tr class="row-{n}"><td><code>{self.name()}_{n}</code></td><td>'
                     f'{self.random.randrange(5000)}</td><td><a href="{url}">{self.words(2)}</a> '
                     f'<a href="#note-{number}">{n}</a></td></tr>\n', 7, 2, links)
        self.raw('</tbody></table>\n')

    def figure(self, number):
        small, large = self.internal("img") + ".png", self.internal("img") + "@2x.png"
        background = self.internal("img") + ".gif"
        self.raw(f'<figure class="wide" style="background-image: url({background})"><img '
                 f'src="/img/{number}.png" srcset="{small} 1x, {large} 2x" width="640" '
                 f'height="360" alt="{self.words(5)}" loading="lazy"><figcaption>{self.words(6)} '
                 f'<a href="/img/{number}.png">{self.words(2)}</a></figcaption></figure>\n',
                 4, 3, 3)

    def form(self, number):
        self.raw(f'<form class="search" action="{self.internal("search")}" method="post"><input '
                 f'type="hidden" name="in" value="{self.words(2)}"><label>{self.words(2)} <input '
                 f'type="text" name="q"></label><button type="submit">{self.words(1)}</button>'
                 f'<button formaction="/search/{number}">{self.words(2)}</button></form>\n',
                 6, 2, 1)

    def listing(self, _):
        # Somebody reads these, and copies them.
        self.raw(f'<pre><code class="language-sh">curl --fail {self.mention()} \\\n  '
                 f'| jq \'.items[]\' &gt; {self.words(1)}.json</code></pre>\n'
                 f'<!-- {self.words(4)} -->\n', 2)

    def quotation(self, _):
        self.raw(f'<blockquote cite="{self.internal()}"><p>', 2, 1, 1)
        self.blank()
        self.raw(f'</p></blockquote>\n<video controls poster="/img/still.jpg"><source '
                 f'src="{self.internal("media")}.webm" type="video/webm"></video>\n', 2, 2, 1)

    def rest(self):
        """The index, which has as many entries as make the numbers even."""
        self.raw('<footer class="index">\n', 1)
        for _ in range(MENTIONS - self.mentions):
            self.raw(f'<!-- moved from {self.mention()} -->\n')
        links = LINKS - self.links
        local = ATTRIBUTES - self.attributes - links
        plain = TAGS - self.tags - links - local
        assert min(links, local, plain) >= 0, (links, local, plain)
        entries = [("link", n) for n in range(links)] + [("local", n) for n in range(local)]
        self.random.shuffle(entries)
        for n, (kind, _) in enumerate(entries):
            if kind == "link":
                self.raw(f'<a href="{self.internal()}">{self.words(1)}</a>', 1, 1, 1)
            else:
                self.raw(f'<a href="{self.local()}">{self.words(1)}</a>', 1, 1)
            if n < plain:
                self.raw(f' <span class="n">{n}</span>', 1)
            self.raw(",\n")
        for n in range(max(0, plain - len(entries))):
            self.raw(f'<b>{n}</b>\n', 1)
        self.raw('</footer>\n</main>\n</body>\n</html>\n')

    def fill(self):
        """Text until the page has its length."""
        left = OCTETS - len("".join(self.parts).encode())
        assert left > 100 * len(self.blanks) // 2, f"{left} octets for {len(self.blanks)} texts"
        for n, place in enumerate(self.blanks):
            length = left // (len(self.blanks) - n)
            left -= length
            self.parts[place] = self.text(length)

    def text(self, octets):
        text = self.words(octets // 2).encode()[:octets]
        # What was cut within a character, or ends with a blank.
        end = text.decode(errors="ignore").rstrip()
        return end + "." * (octets - len(end.encode()))


def page(bases):
    """The page, whose links are below these URLs, each without a slash at its end."""
    writer = Writer(bases)
    writer.head()
    writer.navigation()
    number = 0
    # What is left then becomes the index.
    while TAGS - writer.tags > 320 and LINKS - writer.links > 20:
        writer.section(number)
        number += 1
    writer.rest()
    writer.fill()
    text = "".join(writer.parts)
    found = Found(text, bases)
    counts = (len(text.encode()), found.tags, found.attributes, found.links, found.mentions)
    assert counts == (OCTETS, TAGS, ATTRIBUTES, LINKS, MENTIONS), counts
    return text.encode()


def style_sheet(bases):
    """A mebibyte of rules; one in eight has a URL of what is published."""
    writer = Writer(bases)
    parts = ["@charset \"utf-8\";\n", f"@import url({bases[0]}/static/base.css);\n"]
    length, number = sum(map(len, parts)), 0
    while True:
        image = f"url('{writer.internal('img')}.svg')" if number % 8 == 0 else "none"
        rule = (f".{writer.name()}-{number}:hover > a[href^=\"/x\"], #n{number} {{\n"
                f"  color: #{number % 4096:03x};\n"
                f"  margin: 0 {number % 40}px calc(1em + {number % 9}px);\n"
                f"  background: {image} no-repeat;\n  transition: opacity .2s ease-in;\n}}\n")
        # Room for the end.
        if length + len(rule) + 8 > STYLE_SHEET:
            break
        parts.append(rule)
        length += len(rule)
        number += 1
    parts.append("/* " + "." * (STYLE_SHEET - length - 7) + " */\n")
    text = "".join(parts).encode()
    assert len(text) == STYLE_SHEET
    return text


def parts(bases, count, octets):
    """A page in parts of this length, without the last octets, which say when a part was sent."""
    writer = Writer(bases)
    made = []
    for n in range(count):
        text = "<!DOCTYPE html>\n<meta charset=utf-8>\n<title>parts</title>\n" if n == 0 else ""
        while len(text.encode()) < octets - 400:
            url = writer.internal()
            text += f'<p>{writer.words(8)} <a href="{url}">{writer.words(2)}</a></p>\n'
        made.append((text + "x" * (octets - len(text.encode()))).encode())
    return made


def in_style(text):
    return re.findall(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""", text)


class Found(html.parser.HTMLParser):
    """What stands in a page."""

    def __init__(self, text, bases):
        super().__init__()
        self.tags = self.attributes = 0
        self.urls = []
        self.texts = []
        self.inside = None
        self.feed(text)
        self.close()
        self.links = sum(url.startswith(tuple(f"{base}/" for base in bases)) for url in self.urls)
        self.mentions = sum(text.count(f"{base}/") for text in self.texts for base in bases)

    def style(self, text):
        self.urls += [one or other for one, other in in_style(text)]

    def handle_starttag(self, tag, attributes):
        self.tags += 1
        self.inside = tag
        for name, value in attributes:
            if name in URLS:
                self.attributes += 1
                many = [one.split()[0] for one in value.split(",") if one.strip()]
                self.urls += many if name.endswith("srcset") else [value]
            elif name == "style":
                self.style(value)
            else:
                self.texts.append(value or "")

    def handle_endtag(self, _):
        self.inside = None

    def handle_data(self, data):
        if self.inside == "style":
            self.style(data)
        else:
            self.texts.append(data)

    def handle_comment(self, data):
        self.texts.append(data)


def links_of_style(text, bases):
    """How many URLs of a style sheet are below these."""
    urls = [one or other for one, other in in_style(text)]
    return sum(url.startswith(tuple(f"{base}/" for base in bases)) for url in urls)


def main():
    bases = [f"http://{name}.bench" for name in ("application", "wiki", "git", "tickets")]
    for name, made in {"page.html": page(bases), "sheet.css": style_sheet(bases)}.items():
        with open(os.path.join(sys.argv[1], name), "wb") as file:
            file.write(made)


if __name__ == "__main__":
    main()
