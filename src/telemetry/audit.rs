//! What happened that somebody may have to answer for: who was let in, sent away or signed out, what was
//! revoked, made or changed, by whom and why. Apart from the lines of requests, and whatever the log's
//! level is.

use std::io::Write as _;
use std::net::IpAddr;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::logs;
use super::printable;
use crate::model::RequestId;

/// What these lines are known by in the log, where they have no place of their own.
const TARGET: &str = "audit";

/// What service tokens begin with.
const SERVICE_TOKEN: &str = "apxs1_";

/// The longest text of one part: what strangers sent may be among it.
const LONGEST: usize = 1024;

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor<'a> {
    /// Nobody who is known.
    Nobody,
    /// A person or a program, as the log is to call them.
    Known(&'a str),
    /// An identity provider.
    Provider(&'a str),
    /// Whoever may run commands or send signals on the gateway's host.
    Operator(&'a str),
    /// A connector.
    Connector(&'a str),
    /// The gateway by itself.
    Gateway,
}

impl Actor<'_> {
    const fn parts(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Nobody => ("nobody", None),
            Self::Known(name) => ("known", Some(name)),
            Self::Provider(name) => ("provider", Some(name)),
            Self::Operator(name) => ("operator", Some(name)),
            Self::Connector(name) => ("connector", Some(name)),
            Self::Gateway => ("gateway", None),
        }
    }
}

/// One record. It is written by [`Record::write`].
#[derive(Debug)]
#[must_use = "a record that is not written says nothing"]
pub struct Record {
    event: &'static str,
    failed: bool,
    intended: bool,
    fields: Map<String, Value>,
}

impl Record {
    /// Something that was done; `event` is one of the words in `docs/operate.md`.
    pub fn new(event: &'static str, actor: Actor<'_>) -> Self {
        let mut record = Self {
            event,
            failed: false,
            intended: false,
            fields: Map::new(),
        };
        let (kind, name) = actor.parts();
        record = record.with("actor_kind", kind);
        match name {
            Some(name) => record.with("actor", name),
            None => record,
        }
    }

    /// It was refused, or did not succeed.
    pub const fn failed(mut self) -> Self {
        self.failed = true;
        self
    }

    /// From where.
    pub fn client(self, client: IpAddr) -> Self {
        self.with("client", client.to_string())
    }

    /// Under which reference the log has the rest.
    pub fn reference(self, id: &RequestId) -> Self {
        self.with("request_id", id.as_str())
    }

    /// A further part.
    pub fn with(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        let value = printable(&without_tokens(value.as_ref()), LONGEST);
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// A further part, where there is one.
    pub fn maybe(self, name: &'static str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// It is about to be done.
    pub const fn intended(mut self) -> Self {
        self.intended = true;
        self
    }

    const fn outcome(&self) -> &'static str {
        match (self.intended, self.failed) {
            (true, _) => "intended",
            (false, true) => "failure",
            (false, false) => "success",
        }
    }

    /// Writes it where the configuration says, or into the log.
    pub fn write(self) {
        // A line that cannot be written is counted where it is lost.
        let _ = self.try_write();
    }

    /// The same, for what must not be done unrecorded.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn try_write(self) -> std::io::Result<()> {
        match logs::audit() {
            Some(mut place) => place.line(&self.line(OffsetDateTime::now_utc())),
            None => {
                let (event, outcome) = (self.event, self.outcome());
                let fields = Value::Object(self.fields);
                tracing::info!(target: TARGET, event, outcome, %fields, "audit");
                Ok(())
            }
        }
    }

    /// One JSON object and the end of its line.
    fn line(&self, now: OffsetDateTime) -> Vec<u8> {
        let timestamp = now.format(&Rfc3339).unwrap_or_default();
        let mut object = json!({
            "timestamp": timestamp,
            "event": self.event,
            "outcome": self.outcome(),
        });
        if let Value::Object(object) = &mut object {
            object.extend(self.fields.clone());
        }
        let mut line = object.to_string().into_bytes();
        let _ = line.write_all(b"\n");
        line
    }
}

/// SECURITY: a token may stand where it does not belong, such as in a path, and is kept in no record.
fn without_tokens(text: &str) -> String {
    let mut parts = text.split(SERVICE_TOKEN);
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str(SERVICE_TOKEN);
        kept.push_str("(left out)");
        kept.push_str(
            part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "-_".contains(c)),
        );
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_of_json_whatever_is_in_it() {
        let id = RequestId::from_random([1; 8]);
        let record = Record::new("denied", Actor::Known("a\nb\u{1b}"))
            .failed()
            .client([192, 0, 2, 1].into())
            .reference(&id)
            .with("cause", "x".repeat(2000))
            .with("path", "\u{e4}".repeat(1000))
            .with("about", "/apxs1_hunter2-x_y/z apxs1_")
            .maybe("application", None::<&str>);
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let line = String::from_utf8(record.line(now)).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains('\u{1b}'));
        let said: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(said["timestamp"], "2027-01-15T08:00:00Z");
        assert_eq!(said["event"], "denied");
        assert_eq!(said["outcome"], "failure");
        assert_eq!(said["actor_kind"], "known");
        assert_eq!(said["actor"], "ab");
        assert_eq!(said["client"], "192.0.2.1");
        assert_eq!(said["request_id"], "0101010101010101");
        assert_eq!(said["cause"].as_str().unwrap().len(), LONGEST);
        assert_eq!(said["path"].as_str().unwrap().chars().count(), 1000);
        assert_eq!(said["about"], "/apxs1_(left out)/z apxs1_(left out)");
        assert!(said.get("application").is_none());
    }
}
