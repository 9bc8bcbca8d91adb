//! What looks one body through, by its kind.

use std::sync::Arc;

use encoding_rs::{Encoding, UTF_8};

use super::body::{self, Boundary, Broken, Field, MediaType, Parts, Rewrite, Skip, Text};
use super::markup::{CssRewriting, HtmlOptions, HtmlRewriting, Inline, Links, Scripts};
use super::replace::Replacing;
use super::report::Report;
use super::text::{Syntax, TextRewriting};
use super::view::View;
use crate::model::BodyKind;

/// What a body's rewriter needs beside the body.
pub struct Rewriting {
    /// Whose links they are.
    pub view: View,
    /// Notes them down.
    pub report: Option<Report>,
    /// Notes down which code inside a page changes, where a policy names such code by its hash.
    pub inline: Inline,
    /// Whether data inside pages is left alone, as data of its own would be.
    pub keeps_data: bool,
}

impl Rewriting {
    /// Looks through a body of this kind.
    #[must_use]
    pub fn rewriter(self, kind: BodyKind, text: Text) -> Box<dyn Rewrite> {
        // Where a policy names code by its hash, words inside it would be others than it names.
        let words = match self.inline.is_named() {
            true => None,
            false => self.view.words(kind, &text),
        };
        let rewriter = self.links(kind, text);
        let rewriter = rewriter.unwrap_or_else(|| Box::new(Unread));
        match words {
            Some(words) => Box::new(Replacing::new(words, rewriter)),
            None => rewriter,
        }
    }

    /// `None` for an encoding that nothing is found in.
    fn links(self, kind: BodyKind, text: Text) -> Option<Box<dyn Rewrite>> {
        let Text {
            encoding,
            links: count,
            ..
        } = text;
        let settings = self.view.settings();
        let options = HtmlOptions {
            encoding,
            // What the page says of itself has been read.
            encoding_is_certain: true,
            extra_attributes: settings.attributes.clone(),
            own_styles_change: settings.body.contains(&BodyKind::Css),
            own_scripts_change: settings.body.contains(&BodyKind::JavaScript),
            scripts: self.scripts(),
            inline: self.inline.clone(),
        };
        let origins = Arc::clone(self.view.table().inside());
        let growth = self.view.table().growth();
        let links = match self.report {
            Some(report) => report.of(self.view.links()),
            None => self.view.links(),
        };
        let syntax = match kind {
            BodyKind::Html => {
                let rewriting = HtmlRewriting::new(links, options)?;
                return Some(Box::new(Page {
                    rewriting,
                    count,
                    growth,
                }));
            }
            BodyKind::Css => {
                let rewriting = CssRewriting::new(links, encoding)?;
                return Some(Box::new(StyleSheet {
                    rewriting,
                    count,
                    growth,
                }));
            }
            BodyKind::Json => Syntax::Json,
            BodyKind::JavaScript => Syntax::JavaScript,
            BodyKind::Xml => Syntax::Xml,
            BodyKind::Text => Syntax::Text,
        };
        let rewriting = TextRewriting::new(links, origins, syntax, encoding)?;
        Some(Box::new(Data {
            rewriting,
            count,
            growth,
        }))
    }

    /// What of a page's scripts is looked through.
    fn scripts(&self) -> Option<Scripts> {
        let settings = self.view.settings();
        let is_on = |kind| !self.keeps_data && settings.body.contains(&kind);
        let (scripts, json) = (is_on(BodyKind::JavaScript), is_on(BodyKind::Json));
        (scripts || json).then(|| Scripts {
            scripts,
            json,
            origins: Arc::clone(self.view.table().inside()),
        })
    }
}

/// Looks through data that somebody sends back: its external URLs become internal.
#[must_use]
pub fn returning(view: &View, syntax: Syntax, text: Text) -> Box<dyn Rewrite> {
    let Text {
        encoding,
        links: count,
        ..
    } = text;
    match inwards(view, syntax, encoding) {
        Some(rewriting) => Box::new(Data {
            rewriting,
            count,
            growth: view.table().growth_back(),
        }),
        None => Box::new(Unread),
    }
}

/// Looks through the fields of a form that somebody sends back with files between them. `wants` says of which
/// types, where they name one.
#[must_use]
pub fn returning_parts(
    view: View,
    boundary: &Boundary,
    wants: impl Fn(&MediaType) -> Result<(), Skip> + Send + 'static,
    text: Text,
) -> Box<dyn Rewrite> {
    let growth = view.table().growth_back();
    let choose = move |field: &Field, usual: Option<&'static Encoding>| {
        let (charset, syntax) = field.judge(&wants)?;
        let text = Text {
            encoding: charset.or(usual).unwrap_or(UTF_8),
            ..text.clone()
        };
        Some(returning(&view, syntax, text))
    };
    Box::new(Parts::new(boundary, growth, Box::new(choose)))
}

