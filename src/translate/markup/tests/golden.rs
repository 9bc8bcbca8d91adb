//! Files: `NAME.in` becomes `NAME.out`, whatever the chunks.

use std::path::Path;

use super::{Table, css, html};

const HTML: usize = 77;
const CSS: usize = 24;

fn run(folder: &str, rewrite: impl Fn(&[u8], usize) -> Vec<u8>) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/translate")
        .join(folder);
    let mut count = 0;
    let mut failures = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "in") {
            continue;
        }
        count += 1;
        let text = std::fs::read(&path).unwrap();
        let expected = std::fs::read(path.with_extension("out")).unwrap();
        for size in [text.len(), 1, 7] {
            let out = rewrite(&text, size);
            if out != expected {
                failures += &format!(
                    "{} in chunks of {size}:\n{}instead of\n{}\n",
                    path.display(),
                    String::from_utf8_lossy(&out),
                    String::from_utf8_lossy(&expected)
                );
            }
        }
        // What is external already stays.
        assert_eq!(
            rewrite(&expected, expected.len()),
            expected,
            "{} twice",
            path.display()
        );
    }
    assert!(failures.is_empty(), "{failures}");
    count
}

#[test]
fn html_files_come_out_as_expected() {
    let count = run("html", |page, size| html(Table::corp(), page, size));
    assert_eq!(count, HTML);
}

#[test]
fn css_files_come_out_as_expected() {
    let count = run("css", |text, size| css(Table::corp(), text, size));
    assert_eq!(count, CSS);
}
