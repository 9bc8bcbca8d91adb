//! Files that programs have written, and what of them is made anew here.

mod hostile;
mod samples;
mod written;

use std::path::Path;

/// Where the files are.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/pfx");

const PASSWORD: &str = "Secret123";

fn file(name: &str) -> Vec<u8> {
    let path = Path::new(FILES).join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
