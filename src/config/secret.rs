//! Where a secret is read from; its value is never kept in the configuration.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::model::SecretSource;

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret file {0}: {1}")]
    File(PathBuf, std::io::Error),
    /// The variable is not set, or not UTF-8.
    #[error("the environment variable {0} is not set")]
    Env(String),
    /// No credentials were given to this service.
    #[error("there is no credential `{0}`: $CREDENTIALS_DIRECTORY is not set, or has no such file")]
    Credential(String),
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// Where its place cannot be read.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let text = match self {
            Self::File(path) => {
                std::fs::read_to_string(path).map_err(|e| SecretError::File(path.clone(), e))?
            }
            Self::Env(name) => std::env::var(name).map_err(|_| SecretError::Env(name.clone()))?,
            Self::Credential(name) => {
                let missing = || SecretError::Credential(name.clone());
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(missing)?;
                std::fs::read_to_string(PathBuf::from(folder).join(name)).map_err(|_| missing())?
            }
        };
        Ok(trim_one_newline(text).into())
    }
}

fn trim_one_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trailing_newline_is_trimmed() {
        for (written, meant) in [
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            ("a", "a"),
            ("", ""),
        ] {
            assert_eq!(trim_one_newline(written.into()), meant);
        }
    }
}
