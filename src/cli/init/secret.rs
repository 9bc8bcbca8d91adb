//! A client secret, and the file that keeps it.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::answers::path;

/// A secret as it was typed or pasted; `None` where nothing was. Providers print them without blanks.
pub(super) fn typed(text: &str) -> Result<Option<SecretString>, String> {
    let text = text.trim();
    match text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        false => Ok((!text.is_empty()).then(|| text.into())),
        true => Err("a client secret has no blanks in it: copy it again".to_owned()),
    }
}

/// The file for a client secret. SECURITY: whoever pastes the secret itself here is told so, and it is
/// neither shown again nor made the name of a file.
pub(super) fn file(text: &str) -> Result<PathBuf, String> {
    if looks_like_secret(text) {
        return Err(
            "this looks like the secret itself, and here the name of a file belongs, in which it is kept; \
             a file that is really called so can be named with its folder, such as ./NAME"
                .to_owned(),
        );
    }
    path(text)
}

/// Whether this is rather a secret than a path. One that is taken for a secret by mistake can be written
/// with its folder.
fn looks_like_secret(text: &str) -> bool {
    /// What people call a file without an extension is shorter.
    const SHORT: usize = 8;
    /// No provider's secret is shorter than this, by far.
    const RANDOM: usize = 16;
    let written = Path::new(text);
    // The root and the folder one is in are there whatever is written.
    let folders = || written.ancestors().skip(1);
    let is_there = |folder: &Path| folder.parent().is_some() && folder.exists();
    if written.exists() || folders().any(is_there) {
        return false;
    }
    let has = |which: fn(&u8) -> bool| text.bytes().any(|octet| which(&octet));
    let is_mixed = text.len() >= RANDOM
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_digit);
    let is_random = is_mixed || text.trim_start_matches("~/").contains(['~', '+', '=']);
    let extension = written.extension().and_then(|end| end.to_str());
    let has_extension = extension.is_some_and(|end| end.bytes().all(|b| b.is_ascii_lowercase()));
    is_random || (!text.contains('/') && text.len() >= SHORT && !has_extension)
}
