"""What `translation` measured, as tables, and its gates."""

import math
import statistics

import page
import translation
from translation import EXTENDED, PACKED, PAGE, SAME, SHEET

OURS = translation.Ours.name
APACHE = translation.Apache.name
NGINX = translation.Nginx.name

# Of an uncompressed page, for each second of CPU that is added.
MEGABYTES = 180
# Of the CPU that mod_proxy_html adds.
SHARE = 0.45
# Of what is not translated; and what noise may add to it, no more than that.
SAME_COST = 1.03
MOST_NOISE = 0.03
FIRST_OCTET = 2.0

ROWS = {
    (OURS, PAGE): "appproxy, `body: [html, css]`",
    (APACHE, PAGE): "Apache, mod_proxy_html",
    (EXTENDED, PAGE): "Apache, mod_proxy_html, `ProxyHTMLExtended On`",
    (NGINX, PAGE): "nginx, sub_filter",
    (OURS, PACKED): "appproxy, `body: [html, css]`",
    (APACHE, PACKED): "Apache, INFLATE;proxy-html;DEFLATE",
    (NGINX, PACKED): "nginx, gunzip, sub_filter, gzip: two servers",
    (OURS, SHEET): "appproxy, `body: [html, css]`",
    (NGINX, SHEET): "nginx, sub_filter",
}
OCTETS = {PAGE: page.OCTETS, PACKED: page.OCTETS, SHEET: page.STYLE_SHEET}


def added(results, stack, load):
    """Milliseconds of CPU for each answer, by round."""
    before = results.values(stack, load.name, "without")
    after = results.values(stack, load.name, "with")
    return {round_: after[round_] - before[round_] for round_ in after}


def speeds(results, stack, load):
    """Megabytes for each second of added CPU; where nothing was added that can be seen, endless."""
    costs = added(results, stack, load).values()
    return [OCTETS[load] / cost / 1000 if cost > 0 else math.inf for cost in costs]


def shares(results, stack, load):
    """Of what mod_proxy_html adds, round by round."""
    ours, theirs = added(results, stack, load), added(results, APACHE, load)
    return [ours[r] / theirs[r] for r in ours if theirs.get(r, 0) > 0]


def same_costs(results, load):
    before = results.values(OURS, load.name, "without")
    after = results.values(OURS, load.name, "with")
    return [after[round_] / before[round_] for round_ in after]


def noise(results, load):
    """By how much the median of such ratios may lie beside the truth: two standard errors, by the
    two halves of each way, which were asked for the same."""
    halves = results.values(OURS, load.name, "halves").values()
    apart = [abs(math.log(one / other)) for pairs in halves for one, other in pairs]
    if not apart:
        return 0.0
    # The deviation of one ratio, by the median of those of halves, which are √2 as far apart.
    deviation = 1.4826 * statistics.median(apart) / math.sqrt(2)
    return 1.96 * 1.2533 * deviation / math.sqrt(len(halves))


def firsts(results, stack, load):
    """Milliseconds until the first octets that translation adds."""
    name = f"parts-{load.name}"
    before, after = (results.values(stack, name, way) for way in ("without", "with"))
    return [1000 * (after[round_] - before[round_]) for round_ in after]


def gate(what, against, found, passes, bound, miss, unit=""):
    median = statistics.median(found)
    word = "PASS" if passes(median) else f"MISS by {miss(median):.0%}"
    shown = f"{median:.3g}{unit} ({min(found):.3g} to {max(found):.3g})"
    return [what, against, shown, bound, word]


