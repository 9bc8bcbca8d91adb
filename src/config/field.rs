//! Reading one value as what it is meant to be.
//!
//! Every reader returns `None` after it has noted what is wrong; the caller goes on with the rest.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::findings::Findings;
use super::section::Section;
use super::tree::{Entry, Node, Value};
use super::units;
use crate::model::{Endpoint, Place, SecretSource, UrlError};

/// How a secret's place is named.
const SECRET_FORMS: &str = "name its place: `{ file: PATH }`, `{ env: NAME }` or \
                            `{ credential: NAME }`";

/// A value that is being read.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    node: &'a Node,
    findings: &'a Findings,
}

impl<'a> Field<'a> {
    /// A value, and where to note what is wrong with it.
    pub(super) fn new(node: &'a Node, findings: &'a Findings) -> Self {
        Self { node, findings }
    }

    /// Where the value stands.
    pub(super) fn place(self) -> &'a Place {
        &self.node.place
    }

    /// Notes what is wrong and what to do about it; always `None`.
    pub(super) fn refuse<T>(
        self,
        code: &'static str,
        what: impl AsRef<str>,
        remedy: impl AsRef<str>,
    ) -> Option<T> {
        self.findings.error(code, self.place(), what, remedy);
        None
    }

    /// Notes that the key has no value.
    pub(super) fn no_value<T>(self) -> Option<T> {
        self.refuse(
            "missing_value",
            "there is no value here",
            "write one, or remove the line",
        )
    }

    /// Notes a value whose meaning is decided and not built.
    pub(super) fn not_built<T>(self, name: &str) -> Option<T> {
        self.refuse(
            "not_built",
            format!("this version has not built `{name}` yet"),
            "write something else, or use a version that has it",
        )
    }

    /// One value as written, without quotes. Never empty.
    pub(super) fn text(self) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar { text, .. } if !text.is_empty() => Some(text),
            Value::Scalar { .. } | Value::Absent => self.no_value(),
            Value::List(_) => self.refuse(
                "wrong_type",
                "a list stands where one value belongs",
                "write the value alone, without `[ ]` and `-`",
            ),
            Value::Map(_) => self.refuse(
                "wrong_type",
                "keys stand where one value belongs",
                "write the value alone; quote it where it holds `: ` or `{`",
            ),
            Value::Refused => None,
        }
    }

    /// The value where it is one alone, of whatever kind; nothing is noted.
    pub(super) fn lone(self) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether the key stands without a value.
    pub(super) fn is_absent(self) -> bool {
        matches!(self.node.value, Value::Absent)
    }

    /// Whether this word stands here, in quotes or not.
    pub(super) fn is_word(self, word: &str) -> bool {
        self.lone() == Some(word)
    }

    /// One value, read by `read`; its error says what is wrong.
    pub(super) fn parse<T, E: Display>(
        self,
        code: &'static str,
        remedy: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match read(self.text()?) {
            Ok(value) => Some(value),
            Err(error) => self.refuse(code, error.to_string(), remedy),
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(self) -> Option<bool> {
        match (self.text()?, self.is_plain()) {
            ("true", true) => Some(true),
            ("false", true) => Some(false),
            _ => self.refuse(
                "wrong_type",
                "`true` or `false` belongs here",
                "write `true` or `false`, without quotes",
            ),
        }
    }

    /// A whole number within a range.
    pub(super) fn number(self, range: RangeInclusive<u64>) -> Option<u64> {
        let text = self.text()?;
        let remedy = format!("write a number from {} to {}", range.start(), range.end());
        if !self.is_plain() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return self.refuse("wrong_type", "a whole number belongs here", remedy);
        }
        match text.parse() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => self.refuse("out_of_range", format!("`{text}` is out of range"), remedy),
        }
    }

    /// A length of time with its unit, longer than nothing.
    pub(super) fn duration(self) -> Option<Duration> {
        match units::duration(self.text()?) {
            Ok(duration) => Some(duration),
            Err(refused) => self.refuse(refused.code(), refused.to_string(), refused.remedy()),
        }
    }

    /// A path; a relative one starts at `folder`, that of the configuration file.
    pub(super) fn path(self, folder: &Path) -> Option<PathBuf> {
        let text = self.text()?;
        if text.contains(char::is_control) {
            return self.refuse(
                "bad_path",
                "the path has a control character",
                "write the path on one line",
            );
        }
        Some(folder.join(text))
    }

    /// `address:port`, to listen at.
    pub(super) fn listener(self) -> Option<SocketAddr> {
        self.listener_such_as(
            "write address and port, such as `[::]:443` (every address) or `192.0.2.10:443`; a name \
             cannot stand here",
        )
    }

    /// `address:port`, to be asked at by those who watch.
    pub(super) fn metrics_listener(self) -> Option<SocketAddr> {
        self.listener_such_as(
            "write address and port, such as `127.0.0.1:9443` (this machine alone) or \
             `192.0.2.10:9443`; a name cannot stand here",
        )
    }

    fn listener_such_as(self, example: &str) -> Option<SocketAddr> {
        let address: SocketAddr = self.parse("bad_address", example, |text| {
            text.parse()
                .map_err(|_| format!("`{text}` is not an address with a port"))
        })?;
        if address.port() == 0 {
            return self.refuse("bad_address", "port 0 is no port", example);
        }
        Some(address)
    }

    /// `host:port`, to dial.
    pub(super) fn endpoint(self) -> Option<Endpoint> {
        let example = "write host and port, such as `gw1.example.com:443`";
        if self.text()?.contains("://") {
            return self.refuse(
                "bad_host",
                "a URL stands where host and port belong",
                example,
            );
        }
        self.parse_host(example, Endpoint::parse)
    }

    /// Something with a host in it. What is before an `@` may be a password: never repeated.
    pub(super) fn parse_host<T>(
        self,
        remedy: &str,
        read: impl FnOnce(&str) -> Result<T, UrlError>,
    ) -> Option<T> {
        let text = self.text()?;
        match read(text) {
            Ok(value) => Some(value),
            Err(_) if text.contains('@') => self.refuse(
                "bad_url",
                "a user name or password cannot stand here",
                "remove everything up to and including the `@`",
            ),
            Err(UrlError::NoTrailingSlash(_)) => self.refuse(
                "bad_url",
                format!("`{text}` must end in `/`: what is published is everything below its path"),
                format!("write `{text}/`"),
            ),
            Err(error) => {
                let code = match error {
                    UrlError::Host(..) => "bad_host",
                    _ => "bad_url",
                };
                self.refuse(code, error.to_string(), remedy)
            }
        }
    }

    /// A list with at least one entry.
    pub(super) fn list(self) -> Option<Vec<Field<'a>>> {
        let items = self.list_or_none()?;
        if items.is_empty() {
            return self.refuse(
                "empty_list",
                "the list is empty",
                "name at least one, or remove the line",
            );
        }
        Some(items)
    }

    /// A list that may be empty.
    pub(super) fn list_or_none(self) -> Option<Vec<Field<'a>>> {
        match &self.node.value {
            Value::List(items) => {
                let field = |node| Field::new(node, self.findings);
                Some(items.iter().map(field).collect())
            }
            Value::Absent => self.no_value(),
            Value::Refused => None,
            Value::Scalar { .. } | Value::Map(_) => {
                let name = self.place().key.rsplit('.').next().unwrap_or_default();
                let remedy = if name.is_empty() || name.ends_with(['"', ']']) {
                    "write `[ … ]`, or begin every entry with `- `, also for one".to_owned()
                } else {
                    format!("write `{name}: [ … ]`, or begin every entry with `- `, also for one")
                };
                self.refuse("wrong_type", "a list belongs here", remedy)
            }
        }
    }

    /// A list without repetitions, each entry read by `read`; `None` where one was refused.
    pub(super) fn distinct<T: PartialEq>(
        self,
        read: impl Fn(Field<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut values = Vec::new();
        let mut whole = true;
        for item in self.list()? {
            match read(item) {
                Some(value) if values.contains(&value) => {
                    whole = false;
                    item.refuse::<T>(
                        "duplicate_value",
                        "this is in the list already",
                        "remove one of the two",
                    );
                }
                Some(value) => values.push(value),
                None => whole = false,
            }
        }
        whole.then_some(values)
    }

    /// Whether keys with values stand here.
    pub(super) fn is_map(self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// Keys with values; see [`Section::read`].
    pub(super) fn section<T>(
        self,
        later: &[&'static str],
        read: impl FnOnce(&Section<'a>) -> T,
    ) -> Option<T> {
        Section::read(self.node, self.findings, later, read)
    }

    /// Keys with values, where the keys are the operator's own words.
    pub(super) fn names(self) -> Option<impl Iterator<Item = (&'a str, Field<'a>)>> {
        let field = move |entry: &'a Entry| {
            let value = Field::new(&entry.node, self.findings);
            (entry.name.as_str(), value)
        };
        Some(self.entries()?.iter().map(field))
    }

    /// The value of one key ahead of the others, where there is such a key: whoever reads the section says
    /// what is wrong with it otherwise.
    pub(super) fn key(self, name: &str) -> Option<Field<'a>> {
        match &self.node.value {
            Value::Map(entries) => {
                let entry = entries.iter().find(|entry| entry.name == name)?;
                Some(Field::new(&entry.node, self.findings))
            }
            _ => None,
        }
    }

    /// Keys with values as they stand; for [`Section`], which sees to it that each is known.
    pub(super) fn entries(self) -> Option<&'a [Entry]> {
        match &self.node.value {
            Value::Map(entries) => Some(entries),
            Value::Refused => None,
            Value::Absent => self.no_value(),
            Value::Scalar { .. } | Value::List(_) => self.refuse(
                "wrong_type",
                "keys with values belong here",
                "write `key: value` pairs, one a line and indented, or `{ key: value }`",
            ),
        }
    }

    /// The place of a secret. A value that stands where its place belongs is never repeated.
    pub(super) fn secret(self, folder: &Path) -> Option<SecretSource> {
        self.holds_no_secret()?;
        self.section(&[], |section| self.secret_in(section, folder))?
    }

    /// Refuses a value that stands where a secret's place belongs, without repeating it.
    pub(super) fn holds_no_secret(self) -> Option<()> {
        if matches!(self.node.value, Value::Scalar { .. } | Value::List(_)) {
            return self.refuse(
                "secret_in_file",
                "a secret does not belong into this file",
                SECRET_FORMS,
            );
        }
        Some(())
    }

    /// The place of a secret, where its section has other keys too.
    pub(super) fn secret_in(self, secret: &Section<'_>, folder: &Path) -> Option<SecretSource> {
        let file = secret.optional("file");
        let env = secret.optional("env");
        let credential = secret.optional("credential");
        match (file, env, credential) {
            (Some(file), None, None) => file.path(folder).map(SecretSource::File),
            (None, Some(env), None) => {
                let name = env.text()?;
                let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
                if !first || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                    return env.refuse(
                        "bad_name",
                        "this is not the name of an environment variable",
                        "write its name, not its value, and without `$`",
                    );
                }
                Some(SecretSource::Env(name.to_owned()))
            }
            (None, None, Some(credential)) => {
                let name = credential.text()?;
                if name.starts_with('.') || name.contains(|c: char| c == '/' || c.is_control()) {
                    return credential.refuse(
                        "bad_name",
                        "this is not the name of a credential",
                        "write the name given to `LoadCredential=`, not a path",
                    );
                }
                Some(SecretSource::Credential(name.to_owned()))
            }
            _ => self.refuse("bad_secret", "exactly one place belongs here", SECRET_FORMS),
        }
    }

    fn is_plain(self) -> bool {
        matches!(self.node.value, Value::Scalar { plain: true, .. })
    }
}
