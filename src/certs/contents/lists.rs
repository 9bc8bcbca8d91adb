//! Files of revocation lists.

use std::path::Path;

use super::super::diagnose::RevocationList;
use super::{Form, contains, pem, sniff};
use crate::model::{Finding, Place, printable};

/// The longest file of revocation lists that is looked at, in octets. Those of large authorities have some MiB:
/// each certificate that is revoked takes some 40 octets.
pub const LONGEST_LIST: usize = 16 << 20;

/// How many lists a file may have: a chain has fewer authorities.
const MOST: usize = 100;

/// What is said of a list that is named as if it were a certificate.
pub(super) const FACT: &str =
    "a revocation list: name it with `--crl`, beside the certificate it may be about";

/// Reads the lists in a file, PEM or DER, and tells what cannot be read. The path is for its name alone.
#[must_use]
pub fn revocation_lists(octets: &[u8], path: &Path) -> (Vec<RevocationList>, Vec<Finding>) {
    // SECURITY: whoever made the file may have named it.
    let file = printable(&path.display().to_string(), 1024);
    let unreadable = |line: usize, why: &str| {
        let place = Place {
            file: file.clone().into(),
            line: u64::try_from(line).unwrap_or(0),
            ..Place::default()
        };
        Finding::error(
            "crl_unreadable",
            format!("the revocation list cannot be read: {why}"),
            "take the whole list again from the authority, in PEM or DER",
        )
        .at(place)
    };
    if octets.len() > LONGEST_LIST {
        let why = format!("the file has more than {LONGEST_LIST} octets");
        return (Vec::new(), vec![unreadable(0, &why)]);
    }
    let (text, _) = pem::plain(octets);
    let (mut ders, mut found) = (Vec::new(), Vec::new());
    if contains(&text, b"-----BEGIN") {
        let (sections, damaged) = pem::sections(&text);
        let damaged = damaged.iter().take(MOST);
        found.extend(damaged.map(|damage| unreadable(damage.line, damage.why)));
        let lists = sections.iter().filter(|one| one.label == "X509 CRL");
        ders.extend(lists.map(|one| (one.line, one.der.to_vec())));
    } else if octets.trim_ascii().is_empty() {
        found.push(unreadable(0, "the file is empty"));
    } else if sniff::binary(octets) == Some(Form::RevocationList) {
        ders.push((0, octets.to_vec()));
    }
    if ders.len() > MOST {
        // SECURITY: each may cost a signature to look at.
        let why = format!("the file has more than {MOST} lists");
        return (Vec::new(), vec![unreadable(0, &why)]);
    }
    if ders.is_empty() && found.is_empty() {
        found.push(unreadable(0, "there is no revocation list in the file"));
    }
    let mut lists = Vec::new();
    for (line, der) in ders {
        match RevocationList::read(der, file.clone()) {
            Ok(list) => lists.push(list),
            Err(why) => found.push(unreadable(line, why)),
        }
    }
    (lists, found)
}
