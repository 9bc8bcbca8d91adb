//! What a connector is asked to look at of an application, and what it tells of it: facts, step by
//! step. What they mean is for whoever asked.

use serde::{Deserialize, Serialize};

use crate::model::printable;

/// The longest text of the other end that is kept.
const LONGEST: usize = 1024;

/// Authentication schemes that are kept.
const SCHEMES: usize = 8;

/// An application as a connector is to ask it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspect {
    /// `http` or `https`.
    pub scheme: String,
    /// Host and port, as in [`super::wire::TARGET`].
    pub target: String,
    /// The `Host` to ask with.
    pub authority: String,
    /// The path to ask for with GET; `None` where the octets are none of ours and a connection is all.
    pub path: Option<String>,
    /// The text of a [`Profile`](super::Profile): what is spoken, and for how long is waited.
    pub profile: String,
}

/// An application that a connector's group serves, as its gateway publishes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Its name.
    pub name: String,
    /// Where people open it.
    pub external: String,
    /// The internal URL that is looked at; of several there is one of these for each.
    pub internal: String,
    /// How to ask it.
    pub inspect: Inspect,
}

impl Served {
    /// The same for people's eyes. SECURITY: it is the gateway's word, and stands on a terminal.
    #[must_use]
    pub fn shown(mut self) -> Self {
        let texts = [
            &mut self.name,
            &mut self.external,
            &mut self.internal,
            &mut self.inspect.authority,
            &mut self.inspect.target,
        ];
        for text in texts {
            show(text);
        }
        self.inspect.path.as_mut().map(show);
        self
    }
}

fn show(text: &mut String) {
    *text = printable(text, LONGEST);
}

impl Inspected {
    /// The same for people's eyes. SECURITY: it is the connector's word, and stands on a terminal.
    #[must_use]
    pub fn shown(mut self) -> Self {
        let texts = [
            &mut self.address,
            &mut self.through,
            &mut self.location,
            &mut self.speaks,
        ];
        for text in texts.into_iter().flatten() {
            show(text);
        }
        self.challenges.truncate(SCHEMES);
        self.challenges.iter_mut().for_each(show);
        if let Some(tls) = &mut self.tls {
            show(&mut tls.version);
            show(&mut tls.issuer);
        }
        if let Some(fault) = &mut self.fault {
            show(&mut fault.code);
            show(&mut fault.detail);
        }
        self
    }
}

/// An internal URL of an application as one connector sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Viewed {
    /// The connector's identifier.
    pub connector: String,
    /// Its group.
    pub group: String,
    /// What was looked at.
    pub served: Served,
    /// What it found.
    pub seen: Seen,
}

/// What came back of a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// The facts.
    Found(Box<Inspected>),
    /// No answer in time.
    Silent,
    /// The connector is older than the question.
    Unable,
}

/// What was found on the way to an application. What comes behind the step that failed is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inspected {
    /// The address that took the connection, with its port.
    pub address: Option<String>,
    /// The proxy on the way, whose address that is then.
    pub through: Option<String>,
    /// Milliseconds until the connection was there, names looked up.
    pub connect_ms: Option<u64>,
    /// What TLS came to.
    pub tls: Option<Secured>,
    /// The status of its answer.
    pub status: Option<u16>,
    /// Milliseconds from the request to the head of the answer, with a connection of its own.
    pub first_byte_ms: Option<u64>,
    /// `Location` of the answer.
    pub location: Option<String>,
    /// The authentication schemes that it offers in `WWW-Authenticate`, lower case.
    pub challenges: Vec<String>,
    /// Where the step failed: whether the other of `http` and `https` is spoken on this port.
    pub speaks: Option<String>,
    /// Why there is no answer.
    pub fault: Option<Fault>,
}

/// A TLS connection to an application that the connector trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secured {
    /// Such as `TLSv1_3`.
    pub version: String,
    /// Who issued its certificate.
    pub issuer: String,
    /// When that ends, in seconds since 1970.
    pub not_after: i64,
}

/// Why an application was not reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// A word of the list of error codes.
    pub code: String,
    /// What happened, and what to do where that is known over there.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_other_end_says_acts_on_no_terminal() {
        let bad = || "a\u{1b}[2J\nok".to_owned();
        let found = Inspected {
            address: Some(bad()),
            through: Some(bad()),
            location: Some(bad()),
            speaks: Some(bad()),
            challenges: vec![bad(); 100],
            tls: Some(Secured {
                version: bad(),
                issuer: "x".repeat(LONGEST + 1),
                not_after: 0,
            }),
            fault: Some(Fault {
                code: bad(),
                detail: bad(),
            }),
            ..Inspected::default()
        };
        let served = Served {
            name: bad(),
            external: bad(),
            internal: bad(),
            inspect: Inspect {
                scheme: "http".to_owned(),
                target: bad(),
                authority: bad(),
                path: Some(bad()),
                profile: String::new(),
            },
        };
        let found = found.shown();
        assert_eq!(found.challenges.len(), SCHEMES);
        assert_eq!(
            found.tls.as_ref().map(|tls| tls.issuer.len()),
            Some(LONGEST)
        );
        for text in [
            serde_json::to_string(&found).unwrap(),
            serde_json::to_string(&served.shown()).unwrap(),
        ] {
            assert!(!text.contains("\\u001b") && !text.contains("\\n"), "{text}");
        }
    }
}