/// The query of a request with internal URLs where external ones stood, as they are or percent-encoded; `None` where
/// there are none.
#[must_use]
pub fn returning_query(view: &View, query: &str) -> Option<String> {
    let mut made = Vec::new();
    let mut rewriting = inwards(view, Syntax::Form, UTF_8)?;
    rewriting.push(query.as_bytes(), &mut made);
    let counts = rewriting.end(&mut made);
    let made = String::from_utf8(made).ok();
    made.filter(|_| counts.links > 0)
}

/// `None` for an encoding that nothing is found in.
fn inwards(view: &View, syntax: Syntax, encoding: &'static Encoding) -> Option<TextRewriting> {
    let origins = Arc::clone(view.table().outside());
    let links: Arc<dyn Links> = Arc::new(Inwards(view.clone()));
    TextRewriting::new(links, origins, syntax, encoding)
}

/// External URLs, as applications know them.
struct Inwards(View);

impl Links for Inwards {
    fn translate(&self, url: &str) -> Option<String> {
        self.0.table().to_internal(url)
    }

    fn changes_root(&self) -> bool {
        false
    }
}

struct Page {
    rewriting: HtmlRewriting,
    count: body::Links,
    growth: usize,
}

impl Rewrite for Page {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let pushed = self.rewriting.push(chunk, out);
        pushed.map_err(|_| Broken::Stopped("links cannot be found in the rest of the page"))
    }

    fn end(self: Box<Self>, out: &mut Vec<u8>) -> Result<(), Broken> {
        let finished = self.rewriting.end(out);
        self.count.add(finished.counts.links);
        Ok(())
    }

    fn growth(&self) -> usize {
        self.growth
    }

    #[cfg(test)]
    fn kept(&self) -> usize {
        self.rewriting.kept()
    }
}

struct StyleSheet {
    rewriting: CssRewriting,
    count: body::Links,
    growth: usize,
}

impl Rewrite for StyleSheet {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        self.rewriting.push(chunk, out);
        Ok(())
    }

    fn end(self: Box<Self>, out: &mut Vec<u8>) -> Result<(), Broken> {
        let counts = self.rewriting.end(out);
        self.count.add(counts.links);
        Ok(())
    }

    fn growth(&self) -> usize {
        self.growth
    }

    #[cfg(test)]
    fn kept(&self) -> usize {
        self.rewriting.kept()
    }
}

struct Data {
    rewriting: TextRewriting,
    count: body::Links,
    growth: usize,
}

impl Rewrite for Data {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        self.rewriting.push(chunk, out);
        Ok(())
    }

    fn end(self: Box<Self>, out: &mut Vec<u8>) -> Result<(), Broken> {
        let counts = self.rewriting.end(out);
        self.count.add(counts.links);
        Ok(())
    }

    fn growth(&self) -> usize {
        self.growth
    }

    #[cfg(test)]
    fn kept(&self) -> usize {
        self.rewriting.kept()
    }
}

/// For an encoding that nothing is found in, which the way there excludes.
struct Unread;

