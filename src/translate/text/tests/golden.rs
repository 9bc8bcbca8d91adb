//! Files: `NAME.in` becomes `NAME.out`, whatever the chunks.

use std::path::Path;

use encoding_rs::UTF_8;

use super::{Syntax, Table, run};

const JSON: usize = 31;
const JAVASCRIPT: usize = 16;
const XML: usize = 19;
const TEXT: usize = 12;
const FORM: usize = 10;

fn files(folder: &str, syntax: Syntax) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/translate/text")
        .join(folder);
    let mut count = 0;
    let mut failures = String::new();
    let mut rewrite = |path: &Path, text: &[u8], expected: &[u8], size: usize| {
        let (out, _) = run(&Table::corp(), syntax, UTF_8, text, size);
        if out != expected {
            failures += &format!(
                "{} in chunks of {size}:\n{}instead of\n{}\n",
                path.display(),
                String::from_utf8_lossy(&out),
                String::from_utf8_lossy(expected)
            );
        }
    };
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "in") {
            continue;
        }
        count += 1;
        let text = std::fs::read(&path).unwrap();
        let expected = std::fs::read(path.with_extension("out")).unwrap();
        for size in [text.len(), 1, 7] {
            rewrite(&path, &text, &expected, size);
        }
        // What is external already stays.
        rewrite(&path, &expected, &expected, expected.len());
    }
    assert!(failures.is_empty(), "{failures}");
    count
}

#[test]
fn json_files_come_out_as_expected() {
    assert_eq!(files("json", Syntax::Json), JSON);
}

#[test]
fn scripts_come_out_as_expected() {
    assert_eq!(files("javascript", Syntax::JavaScript), JAVASCRIPT);
}

#[test]
fn xml_files_come_out_as_expected() {
    assert_eq!(files("xml", Syntax::Xml), XML);
}

#[test]
fn plain_texts_come_out_as_expected() {
    assert_eq!(files("text", Syntax::Text), TEXT);
}

#[test]
fn forms_come_out_as_expected() {
    assert_eq!(files("form", Syntax::Form), FORM);
}
