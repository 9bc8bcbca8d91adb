//! A page of a wiki, as long as most are: navigation, a table with pictures, paragraphs.

use std::fmt::Write;

/// Its length.
const OCTETS: usize = 102_425;

/// Start tags in it.
const TAGS: usize = 1325;

/// Rows of its table: in each are three absolute links, one of them in a `srcset` and one in a `style`.
const ROWS: usize = 74;

/// How many absolute links to applications `app-0` to `app-4` there are.
pub(crate) const LINKS: u64 = 3 * ROWS as u64;

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en" class="client-nojs">
<head>
<meta charset="utf-8">
<title>Operations handbook - Wiki</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="Wiki 1.43.2">
<link rel="stylesheet" href="/w/load.php?modules=site.styles&amp;only=styles&amp;skin=vector">
<link rel="icon" href="/favicon.ico">
<link rel="alternate" type="application/atom+xml" title="Recent changes" href="/w/index.php?title=Special:RecentChanges&amp;feed=atom">
<style>
.page { margin: 0 auto; max-width: 72rem; font: 1rem/1.5 sans-serif; }
.page > nav li { display: inline-block; padding: .25rem .5rem; }
.logo { background: url("/w/resources/logo.svg") no-repeat; width: 135px; height: 135px; }
@media (max-width: 40rem) { .page { padding: 0 1rem; } .logo { display: none; } }
</style>
<script>
(function () { var html = document.documentElement; html.className = html.className.replace("nojs", "js");
window.config = { page: "Operations_handbook", namespace: 0, tree: "<ul><li>a</li></ul>", watch: 3 < 5 }; })();
</script>
<script async src="/w/load.php?modules=startup&amp;only=scripts"></script>
</head>
<body class="page">
<!-- The header is the same on every page. -->
<header><a class="logo" href="/wiki/Main_Page" title="Visit the main page"></a>
<form action="/w/index.php" method="get"><input type="search" name="search" placeholder="Search"><input type="hidden" name="title" value="Special:Search"></form></header>
"#;

const FOOT: &str = "<footer><p>Last changed on 3 November.</p></footer>\n</body>\n</html>\n";

const TEXT: &str = "Before a host is restarted its services are moved to another one & the people on \
    call are told, who decide whether it can wait until the evening. What was done is written down. ";

/// The page.
pub(crate) fn page() -> String {
    let mut page = String::from(HEAD);
    page.push_str("<nav><ul>\n");
    for number in 0..70 {
        let _ = writeln!(
            page,
            r#"<li id="n-{number}" class="nav-item"><a href="/wiki/Topic_{number}" title="Topic {number}">Topic {number}</a></li>"#
        );
    }
    page.push_str("</ul></nav>\n<table class=\"wikitable sortable\"><tbody>\n");
    for number in 0..ROWS {
        let app = number % 5;
        let _ = writeln!(
            page,
            r#"<tr class="row"><td><a href="http://app-{app}.corp.local:8080/docs/Page_{number}?action=view#top" title="Page {number}">Page {number}</a></td><td class="picture"><img src="/images/thumb/{number}/120px.png" srcset="/images/thumb/{number}/180px.png 1.5x, http://app-0.corp.local:8080/images/thumb/{number}/240px.png 2x" alt="Picture {number}" width="120" height="90" loading="lazy"></td><td style="padding: 4px; background: #fff url(http://app-0.corp.local:8080/skins/cell.png)">up</td><td>{number} h</td></tr>"#
        );
    }
    page.push_str("</tbody></table>\n");
    let tags = |text: &str| {
        let pairs = text.as_bytes().windows(2);
        pairs
            .filter(|pair| pair[0] == b'<' && pair[1].is_ascii_alphabetic())
            .count()
    };
    // Two in the script are none, and two stand in the foot.
    let (mut count, mut number) = (tags(&page), 0);
    while count + 7 <= TAGS {
        let _ = writeln!(
            page,
            r##"<p>See <a href="/wiki/Runbook_{number}" title="Runbook {number}">the runbook</a>, <a href="../handbook/{number}#step-{number}">step {number}</a>, <a class="external text" rel="nofollow" href="https://www.example.org/guide/{number}?lang=en">the guide</a> and <sup>[{number}]</sup>: <em>never</em> <code>reboot</code>.</p>"##
        );
        (count, number) = (count + 7, number + 1);
    }
    for _ in count..TAGS {
        page.push_str("<br>");
    }
    let missing = OCTETS - page.len() - FOOT.len();
    page.push_str(&TEXT.repeat(missing.div_ceil(TEXT.len()))[..missing]);
    page.push_str(FOOT);
    page
}
