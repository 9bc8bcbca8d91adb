//! A configuration file: read from disk, and known by its first two keys.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use super::field::Field;
use super::findings::Findings;
use super::section::{Section, nearest};
use super::tree::{self, Node, Value};
use crate::model::{Finding, Place};

/// Threads beyond this number only cost.
const MOST_WORKERS: u64 = 1024;

/// The program a file is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gateway,
    Connector,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Connector => "connector",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Gateway => Self::Connector,
            Self::Connector => Self::Gateway,
        }
    }
}

/// The text of the file that `--config` names.
pub(super) fn read_main(file: &Path) -> Result<String, Vec<Finding>> {
    let findings = Findings::default();
    let text = read(
        file,
        &findings,
        "create it, make it readable for this user, or name another with `--config FILE`",
    );
    findings.conclude(file, text)
}

/// The text of a file; `None` where it cannot be read, which is then in the findings.
pub(super) fn read(file: &Path, findings: &Findings, remedy: &str) -> Option<String> {
    let whole = |line| Place {
        file: file.to_owned(),
        line,
        ..Place::default()
    };
    let octets = match fs::read(file) {
        Ok(octets) => octets,
        Err(error) => {
            let what = format!("the file cannot be read: {error}");
            findings.error("file_unreadable", &whole(0), what, remedy);
            return None;
        }
    };
    match String::from_utf8(octets) {
        Ok(text) => Some(text),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let breaks = good.iter().filter(|&&b| b == b'\n').count();
            let line = u64::try_from(breaks).unwrap_or_default() + 1;
            findings.error(
                "not_utf8",
                &whole(line),
                "the text is not UTF-8",
                "save the file as UTF-8",
            );
            None
        }
    }
}

/// The folder that relative paths in a file start at.
pub(super) fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or_else(|| Path::new(""))
}

/// Reads the main file's keys; `later` as in [`Section::read`]. A file of the other program is
/// refused as such: that each of its keys is unknown here would say nothing.
pub(super) fn read_root<T>(
    file: &Path,
    text: &str,
    kind: Kind,
    findings: &Findings,
    later: &[&'static str],
    read: impl FnOnce(&Section<'_>) -> Option<T>,
) -> Option<T> {
    let root = tree::parse(file, text, findings)?;
    refuse_other(&root, kind, findings)?;
    Section::read(&root, findings, later, |section| {
        head(section, kind);
        read(section)
    })?
}

fn refuse_other(root: &Node, kind: Kind, findings: &Findings) -> Option<()> {
    let Value::Map(entries) = &root.value else {
        return Some(());
    };
    let Some(entry) = entries.iter().find(|e| e.name == "kind") else {
        return Some(());
    };
    match &entry.node.value {
        Value::Scalar { text, .. } if text == kind.other().as_str() => {
            let (own, other) = (kind.as_str(), kind.other().as_str());
            Field::new(&entry.node, findings).refuse(
                "wrong_kind",
                format!("this is a {other}'s file, and a {own}'s is wanted"),
                format!("run `appproxy {other}`, or name a {own}'s file with `--config FILE`"),
            )
        }
        _ => Some(()),
    }
}

fn head(section: &Section<'_>, kind: Kind) {
    if let Some(version) = section.required("version", "1")
        && let Some(text) = version.text()
        && text != "1"
    {
        version.refuse::<()>(
            "unsupported_version",
            format!("this program does not read version `{text}`"),
            "write `version: 1`, or use a program that reads it",
        );
    }
    if let Some(written) = section.required("kind", kind.as_str())
        && let Some(text) = written.text()
        && text != kind.as_str()
    {
        written.refuse::<()>(
            "wrong_kind",
            format!("`{text}` is no kind of file"),
            format!("write `kind: {}`", kind.as_str()),
        );
    }
}

/// Worker threads.
pub(super) fn workers(section: &Section<'_>) -> Option<NonZeroUsize> {
    let number = section.optional("workers")?.number(1..=MOST_WORKERS)?;
    usize::try_from(number).ok().and_then(NonZeroUsize::new)
}

/// The word of a closed list that `written` is near to, as a question.
pub(super) fn did_you_mean(written: &str, words: &[&'static str]) -> Option<String> {
    nearest(written, words.iter().copied())
        .filter(|near| *near != written)
        .map(|near| format!("did you mean `{near}`?"))
}
