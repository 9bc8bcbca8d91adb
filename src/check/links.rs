//! Links in an application's pages that are dead for people outside.

use std::collections::HashSet;

use url::Url;

use super::{Area, Line};
use crate::model::{Finding, Host};
use crate::translate::crawl::{Crawled, Dead, Inside, PageSeen, Why};
use crate::tunnel::Served;

/// URLs of one kind that are told.
const TOLD: usize = 10;

/// What was found on the pages of an application.
#[must_use]
pub fn lines(name: &str, crawled: &Crawled) -> Vec<Line> {
    let mut lines: Vec<_> = crawled
        .pages
        .iter()
        .map(|page| of_page(name, page))
        .collect();
    let kinds = [
        Why::Unpublished,
        Why::NotTranslated,
        Why::OutOfPath,
        Why::MixedContent,
    ];
    for why in kinds {
        let dead: Vec<_> = crawled.dead.iter().filter(|one| one.why == why).collect();
        if !dead.is_empty() {
            lines.push(Line::found(Area::Links, name, finding(why, &dead)));
        }
    }
    if crawled.more > 0 {
        let why = format!("{} more dead links are not told apart", crawled.more);
        lines.push(Line::skip(Area::Links, name, why));
    }
    lines
}

/// The hosts of applications, outside and inside.
#[must_use]
pub fn published(served: &[Served]) -> HashSet<Host> {
    let urls = served.iter().flat_map(|one| [&one.external, &one.internal]);
    let hosts = urls.filter_map(|url| {
        let url = Url::parse(url).ok()?;
        Host::parse(url.host_str()?).ok()
    });
    hosts.collect()
}

/// What a connector sees of the links of a first page: whether they name other hosts of the inside. It does not
/// know what other groups publish.
pub(super) fn inside(served: &Served, Inside { links, hosts }: &Inside) -> Line {
    let subject = format!("{} ({})", served.name, served.internal);
    if hosts.is_empty() {
        let seen =
            format!("links of the first page: {links}; none names another host of the inside");
        return Line::pass(Area::Links, subject, seen);
    }
    let told = hosts.iter().take(TOLD);
    let told: Vec<_> = told
        .map(|(host, count)| format!("{host} ({count})"))
        .collect();
    let more = match hosts.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let finding = Finding::info(
        "link_inside",
        format!(
            "its first page links to hosts of the inside: {}{more}",
            told.join(", ")
        ),
        format!(
            "see which of them are published, and how: `appproxy check --app {}` on the gateway's host",
            served.name
        ),
    );
    Line::found(Area::Links, subject, finding)
}

fn of_page(name: &str, page: &PageSeen) -> Line {
    let subject = format!("{name}: {}", page.path);
    match (page.skip.as_deref(), page.status) {
        (Some("status"), Some(status @ (404 | 410))) => {
            let finding = Finding::warning(
                "link_gone",
                format!("the application answers {status} there, and leads people there itself"),
                "correct the link in the page, or put back what it leads to; where it is the first page, the path of `internal_url`",
            );
            Line::found(Area::Links, subject, finding)
        }
        (Some("status"), Some(status)) => {
            let why = format!("it answers {status}: what is behind it was not looked at");
            Line::skip(Area::Links, subject, why)
        }
        (Some(why), _) => Line::skip(Area::Links, subject, in_words(why, page)),
        (None, _) => Line::pass(Area::Links, subject, format!("links: {}", page.links)),
    }
}

/// Why links of a page were not looked for.
fn in_words(why: &str, page: &PageSeen) -> String {
    let of_type = page.content_type.as_deref().unwrap_or("no type");
    let (word, more) = why.split_once(": ").unwrap_or((why, ""));
    match word {
        "type" => format!("it is no HTML ({of_type}), so no links are looked for"),
        "redirect" if more.is_empty() => "it redirects to what is no URL".to_owned(),
        "redirect" => format!("it redirects to {more}, which is elsewhere or was looked at"),
        "redirects" => "it redirects again and again".to_owned(),
        "guarded" => {
            format!("it redirects to {more}, for which a rule decides: this check asks as nobody")
        }
        "path" => "its address cannot be asked for".to_owned(),
        "timeout" => "it did not come in time; what had come was looked at".to_owned(),
        "too_long" => "it is too long; its beginning was looked at".to_owned(),
        "broken" => "its answer broke off; what had come was looked at".to_owned(),
        "wildcard" => {
            "the application has a wildcard, and no name of it is more its own than another"
                .to_owned()
        }
        "tls_passthrough" => "TLS ends at the application, so the gateway sees no pages".to_owned(),
        "empty" => "its answer has no body".to_owned(),
        "charset" | "malformed" => format!("its text cannot be read as {of_type}"),
        _ if more.is_empty() => format!("its links cannot be read ({word})"),
        // A code of the request path with what happened.
        _ => why.to_owned(),
    }
}

