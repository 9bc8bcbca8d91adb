//! The documents, and what is read out of them.

use std::fs;

pub(crate) const DOCUMENTS: [&str; 19] = [
    "docs/capacity.md",
    "docs/operate.md",
    "docs/settings.md",
    "docs/sign-in.md",
    "docs/install.md",
    "docs/backends.md",
    "docs/balancing.md",
    "docs/metrics.md",
    "docs/connectors.md",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/identity.md",
    "docs/performance.md",
    "docs/publish.md",
    "docs/translation.md",
    "docs/out-of-scope.md",
    "docs/upgrade.md",
    "examples/first-application/README.md",
];

pub(crate) fn documents() -> impl Iterator<Item = (&'static str, String)> {
    DOCUMENTS
        .map(|name| (name, fs::read_to_string(name).expect(name)))
        .into_iter()
}

/// The blocks of a document that are fenced and marked as this language.
pub(crate) fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap().to_owned())
        .collect()
}

/// What stands between back quotes in running text.
pub(crate) fn spans(text: &str) -> Vec<String> {
    let outside: String = text.split("```").step_by(2).collect();
    outside
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|span| span.replace('\n', " "))
        .collect()
}

/// `a\|b` in a table stands for either, `[x]` for what may be left out.
pub(crate) fn expand(span: &str) -> Vec<Vec<String>> {
    let plain = span.replace(['[', ']'], "");
    let mut all = vec![Vec::new()];
    for word in plain.split_whitespace() {
        all = word
            .split("\\|")
            .flat_map(|choice| {
                all.iter().map(move |before: &Vec<String>| {
                    let mut words = before.clone();
                    words.push(choice.to_owned());
                    words
                })
            })
            .collect();
    }
    all
}
