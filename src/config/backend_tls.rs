//! How a connector knows its applications over TLS.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::field::Field;
use super::file::did_you_mean;
use super::section::Section;
use super::{
    Allow, AuthorityFile, BackendTls, ConnectorConfig, SpkiPin, Validate, allow, certificate,
};
use crate::model::{Endpoint, Finding, Host};

const WORDS: &[&str] = &["certificate", "pins", "nothing"];

/// Reads every entry; those that make sense are returned whatever is wrong with the others.
pub(super) fn entries(field: Field<'_>, folder: &Path) -> Vec<BackendTls> {
    let mut entries: Vec<BackendTls> = Vec::new();
    for item in field.list_or_none().unwrap_or_default() {
        let read = item.section(&[], |section| entry(section, item, folder, &entries));
        entries.extend(read.flatten());
    }
    entries
}

/// Reads every key before the first `?`, so that each has its say.
fn entry(
    section: &Section<'_>,
    field: Field<'_>,
    folder: &Path,
    earlier: &[BackendTls],
) -> Option<BackendTls> {
    let hosts = section.required("hosts", "[\"wiki.corp.local:443\"]");
    let hosts = hosts.and_then(|field| field.distinct(|item| host(item, earlier)));
    let at_ca = section.optional("ca");
    let ca = at_ca.map(|field| {
        Some(AuthorityFile {
            file: field.path(folder)?,
            place: field.place().clone(),
        })
    });
    let at_pins = section.optional("pins");
    let pins = at_pins.map(|field| field.distinct(pin));
    let at_name = section.optional("server_name");
    let server_name = at_name.map(server_name);
    let client_certificate = section.optional("client_certificate").map(|field| {
        let files = field.section(&[], |section| certificate::files(section, folder));
        files.flatten()
    });
    let validate = section.optional("validate").map(validate);
    match validate.flatten() {
        Some(Validate::Pins) if at_pins.is_none() => section.error_at_key(
            "validate",
            "missing_key",
            "`validate: pins` has no `pins` to go by",
            "add `pins: [\"sha256:…\"]`; leave `validate` out first, and the log of a failed \
             request prints the application's pin",
        ),
        Some(Validate::Pins) => {
            unused(
                at_ca,
                "ca",
                "the issuer does not count with `validate: pins`",
            );
        }
        Some(Validate::Nothing) => {
            let why = "nothing is checked with `validate: nothing`";
            unused(at_ca, "ca", why);
            unused(at_pins, "pins", why);
        }
        _ => {}
    }
    Some(BackendTls {
        place: field.place().clone(),
        hosts: hosts?,
        ca: ca.map_or(Some(None), |ca| ca.map(Some))?,
        pins: pins.unwrap_or_else(|| Some(Vec::new()))?,
        server_name: server_name.map_or(Some(None), |name| name.map(Some))?,
        client_certificate: client_certificate.map_or(Some(None), |files| files.map(Some))?,
        validate: validate.unwrap_or_else(|| Some(Validate::default()))?,
    })
}

fn unused(field: Option<Field<'_>>, name: &str, why: &str) {
    if let Some(field) = field {
        let remedy = format!("remove `{name}`, or leave `validate` out");
        field.refuse::<()>("conflict", why, remedy);
    }
}

fn host(field: Field<'_>, earlier: &[BackendTls]) -> Option<Allow> {
    let host = allow::entry(field)?;
    if let Some(entry) = earlier.iter().find(|entry| entry.hosts.contains(&host)) {
        return field.refuse(
            "duplicate_value",
            format!(
                "the entry of line {} has this already, and the first that names a target counts",
                entry.place.line
            ),
            "write it into one entry",
        );
    }
    Some(host)
}

fn pin(field: Field<'_>) -> Option<SpkiPin> {
    field.parse(
        "bad_pin",
        "write `sha256:` and 44 characters of base64, as the log of a failed request prints it",
        SpkiPin::from_str,
    )
}

fn server_name(field: Field<'_>) -> Option<Host> {
    let example = "write the name in the application's certificate, such as `wiki.internal`";
    field.parse_host(example, Host::parse)
}

fn validate(field: Field<'_>) -> Option<Validate> {
    let text = field.text()?;
    let remedy = match text {
        "certificate" => return Some(Validate::Certificate),
        "pins" => return Some(Validate::Pins),
        "nothing" => return Some(Validate::Nothing),
        "false" | "no" | "none" | "off" => {
            let better = "name the application's authority as `ca: FILE` and leave `validate` out, \
                          or write `pins` with its key; `nothing` believes whoever answers";
            Some(better.to_owned())
        }
        "true" | "yes" | "on" => Some("write `certificate`, or leave the key out".to_owned()),
        _ => did_you_mean(text, WORDS),
    };
    field.refuse(
        "bad_value",
        format!("`{text}` is nothing that can be validated"),
        remedy.unwrap_or_else(|| {
            "write `certificate` (issuer, dates, name) or `pins` (the public key alone); \
             `nothing` believes whoever answers"
                .to_owned()
        }),
    )
}

impl BackendTls {
    /// Whether this entry is for a target. A network stands for the addresses in it, never for
    /// names: what a name resolves to is not known when the handshake is prepared.
    #[must_use]
    pub fn is_for(&self, target: &Endpoint) -> bool {
        self.hosts.iter().any(|line| line.names(target))
    }
}

