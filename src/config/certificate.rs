//! A certificate as it is named: a chain and its key.

use std::path::Path;

use super::section::Section;
use crate::model::CertificateFiles;

/// Reads `chain` and `key`.
pub(super) fn files(section: &Section<'_>, folder: &Path) -> Option<CertificateFiles> {
    let chain = section.required("chain", "/etc/appproxy/tls.pem");
    let key = section.required("key", "/etc/appproxy/tls.key");
    let chain_path = chain.and_then(|f| f.path(folder));
    let key_path = key.and_then(|f| f.path(folder));
    Some(CertificateFiles {
        chain: chain_path?,
        chain_place: chain?.place().clone(),
        key: key_path?,
        key_place: key?.place().clone(),
    })
}
