//! YAML text as a tree in which every key and value knows its place.
//!
//! A deserializer stops at its first complaint; this tree takes whatever is written, so that the
//! readers above it can report everything at once. It refuses what makes a file mean something
//! else than it shows: keys written twice, aliases, tags and `${…}`.

use std::path::Path;

use serde_saphyr::granit_parser::{
    Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput, options,
};

use super::findings::Findings;
use crate::model::Place;

/// Nesting that no configuration needs; it bounds the recursion below.
const DEEPEST: usize = 32;

/// One value. It has no `Debug`: it may hold a secret somebody wrote where none belongs.
pub(super) struct Node {
    /// Where the value begins, and the path of keys to it.
    pub(super) place: Place,
    /// What is written there.
    pub(super) value: Value,
}

/// What is written at a node.
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Absent,
    /// One value.
    Scalar {
        /// Without quotes and escapes.
        text: String,
        /// Without quotes around it: only such a value is a number or a boolean.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in the order of the file, each key once.
    Map(Vec<Entry>),
    /// Something that is already in the findings: readers pass over it in silence.
    Refused,
}

/// One key and its value.
pub(super) struct Entry {
    /// The key.
    pub(super) name: String,
    /// Where the key begins.
    pub(super) place: Place,
    /// Its value.
    pub(super) node: Node,
}

/// Reads a text; `None` where it is not YAML or holds nothing, which is then in the findings.
pub(super) fn parse(file: &Path, text: &str, findings: &Findings) -> Option<Node> {
    let mut builder = Builder {
        parser: Parser::new_from_str_with_options(text, parser_options()),
        file,
        found: Vec::new(),
    };
    match builder.document() {
        Ok(root) => {
            for found in builder.found {
                findings.error(found.code, &found.place, found.what, found.remedy);
            }
            root
        }
        Err(error) => {
            let mark = error.marker();
            let place = at(file, mark.line(), mark.col(), String::new());
            findings.error(
                "syntax",
                &place,
                format!("this is not YAML: {}", error.info()),
                "look for a missing quote, colon or bracket here or on the line before; \
                 indent with spaces, never with tabs",
            );
            None
        }
    }
}

fn parser_options() -> Options {
    options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        disallow_directives: true,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    }
}

/// A problem of form. They wait until the whole text has been read: a syntax error stands alone.
struct Found {
    code: &'static str,
    place: Place,
    what: String,
    remedy: &'static str,
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    file: &'a Path,
    found: Vec<Found>,
}

impl<'a> Builder<'a> {
    /// The first document, and a finding where another follows.
    fn document(&mut self) -> Result<Option<Node>, ScanError> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::DocumentStart(..) if root.is_some() => {
                    self.refuse(
                        "several_documents",
                        self.place(&span, String::new()),
                        "a second document begins here".into(),
                        "keep one document a file: remove the `---` and what belongs to it",
                    );
                }
                Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(..)
                | Event::DocumentEnd => {}
                event => {
                    let node = self.node(event, &span, String::new())?;
                    root.get_or_insert(node);
                }
            }
        }
        let empty = at(self.file, 0, 0, String::new());
        if !matches!(&root, Some(node) if !matches!(node.value, Value::Absent)) {
            self.refuse(
                "empty_file",
                empty,
                "the file holds nothing".into(),
                "write the configuration into it, or remove the file where it is included",
            );
            return Ok(None);
        }
        Ok(root)
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, ScanError> {
        self.parser.next().transpose()
    }

    /// The node that begins with this event.
    fn node(&mut self, event: Event<'a>, span: &Span, key: String) -> Result<Node, ScanError> {
        let place = self.place(span, key);
        let tagged = matches!(
            &event,
            Event::Scalar(.., Some(_))
                | Event::SequenceStart(.., Some(_))
                | Event::MappingStart(.., Some(_))
        );
        let mut value = match event {
            Event::Scalar(text, style, ..) => self.scalar(&text, style, &place),
            Event::SequenceStart(..) => self.list(&place)?,
            Event::MappingStart(..) => self.map(&place)?,
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.refuse(
                    "unsupported_yaml",
                    place.clone(),
                    "an alias (`*name`) stands here".into(),
                    "write the value out: a reader must see what holds here; \
                     what is common to all applications belongs under `defaults:`",
                );
                Value::Refused
            }
            _ => Value::Absent,
        };
        if tagged {
            self.refuse(
                "unsupported_yaml",
                place.clone(),
                "a tag (`!…`) stands here".into(),
                "remove the tag; quote a value that begins with `!`",
            );
            value = Value::Refused;
        }
        Ok(Node { place, value })
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, place: &Place) -> Value {
        let plain = style == ScalarStyle::Plain;
        if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
            return Value::Absent;
        }
        if text.contains("${") {
            self.refuse(
                "substitution",
                place.clone(),
                "`${` stands here, but nothing is substituted in this file".into(),
                "write the value itself; a secret is named by `{ file: PATH }`, `{ env: NAME }` \
                 or `{ credential: NAME }`",
            );
            return Value::Refused;
        }
        Value::Scalar {
            text: text.to_owned(),
            plain,
        }
    }

    fn list(&mut self, place: &Place) -> Result<Value, ScanError> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::SequenceEnd {
                break;
            }
            let key = format!("{}[{}]", place.key, items.len());
            items.push(self.node(event, &span, key)?);
        }
        Ok(Value::List(items))
    }

    fn map(&mut self, place: &Place) -> Result<Value, ScanError> {
        let mut entries: Vec<Entry> = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let name = match &event {
                Event::Scalar(text, ..) => Some(text.clone().into_owned()),
                _ => None,
            };
            let key = name
                .as_ref()
                .map_or_else(|| place.key.clone(), |name| join(&place.key, name));
            let key_place = self.place(&span, key.clone());
            if name.is_none() {
                self.node(event, &span, key.clone())?;
            }
            let Some((event, span)) = self.next()? else {
                break;
            };
            let node = self.node(event, &span, key)?;
            let Some(name) = name else {
                self.refuse(
                    "wrong_type",
                    key_place,
                    "a list, a mapping or an alias stands where a key belongs".into(),
                    "write a word before the colon",
                );
                continue;
            };
            if let Some(first) = entries.iter().find(|e| e.name == name) {
                let what = format!(
                    "`{name}` is written twice; the first is at line {}",
                    first.place.line
                );
                self.refuse("duplicate_key", key_place, what, "keep one of the two");
                continue;
            }
            entries.push(Entry {
                name,
                place: key_place,
                node,
            });
        }
        Ok(Value::Map(entries))
    }

    fn place(&self, span: &Span, key: String) -> Place {
        at(self.file, span.start.line(), span.start.col(), key)
    }

    fn refuse(&mut self, code: &'static str, place: Place, what: String, remedy: &'static str) {
        self.found.push(Found {
            code,
            place,
            what,
            remedy,
        });
    }
}

/// The parser counts columns from 0.
fn at(file: &Path, line: usize, column: usize, key: String) -> Place {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    Place {
        file: file.to_owned(),
        line: count(line),
        column: if line == 0 { 0 } else { count(column) + 1 },
        key,
    }
}

/// The path of a key below another; a name that is not one word stands in quotes.
pub(super) fn join(parent: &str, name: &str) -> String {
    let word = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let quoted = if word {
        name.to_owned()
    } else {
        format!("\"{name}\"")
    };
    if parent.is_empty() {
        quoted
    } else {
        format!("{parent}.{quoted}")
    }
}