impl ConnectorConfig {
    /// A warning for each entry of `backend_tls` with hosts that no line of `allow` lets this
    /// connector reach: it does nothing, and whoever wrote it will look for the reason elsewhere.
    #[must_use]
    pub fn idle_backend_tls(&self) -> Vec<Finding> {
        let reaches = |host: &Allow| self.allow.iter().any(|line| host.may_meet(line));
        let idle = |entry: &BackendTls| {
            let unreached = entry.hosts.iter().filter(|host| !reaches(host));
            let lines: Vec<_> = unreached.map(|host| format!("\"{host}\"")).collect();
            let lines = lines.join(", ");
            (!lines.is_empty()).then(|| {
                let finding = Finding::warning(
                    "unreachable",
                    format!("no line of `allow` reaches {lines}: this is for nobody"),
                    format!("add it to `allow: [{lines}]`, or correct the host or its port"),
                );
                finding.at(entry.place.clone())
            })
        };
        self.backend_tls.iter().filter_map(idle).collect()
    }
}

/// Why a text is no pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPin {
    /// The algorithm is missing or another one.
    #[error("a pin begins with `sha256:`")]
    Algorithm,
    /// The rest is not base64.
    #[error("what follows `sha256:` is not base64")]
    Base64,
    /// The rest is not 32 octets.
    #[error("a SHA-256 has 32 octets, and these are {0}")]
    Length(usize),
}

impl FromStr for SpkiPin {
    type Err = BadPin;

    fn from_str(text: &str) -> Result<Self, BadPin> {
        let hash = text.strip_prefix("sha256:").ok_or(BadPin::Algorithm)?;
        let octets = BASE64.decode(hash).map_err(|_| BadPin::Base64)?;
        let length = octets.len();
        let octets = octets.try_into().map_err(|_| BadPin::Length(length))?;
        Ok(Self(octets))
    }
}

impl fmt::Display for SpkiPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", BASE64.encode(self.0))
    }
}

impl fmt::Debug for SpkiPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries that do nothing, with these lines of `allow`; each host is an entry.
    fn idle(allow: &[&str], hosts: &[&str]) -> String {
        let lines = |lines: &[&str]| {
            let quoted = lines.iter().map(|line| format!("\"{line}\""));
            quoted.collect::<Vec<_>>().join(", ")
        };
        let mut text = format!(
            "version: 1\nkind: connector\nstate: /s\nallow: [{}]\nbackend_tls:\n",
            lines(allow)
        );
        for host in hosts {
            text += &format!("  - {{ hosts: [{}] }}\n", lines(&[host]));
        }
        let config = ConnectorConfig::from_text(Path::new("connector.yaml"), &text).unwrap();
        let found = config.idle_backend_tls();
        found.iter().map(|found| format!("{found}\n")).collect()
    }

    #[test]
    fn an_entry_that_allow_cannot_reach_is_told_with_its_place() {
        let expected = "warning [unreachable] connector.yaml:7:5: backend_tls[1]: no line of `allow` \
                        reaches \"wikki.corp.local:443\": this is for nobody\n    \
                        add it to `allow: [\"wikki.corp.local:443\"]`, or correct the host or its \
                        port\n";
        let hosts = ["wiki.corp.local:443", "wikki.corp.local:443"];
        assert_eq!(idle(&["wiki.corp.local:443"], &hosts), expected);
        for (allow, host, reaches) in [
            ("wiki.corp.local:443", "wiki.corp.local:8443", false),
            ("*.corp.local:443", "wiki.corp.local:443", true),
            ("*.corp.local:443", "corp.local:443", false),
            ("*.corp.local:443", "xcorp.local:443", false),
            ("wiki.corp.local:443", "*.corp.local:443", true),
            ("wiki.corp.local:443", "*.local:443", true),
            ("blog.example:443", "*.corp.local:443", false),
            ("*.corp.local:443", "*.local:443", true),
            ("*.local:443", "*.corp.local:443", true),
            ("*.corp.local:443", "*.example:443", false),
            ("*.corp.local:443", "*.xcorp.local:443", false),
            // What a name resolves to is not known.
            ("10.1.0.0/16:443", "wiki.corp.local:443", true),
            ("10.1.2.3:443", "*.corp.local:443", true),
            ("10.1.0.0/16:443", "wiki.corp.local:8443", false),
            // An address is never known by a name.
            ("wiki.corp.local:443", "10.1.2.3:443", false),
            ("*.corp.local:443", "10.1.0.0/16:443", false),
            ("10.1.0.0/16:443", "10.1.2.3:443", true),
            ("10.1.0.0/16:443", "10.2.2.3:443", false),
            ("10.1.2.3:443", "10.1.0.0/16:443", true),
            ("10.1.0.0/16:443", "10.0.0.0/8:443", true),
            ("10.1.0.0/16:443", "10.1.2.0/24:443", true),
            ("10.1.0.0/16:443", "10.2.0.0/16:443", false),
            ("[fd00::1]:443", "[fd00::/8]:443", true),
        ] {
            assert_eq!(
                idle(&[allow], &[host]).is_empty(),
                reaches,
                "{allow} {host}"
            );
        }
        assert!(!idle(&[], &["wiki.corp.local:443"]).is_empty());
    }

    #[test]
    fn a_pin_is_read_as_it_is_printed() {
        let pin = SpkiPin([7; 32]);
        assert_eq!(pin.to_string().parse(), Ok(pin));
        for (text, why) in [
            ("BwcH", BadPin::Algorithm),
            ("sha1:BwcH", BadPin::Algorithm),
            ("sha256:BwcH", BadPin::Length(3)),
            ("sha256:07:07", BadPin::Base64),
            ("sha256:", BadPin::Length(0)),
        ] {
            assert_eq!(text.parse::<SpkiPin>(), Err(why), "{text}");
        }
    }
}
