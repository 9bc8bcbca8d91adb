"""Pages of Debian's documentation packages: the same ones, for the same packages, on every machine."""

import hashlib
import os
import re
import shutil
import subprocess

# Names, or patterns of names that carry a version; of several the last one. Many languages, encodings and
# generators: Sphinx, DocBook, Texinfo, Doxygen, Javadoc, LaTeX2HTML, and people.
PACKAGES = [
    "anarchism",
    "apache2-doc",
    "aptitude-doc-cs",
    "aptitude-doc-ja",
    "bind9-doc",
    "cmake-doc",
    "debian-faq-ja",
    "debian-faq-ru",
    "debian-handbook",
    "debian-history",
    "debian-policy",
    "debian-reference-ja",
    "debmake-doc",
    "developers-reference-ja",
    "docbook-xsl-doc-html",
    "exim4-doc-html",
    "git-doc",
    "harden-doc",
    "installation-guide-amd64",
    "java-policy",
    r"libboost1\.[0-9]+-doc",
    r"libglib2\.0-doc",
    "maint-guide-ja",
    "mutt",
    "namazu2-common",
    "nodejs-doc",
    r"postgresql-doc-[0-9]+",
    r"python3\.[0-9]+-doc",
    "python-django-doc",
    "selinux-policy-doc",
    "sqlite3-doc",
    "vim-doc",
    "w3m",
    "zsh-doc",
]

# Fewer than these, and the run says nothing.
FEWEST_PACKAGES = 12
FEWEST_PAGES = 2000

# No package has more than its share, and a page is read in seconds.
MOST_OF_A_PACKAGE = 130
MOST_LOOKED_AT = 600
SHORTEST, LONGEST = 200, 300_000

# Also `index.html.ja.utf8` and `index.html.ko.euc-kr`.
NAME = re.compile(r"\.x?html?(\.[a-z]{2}(-[a-z]{2})?)?(\.(utf8|euc-kr|iso[0-9-]+))?$")

# What few pages have. A page with it is worth more than one without.
RARE = re.compile(
    rb"srcset=|integrity=|<base\s|http-equiv=.?refresh|<style|url\(|<svg|<i?frame|<object|<embed|<noscript"
    rb"|(?:href|cite|action|data|src)=.?(?:http|//)|background=|profile=|longdesc=|<param"
    rb"|https?%3a|[=/]https?:/|href=\"/[^/]",
    re.IGNORECASE,
)


def collect(folder):
    """Pages as (package, path), from packages that are fetched and unpacked below `folder`."""
    pages = []
    for name in resolved():
        of_package = chosen(unpacked(name, folder))
        pages += [(name, path) for path in of_package]
    return pages


def resolved():
    # Unpacked into a folder of ours: on small machines dpkg is told to leave documentation out.
    known = lines("apt-cache", "pkgnames")
    if PACKAGES[0] not in known:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        known = lines("apt-cache", "pkgnames")
    for pattern in PACKAGES:
        names = [name for name in known if re.fullmatch(pattern, name)]
        if names:
            yield max(names, key=lambda name: [int(digits) for digits in re.findall("[0-9]+", name)])
        else:
            print(f"no package {pattern} here")


def lines(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def unpacked(name, folder):
    target = os.path.join(folder, "packages", name)
    if os.path.isdir(target):
        return target
    parts = f"{target}.part"
    shutil.rmtree(parts, ignore_errors=True)
    os.makedirs(parts)
    as_ourselves = ["-o", "APT::Sandbox::User=root"]
    subprocess.run(["apt-get", "download", "-qq", *as_ourselves, name], cwd=parts, check=True)
    [archive] = os.listdir(parts)
    subprocess.run(["dpkg-deb", "-x", archive, "."], cwd=parts, check=True)
    os.remove(os.path.join(parts, archive))
    os.rename(parts, target)
    return target


def chosen(folder):
    """The pages with the most rare things, and others at even distances."""
    rare, others, seen = [], [], set()
    for path in spread(sorted(files(folder)), MOST_LOOKED_AT):
        with open(path, "rb") as file:
            text = file.read()
        digest = hashlib.sha256(text).digest()
        if digest in seen:
            continue
        seen.add(digest)
        things = {match.lower() for match in RARE.findall(text)}
        (rare if things else others).append((len(things), path))
    # Sorting keeps the order of those with as many.
    rare = [path for _, path in sorted(rare, key=lambda page: -page[0])]
    others = [path for _, path in others]
    wanted = min(MOST_OF_A_PACKAGE, len(rare) + len(others))
    share = max(wanted // 2, wanted - len(others))
    pages = rare[: share // 2] + spread(rare[share // 2 :], share - share // 2)
    return pages + spread(others, wanted - len(pages))


def spread(pages, count):
    count = min(count, len(pages))
    return [pages[at * len(pages) // count] for at in range(count)]


def files(folder):
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            is_page = NAME.search(name) and not os.path.islink(path)
            if is_page and SHORTEST <= os.path.getsize(path) <= LONGEST:
                yield path
