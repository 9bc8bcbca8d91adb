//! All applications: those of the main file, those of included files, and what they must not share.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::application::{self, Common, Draft};
use super::field::Field;
use super::file;
use super::findings::Findings;
use super::section::Section;
use super::{AuthorityFile, Sources, client_certificates, cycles, passthrough, tree};
use crate::model::{Application, ApplicationName, ExternalUrl, Place};

/// What is read.
pub(super) struct Read {
    pub(super) applications: Vec<Application>,
    /// The files of `client_certificates`, each once.
    pub(super) authorities: Vec<AuthorityFile>,
}

/// Reads `applications` and `include`; `None` where something is wrong.
pub(super) fn read(
    root: &Section<'_>,
    folder: &Path,
    common: &Common,
    findings: &Findings,
    sources: &mut Sources,
) -> Option<Read> {
    let mut drafts = Vec::new();
    let mut whole = true;
    if let Some(field) = root.optional("applications") {
        whole &= read_list(field, common, &mut drafts);
    }
    if let Some(field) = root.optional("include") {
        let Included { pattern, files } = included(field, folder).unwrap_or_default();
        for file in &files {
            whole &= read_file(file, common, findings, &mut drafts);
        }
        sources.pattern = pattern;
        sources.files.extend(files);
    }
    refuse_shared(&drafts, findings);
    let asking = drafts.iter().filter_map(|draft| {
        let place = &draft.authority.as_ref()?.place;
        Some((draft.application.as_ref()?, place))
    });
    whole &= client_certificates::agree(asking, findings);
    whole &= passthrough::are_alone(&drafts, findings);
    whole &= cycles::are_none(&drafts, findings);
    let mut authorities: Vec<AuthorityFile> = Vec::new();
    for file in drafts.iter().filter_map(|draft| draft.authority.as_ref()) {
        if authorities.iter().all(|one| one.file != file.file) {
            authorities.push(file.clone());
        }
    }
    let applications: Option<Vec<_>> = drafts.into_iter().map(|d| d.application).collect();
    applications.filter(|_| whole).map(|applications| Read {
        applications,
        authorities,
    })
}

/// Whether every entry could be read at all.
fn read_list(field: Field<'_>, common: &Common, drafts: &mut Vec<Draft>) -> bool {
    let Some(items) = field.list() else {
        return false;
    };
    let expected = drafts.len() + items.len();
    drafts.extend(
        items
            .into_iter()
            .filter_map(|i| application::read(i, common)),
    );
    drafts.len() == expected
}

fn read_file(file: &Path, common: &Common, findings: &Findings, drafts: &mut Vec<Draft>) -> bool {
    let remedy =
        "create it or make it readable for this user, or change `include` or the file's name";
    let Some(text) = file::read(file, findings, remedy) else {
        return false;
    };
    tree::parse(file, &text, findings)
        .is_some_and(|root| read_list(Field::new(&root, findings), common, drafts))
}

/// The files that `include` names.
#[derive(Default)]
struct Included {
    /// What new ones would fit.
    pattern: Option<PathBuf>,
    files: Vec<PathBuf>,
}

/// The files that `include` names, sorted; none is fine where the pattern has a `*`.
fn included(field: Field<'_>, folder: &Path) -> Option<Included> {
    let pattern = field.path(folder)?;
    let name = pattern.file_name().and_then(OsStr::to_str);
    let within = pattern.parent().unwrap_or_else(|| Path::new(""));
    let (Some(name), false) = (name, within.to_string_lossy().contains('*')) else {
        return field.refuse(
            "bad_path",
            "only the last part of the path can be a pattern",
            "write a folder and a pattern for its files, such as `applications.d/*.yaml`",
        );
    };
    if !name.contains('*') {
        return Some(Included {
            pattern: None,
            files: vec![pattern],
        });
    }
    match matching(&pattern) {
        Ok(files) => Some(Included {
            files,
            pattern: Some(pattern),
        }),
        Err(error) => field.refuse(
            "include_unreadable",
            format!("the folder {} cannot be read: {error}", within.display()),
            "create the folder, make it readable for this user, or remove `include`",
        ),
    }
}

/// The files that fit a pattern, sorted.
pub(super) fn matching(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let name = pattern.file_name().and_then(OsStr::to_str);
    let name = name.unwrap_or_default();
    let within = pattern.parent().unwrap_or_else(|| Path::new(""));
    // An empty parent is the current folder, which `read_dir` wants by its name.
    let opened = if within.as_os_str().is_empty() {
        fs::read_dir(".")
    } else {
        fs::read_dir(within)
    };
    let names: io::Result<Vec<_>> = opened?.map(|e| e.map(|e| e.file_name())).collect();
    let mut names = names?;
    names.retain(|n| n.to_str().is_some_and(|n| is_match(name, n)));
    names.sort();
    Ok(names.into_iter().map(|n| within.join(n)).collect())
}

/// Whether a file's name fits a pattern in which `*` stands for any characters. Hidden files,
/// which editors leave behind, fit only a pattern that begins with the dot too.
fn is_match(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(between) = last.replace(part) {
            let Some(at) = rest.find(between) else {
                return false;
            };
            rest = &rest[at + between.len()..];
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

/// Names must be unique, and so must scheme, host, port and path of external URLs.
fn refuse_shared(drafts: &[Draft], findings: &Findings) {
    let mut names: HashMap<&ApplicationName, &Place> = HashMap::new();
    let mut urls: HashMap<&ExternalUrl, &Place> = HashMap::new();
    for draft in drafts {
        let name_is_free = draft.name.as_ref().is_none_or(|(name, place)| {
            let first = names.get(name).copied();
            if let Some(first) = first {
                findings.error(
                    "duplicate_name",
                    place,
                    format!("`{name}` is already the name of {}", position(first)),
                    "give each application a name of its own",
                );
            }
            names.entry(name).or_insert(place);
            first.is_none()
        });
        for (url, place) in &draft.alternates {
            if let Some(first) = urls.insert(url, place) {
                said_twice(findings, url, place, first);
            }
        }
        let Some((url, place)) = &draft.external else {
            continue;
        };
        // Two default URLs are equal because the names are: that is said already.
        let by_name = draft.name.as_ref().is_some_and(|(_, p)| p == place);
        if let Some(first) = urls.get(url)
            && (name_is_free || !by_name)
        {
            said_twice(findings, url, place, first);
        }
        urls.entry(url).or_insert(place);
    }
}

fn said_twice(findings: &Findings, url: &ExternalUrl, place: &Place, first: &Place) {
    findings.error(
        "duplicate_external_url",
        place,
        format!("`{url}` is already the external URL of {}", position(first)),
        "give each application its own host, port or path",
    );
}

/// A place within a sentence: the application, and where it stands.
fn position(place: &Place) -> String {
    let application = place.key.rsplit_once('.').map_or("", |(parent, _)| parent);
    let file = place.file.display();
    format!("`{application}` ({file}:{}:{})", place.line, place.column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, fits) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", ".yaml", false),
            ("*.yaml", ".a.yaml", false),
            ("*.yaml", "a.yaml~", false),
            ("*.yaml", "a.yml", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "axbxc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*", "anything", true),
        ] {
            assert_eq!(is_match(pattern, name), fits, "{pattern} {name}");
        }
    }
}