impl Rewrite for Unread {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        out.extend_from_slice(chunk);
        Err(Broken::Stopped("nothing is found in this encoding"))
    }

    fn end(self: Box<Self>, _out: &mut Vec<u8>) -> Result<(), Broken> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{CONTENT_TYPE, HeaderValue};
    use proptest::collection::vec;
    use proptest::sample::select;

    use super::*;
    use crate::model::{Application, HostHeader};
    use crate::translate::Table;
    use crate::translate::body::Links as Count;
    use crate::translate::body::testing::{chunks, property};
    use crate::translate::tests::{application, view};

    /// As the wiki sees it; the blog knows itself by its external URL.
    fn wiki() -> View {
        let mut named: Vec<Application> = [
            ("https://wiki.example.com/", "http://wiki.corp:8888/"),
            ("https://portal.example.com/git/", "http://git.corp/"),
            ("https://blog.example.com/", "http://blog.corp/"),
        ]
        .into_iter()
        .map(|(external, internal)| application(external, internal))
        .collect();
        named[0].link_translation.body = BodyKind::ALL.to_vec();
        named[2].host_header = HostHeader::External;
        let all: Vec<_> = named.into_iter().map(Arc::new).collect();
        let table = Arc::new(Table::new(&all));
        let (captured, host) = view(&all[0], "wiki.example.com");
        View::new(&table, &all[0], captured.as_ref(), &host)
    }

    #[test]
    fn external_urls_in_a_query_become_internal() {
        let view = wiki();
        let mut seen = 0;
        for (query, expected) in [
            (
                "next=https%3A%2F%2Fwiki.example.com%2Fa%3Fb&c=d",
                Some("next=http%3A%2F%2Fwiki.corp%3A8888%2Fa%3Fb&c=d"),
            ),
            (
                "next=https%3a%2f%2fwiki.example.com%2fa",
                Some("next=http%3a%2f%2fwiki.corp%3a8888%2fa"),
            ),
            (
                "u=https://wiki.example.com/a?b=c&d",
                Some("u=http://wiki.corp:8888/a?b=c&d"),
            ),
            (
                "u=https%253A%252F%252Fwiki.example.com%252F",
                Some("u=http%253A%252F%252Fwiki.corp%253A8888%252F"),
            ),
            (
                "u=https%3A%2F%2Fportal.example.com%2Fgit%2Fx&v=%zz+%e4",
                Some("u=http%3A%2F%2Fgit.corp%2Fx&v=%zz+%e4"),
            ),
            (
                "a=%2F%2Fwiki.example.com%2Fa",
                Some("a=%2F%2Fwiki.corp%3A8888%2Fa"),
            ),
            ("https://wiki.example.com", Some("http://wiki.corp:8888")),
            ("a=1&a=2;b=+%20%2f&&c", None),
            ("u=https%3A%2F%2Fblog.example.com%2F", None),
            ("u=https%3A%2F%2Felse.example.com%2F", None),
            ("u=http%3A%2F%2Fwiki.example.com%2F", None),
            ("u=https%3A%2F%2Fwiki.example.com%3A444%2F", None),
            ("u=https%3A%2F%2Fwiki.example.com.evil%2F", None),
            ("u=https%25253A%25252F%25252Fwiki.example.com", None),
            ("u=https%3A%2F%2Fportal.example.com%2Fgitx", None),
            ("host=wiki.example.com&path=/a", None),
            ("", None),
        ] {
            let made = returning_query(&view, query);
            assert_eq!(made.as_deref(), expected, "{query}");
            seen += 1;
        }
        assert_eq!(seen, 17);
    }

    fn through(mut rewriter: Box<dyn Rewrite>, octets: &[u8], lengths: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        for chunk in chunks(octets, lengths) {
            rewriter.push(chunk, &mut out).unwrap();
        }
        rewriter.end(&mut out).unwrap();
        out
    }

    fn text() -> Text {
        Text {
            encoding: UTF_8,
            only_ascii: false,
            links: Count::default(),
        }
    }

    #[test]
    fn what_a_form_with_files_brings_back_is_what_was_there() {
        let view = wiki();
        let mut fields = HeaderMap::new();
        let form = HeaderValue::from_static("multipart/form-data; boundary=\"x y\"");
        fields.insert(CONTENT_TYPE, form);
        let boundary = Boundary::of(&fields).unwrap();
        let values = [
            "http://wiki.corp:8888/a?b#c",
            "http://git.corp/x",
            "<a href=\"http://wiki.corp:8888/\">\r\n--x\r\n",
            "http%3A%2F%2Fgit.corp%2F",
            "http://else.corp/",
            "text\r\n",
            "",
        ];
        let heads = [
            "",
            "Content-Type: text/plain\r\n",
            "Content-Type: text/html; charset=utf-8\r\n",
        ];
        let values = vec((select(heads.to_vec()), select(values.to_vec())), 0..8);
        property(
            200,
            (values, vec(1_usize..90, 1..5)),
            |(values, lengths)| {
                let (mut inside, mut outside) = (Vec::new(), Vec::new());
                for (head, value) in values {
                    let head =
                        format!("--x y\r\nContent-Disposition: form-data; name=a\r\n{head}\r\n");
                    let rewriting = Rewriting {
                        view: view.clone(),
                        report: None,
                        inline: Inline::default(),
                        keeps_data: false,
                    };
                    let seen = through(
                        rewriting.rewriter(BodyKind::Text, text()),
                        value.as_bytes(),
                        &[9],
                    );
                    // A file is as people have it.
                    let file = b"\r\n--x y\r\nContent-Disposition: form-data; filename=a\r\n\r\nhttps://wiki.example.com/\r\n";
                    inside.extend([head.as_bytes(), value.as_bytes(), file].concat());
                    outside.extend([head.as_bytes(), &seen, file].concat());
                }
                let last = b"--x y--\r\n";
                inside.extend(last);
                outside.extend(last);
                let make = || returning_parts(view.clone(), &boundary, |_| Ok(()), text());
                assert_eq!(through(make(), &outside, &lengths), inside);
                assert_eq!(through(make(), &outside, &[1]), inside);
                assert_eq!(through(make(), &inside, &lengths), inside);
            },
        );
    }
}