fn finding(why: Why, dead: &[&Dead]) -> Finding {
    let told = dead.iter().take(TOLD);
    let told: Vec<_> = told
        .map(|one| format!("{} ({} of {})", one.url, one.element, one.page))
        .collect();
    let more = match dead.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let told = format!("{}{more}", told.join(", "));
    match why {
        Why::Unpublished => Finding::warning(
            "link_unpublished",
            format!("links lead to hosts of the inside that are published nowhere: {told}"),
            "publish what people need of them as applications of their own, or take the links out of the pages",
        ),
        Why::NotTranslated => Finding::warning(
            "link_not_translated",
            format!("links to published applications stay internal: {told}"),
            "set `link_translation: { body: [html, css] }` for this application, and see what its `exclude` names",
        ),
        Why::OutOfPath => Finding::warning(
            "link_out_of_path",
            format!("links of its own lead out of the path that is published: {told}"),
            "publish the path above, so that `internal_url` covers them, or these paths as well",
        ),
        Why::MixedContent => Finding::warning(
            "link_mixed_content",
            format!(
                "pages that come by https load these by http, and browsers refuse that: {told}"
            ),
            "write them with https in the application, or publish what they name",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;
    use crate::translate::body::Skip;

    fn dead(why: Why, number: usize) -> Dead {
        Dead {
            page: "/".to_owned(),
            url: format!("http://x{number}.corp/"),
            element: "a[href]".to_owned(),
            why,
            count: 1,
        }
    }

    #[test]
    fn why_a_page_was_not_looked_at_is_said_in_words() {
        let told = |why: &str| {
            let page = PageSeen {
                path: "/".to_owned(),
                content_type: Some("text/plain".to_owned()),
                ..PageSeen::default()
            };
            let page = page.skipped(why);
            match of_page("wiki", &page).outcome {
                Outcome::Skip(why) => why,
                other => panic!("{other:?}"),
            }
        };
        for skip in Skip::ALL.map(Skip::name) {
            assert!(told(skip).contains(' '), "{skip}");
        }
        assert!(told("type").contains("text/plain"));
        assert!(told("redirect: https://x.example.com/").contains("https://x.example.com/"));
        assert!(told("guarded: /admin").contains("/admin, for which a rule decides"));
        let code = "backend_refused: no connection";
        assert_eq!(told(code), code);
    }

    #[test]
    fn each_kind_is_one_finding_that_names_ten_at_the_most() {
        let all = [
            Why::MixedContent,
            Why::Unpublished,
            Why::OutOfPath,
            Why::NotTranslated,
        ];
        let crawled = Crawled {
            pages: vec![PageSeen {
                path: "/".to_owned(),
                status: Some(200),
                links: 48,
                ..PageSeen::default()
            }],
            dead: all
                .into_iter()
                .flat_map(|why| (0..12).map(move |number| dead(why, number)))
                .collect(),
            more: 3,
        };
        let lines = lines("wiki", &crawled);
        let codes: Vec<_> = lines
            .iter()
            .filter_map(|line| Some(line.finding()?.code))
            .collect();
        let expected = [
            "link_unpublished",
            "link_not_translated",
            "link_out_of_path",
            "link_mixed_content",
        ];
        assert_eq!(codes, expected);
        assert_eq!(lines.len(), 6);
        let what = &lines[1].finding().unwrap().what;
        assert!(
            what.contains("x9.corp") && !what.contains("x10.corp"),
            "{what}"
        );
        assert!(what.ends_with(", and 2 more"), "{what}");
    }
}