def gates(results):
    """As those of `report`: rows of words."""
    rows = []
    if found := speeds(results, OURS, PAGE):
        rows.append(gate("links in a page, MB for a second of added CPU", "", found,
                         lambda it: it >= MEGABYTES, f"≥ {MEGABYTES}",
                         lambda it: 1 - it / MEGABYTES))
    if found := shares(results, OURS, PAGE):
        rows.append(gate("links in a page, added CPU", "mod_proxy_html", found,
                         lambda it: it <= SHARE, f"≤ {SHARE} ×", lambda it: it / SHARE - 1, " ×"))
    for load in SAME:
        if found := same_costs(results, load):
            chance = noise(results, load)
            allowed = SAME_COST + min(MOST_NOISE, chance)
            bound = f"≤ {SAME_COST} × + {allowed - SAME_COST:.3f} noise"
            rows.append(gate(f"not translated: {load.what}, CPU", "without the setting", found,
                             lambda it: it <= allowed, bound, lambda it: it / allowed - 1, " ×"))
            if chance > MOST_NOISE:
                rows[-1][-1] += f", but chance is ± {chance:.2f}"
    for load in (PAGE, PACKED):
        if found := firsts(results, OURS, load):
            rows.append(gate(f"slow {load.what}: first octets later by, ms", "without the setting",
                             found, lambda it: it <= FIRST_OCTET, f"≤ {FIRST_OCTET:g}",
                             lambda it: it / FIRST_OCTET - 1))
            late = sum(results.values(OURS, f"parts-{load.name}", "late with").values())
            rows.append([f"slow {load.what}: parts that came after the next was sent", "",
                         f"{late}", "0", "PASS" if late == 0 else "MISS"])
    return rows


def tables(results, table):
    """The parts of the report; none where nothing was measured."""
    parts = []
    rows = [row(results, stack, load, says) for (stack, load), says in ROWS.items()
            if results.values(stack, load.name, "with")]
    if rows:
        parts.append(
            f"Links in a page of {page.OCTETS:,} octets with {page.TAGS} tags, {page.ATTRIBUTES} "
            f"attributes that hold URLs and {page.LINKS} links to what is published, and in a style "
            "sheet of 1 MiB. CPU, milliseconds for 1,000 answers; MB of the answer, unpacked, for a "
            f"second of the CPU that is added. \"Text\": of {page.MENTIONS} such URLs that are no "
            "links, how many were changed:")
        head = ["stack", "answer", "links", "text", "without", "with", "added", "MB/s a core",
                "× mod_proxy_html"]
        parts.append(table(head, rows))
    rows = []
    for load in SAME:
        if found := same_costs(results, load):
            before, after = (results.median(OURS, load.name, way) for way in ("without", "with"))
            rows.append([load.what, f"{1000 * before:.1f}", f"{1000 * after:.1f}",
                         f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f})",
                         f"± {noise(results, load):.3f}"])
    if rows:
        parts.append("The same setting where nothing is translated, appproxy, CPU in milliseconds "
                     "for 1,000 answers:")
        parts.append(table(["answer", "without", "with", "ratio", "noise"], rows))
    rows = [slow(results, stack, load, says) for (stack, load), says in ROWS.items()
            if results.values(stack, f"parts-{load.name}", "with")]
    if rows:
        parts.append(
            f"A page that the application sends in {translation.PARTS} parts of 4 KiB with "
            f"{1000 * translation.PAUSE:.0f} ms between them, in milliseconds: until the first "
            "octets, and the longest that a part took:")
        parts.append(table(["stack", "answer", "first, without", "with", "added",
                            "longest, without", "with", "parts late"], rows))
    return parts


def row(results, stack, load, says):
    done = results.median(stack, load.name, "links")
    of = results.median(stack, load.name, "of")
    mentions = results.median(stack, load.name, "mentions")
    before, after = (results.median(stack, load.name, way) for way in ("without", "with"))
    share = shares(results, stack, load) if load is not SHEET else []
    return [says, load.what, f"{done:.0f} of {of:.0f}",
            "–" if mentions is None else f"{mentions:.0f}",
            f"{1000 * before:.0f}", f"{1000 * after:.0f}",
            f"{1000 * statistics.median(added(results, stack, load).values()):.0f}",
            f"{statistics.median(speeds(results, stack, load)):.0f}",
            f"{statistics.median(share):.2f}" if share else "–"]


def slow(results, stack, load, says):
    name = f"parts-{load.name}"

    def median(figure):
        return f"{1000 * results.median(stack, name, figure):.2f}"

    late = sum(results.values(stack, name, "late with").values())
    return [says, load.what, median("without"), median("with"),
            f"{statistics.median(firsts(results, stack, load)):.2f}", median("slowest without"),
            median("slowest with"), f"{late}"]
