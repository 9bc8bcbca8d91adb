//! The certificates of a PKCS #7 file (RFC 2315, 9.1), which is signed by nobody.

use x509_parser::asn1_rs::{Any, FromBer};

/// All certificates, DER. `None` where it is damaged, or holds something else.
pub(super) fn certificates(octets: &[u8]) -> Option<Vec<Vec<u8>>> {
    // ContentInfo { contentType, [0] SignedData { version, digests, content, [0] certificates, … } }
    let info = value(octets, SEQUENCE)?.1;
    let (rest, _) = Any::from_ber(info).ok()?;
    let signed = value(rest, CONTEXT_0)?.1;
    let mut rest = value(signed, SEQUENCE)?.1;
    for _ in 0..3 {
        rest = Any::from_ber(rest).ok()?.0;
    }
    let mut rest = value(rest, CONTEXT_0)?.1;
    let mut found = Vec::new();
    while !rest.is_empty() && !rest.starts_with(&[0, 0]) {
        let (after, _) = Any::from_ber(rest).ok()?;
        let one = rest.get(..rest.len() - after.len())?;
        found.push(one.to_vec());
        rest = after;
    }
    Some(found)
}

const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;

/// What comes after a value with this tag, and what is in it.
fn value(octets: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    if *octets.first()? != tag {
        return None;
    }
    let (rest, any) = Any::from_ber(octets).ok()?;
    Some((rest, any.data))
}
