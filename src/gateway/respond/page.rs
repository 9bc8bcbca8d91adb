//! The error page for people.
//!
//! One document without script, image, font or link, so that its policy allows nothing but its
//! one style, by hash.

use crate::model::ErrorCode;

use super::words;

const STYLE: &str = include_str!("page.css");

/// The page's Content-Security-Policy. A test holds the hash to the style and prints the right one.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'sha256-O8MkfdnaQ9JZp6khvgnfsbioSYHb5oPFMUQysbcE3Xs='; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page for `code`, with `id` as the reference, and what the operator wrote in place of our own
/// advice.
pub(super) fn render(code: ErrorCode, notice: Option<&str>, id: &str) -> String {
    let message = words::message(code);
    let remedy = notice.map_or_else(|| words::remedy(code).to_owned(), escape);
    let side = words::side(code.side());
    let status = words::status(code).as_u16();
    let id = escape(id);
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{message}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{message}</h1>
<p>{remedy}</p>
<dl>
<dt>Where</dt><dd>{side}</dd>
<dt>Error</dt><dd>{status} <code>{code}</code></dd>
<dt>Reference</dt><dd><code class="id">{id}</code></dd>
</dl>
</main>
<footer>appproxy</footer>
</body>
</html>
"#
    )
}

/// `text` as it may stand in an element or in a quoted attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push_str("&#xfffd;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn the_policy_allows_exactly_the_page_s_style() {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
        let source = format!("'sha256-{}'", STANDARD.encode(digest));
        assert!(POLICY.contains(&source), "the style's source is {source}");
        let page = render(ErrorCode::Internal, None, "0");
        assert!(page.contains(&format!("<style>{STYLE}</style>")));
        for other in ["<script", " style=", "src=", "href=", "url("] {
            assert!(!page.contains(other), "{other}");
        }
    }

    #[test]
    fn a_reference_cannot_leave_its_element() {
        let page = render(ErrorCode::Internal, None, "<b>\"x\"&'\u{1b}</b>");
        assert!(page.contains("&lt;b&gt;&quot;x&quot;&amp;&#39;&#xfffd;&lt;/b&gt;</code>"));
        assert!(!page.contains("<b>"));
        let page = render(ErrorCode::Maintenance, Some("<b>\u{7} until 5"), "0");
        assert!(page.contains("<p>&lt;b&gt;&#xfffd; until 5</p>"));
    }
}
