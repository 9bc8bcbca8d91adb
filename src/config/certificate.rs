//! A certificate as it is named: a chain and its key, or a PFX, and what opens them.

use std::path::Path;

use secrecy::SecretString;

use super::section::Section;
use crate::model::{CertificateFiles, Finding};

/// Reads `chain` and `key`, or `pfx`, and `password`.
pub(super) fn files(section: &Section<'_>, folder: &Path) -> Option<CertificateFiles> {
    let pfx = section.optional("pfx");
    let password = section.optional("password");
    let password = password.map(|field| field.secret(folder));
    let (chain, key) = match pfx {
        None => (
            section.required("chain", "/etc/appproxy/tls.pem"),
            section.required("key", "/etc/appproxy/tls.key"),
        ),
        Some(pfx) => {
            let beside = [section.optional("chain"), section.optional("key")];
            for field in beside.into_iter().flatten() {
                field.refuse::<()>(
                    "conflict",
                    "a PFX has the chain and its key: nothing else belongs beside `pfx`",
                    "remove this key, or `pfx`",
                );
            }
            if beside.iter().any(Option::is_some) {
                return None;
            }
            (Some(pfx), Some(pfx))
        }
    };
    let chain_path = chain.and_then(|f| f.path(folder));
    let key_path = key.and_then(|f| f.path(folder));
    Some(CertificateFiles {
        chain: chain_path?,
        chain_place: chain?.place().clone(),
        key: key_path?,
        key_place: key?.place().clone(),
        password: password.map_or(Some(None), |source| source.map(Some))?,
    })
}

impl CertificateFiles {
    /// The password, where one is named.
    ///
    /// # Errors
    /// Where its place cannot be read.
    pub fn read_password(&self) -> Result<Option<SecretString>, Vec<Finding>> {
        let read = self
            .password
            .as_ref()
            .map(|source| source.read())
            .transpose();
        read.map_err(|error| {
            let remedy = "write the password there, and let the account appproxy runs as read it";
            vec![
                Finding::error("secret_unreadable", error.to_string(), remedy)
                    .at(self.key_place.clone()),
            ]
        })
    }

    /// The files that it is read from.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let password = self.password.as_ref().and_then(|source| source.file());
        [self.chain.as_path(), self.key.as_path()]
            .into_iter()
            .chain(password)
    }
}
