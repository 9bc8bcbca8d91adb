//! `log`: what is logged, how, and where to.

use std::path::{Path, PathBuf};

use tracing_subscriber::EnvFilter;

use super::field::Field;
use crate::model::{LogFormat, LogPerson, LogSettings, LogTarget};

/// Where a syslog daemon listens where nobody says otherwise.
const SYSLOG: &str = "/dev/log";

const WHERE: &str = "write `stderr`, `stdout`, `syslog`, `{ file: /var/log/appproxy/gateway.log }` \
                     or `{ syslog: /run/systemd/journal/dev-log }`";

/// Reads the section of an end that knows people, or of one that does not; `None` where something is
/// wrong in it.
pub(super) fn read(field: Field<'_>, folder: &Path, knows_people: bool) -> Option<LogSettings> {
    field.section(&[], |section| {
        let level = section.optional("level").map(level);
        let format = section.optional("format").map(format);
        let to = section.optional("to").map(|field| target(field, folder));
        let people = knows_people.then(|| section.optional("person")).flatten();
        let people = people.map(person);
        Some(LogSettings {
            level: match level {
                Some(read) => Some(read?),
                None => None,
            },
            format: match format {
                Some(read) => Some(read?),
                None => None,
            },
            to: to.unwrap_or_else(|| Some(LogTarget::default()))?,
            person: people.unwrap_or_else(|| Some(LogPerson::default()))?,
            audit: None,
        })
    })?
}

/// Reads `log` and `audit` of a gateway.
pub(super) fn of_gateway(
    log: Option<Field<'_>>,
    at_audit: Option<Field<'_>>,
    folder: &Path,
) -> Option<LogSettings> {
    let log = log.map_or_else(
        || Some(LogSettings::default()),
        |field| read(field, folder, true),
    );
    let audit = at_audit.map(|field| audit(field, folder));
    Some(LogSettings {
        audit: match audit {
            Some(read) => Some(read?),
            None => None,
        },
        ..log?
    })
}

/// Reads `audit`: where its records go.
fn audit(field: Field<'_>, folder: &Path) -> Option<LogTarget> {
    field.section(&[], |section| {
        let to = section.required("to", "{ file: /var/log/appproxy/audit.log }");
        target(to?, folder)
    })?
}

fn level(field: Field<'_>) -> Option<String> {
    let remedy = "write error, warn, info, debug or trace, or directives such as `info,access=off`";
    field.parse("bad_level", remedy, |text| {
        let parsed = EnvFilter::builder().parse(text);
        let level = parsed.map(|_| text.to_owned());
        level.map_err(|_| format!("the log level `{text}` is not understood"))
    })
}

fn format(field: Field<'_>) -> Option<LogFormat> {
    let known = [LogFormat::Text, LogFormat::Json];
    field.parse("bad_value", "write `text` or `json`", |text| {
        let same = known.into_iter().find(|format| format.as_str() == text);
        same.ok_or_else(|| format!("`{text}` is no form of a log"))
    })
}

fn person(field: Field<'_>) -> Option<LogPerson> {
    field.parse("bad_value", "write `full`, `hash` or `none`", |text| {
        let same = LogPerson::ALL.into_iter().find(|how| how.as_str() == text);
        same.ok_or_else(|| format!("`{text}` is no way to say who somebody is"))
    })
}

fn target(field: Field<'_>, folder: &Path) -> Option<LogTarget> {
    if !field.is_map() {
        return field.parse("bad_value", WHERE, |text| match text {
            "stderr" => Ok(LogTarget::Stderr),
            "stdout" => Ok(LogTarget::Stdout),
            "syslog" => Ok(LogTarget::Syslog(PathBuf::from(SYSLOG))),
            _ => Err(format!("a log cannot go to `{text}`")),
        });
    }
    field.section(&[], |section| {
        let path = |name| section.optional(name).map(|field| field.path(folder));
        match (path("file"), path("syslog")) {
            (Some(file), None) => file.map(LogTarget::File),
            (None, Some(socket)) => socket.map(LogTarget::Syslog),
            _ => field.refuse(
                "bad_value",
                "one of `file` and `syslog` belongs here",
                WHERE,
            ),
        }
    })?
}
