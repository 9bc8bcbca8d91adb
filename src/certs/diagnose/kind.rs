//! Kinds of keys and signatures, in words.

use std::fmt;

use crate::model::printable;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// The shortest RSA key that clients accept, in bits (CA/Browser Forum Baseline Requirements 6.1.5).
pub const SHORTEST_RSA: usize = 2048;

/// What a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyKind {
    /// RSA of so many bits.
    Rsa(usize),
    /// ECDSA on a curve that TLS clients know.
    Ecdsa(&'static str),
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// Something that TLS does not use, or browsers do not: in words.
    Other(String),
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Ecdsa(curve) => write!(f, "ECDSA {curve}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

impl KeyKind {
    pub(in crate::certs) fn of(key: &SubjectPublicKeyInfo<'_>) -> Self {
        if let Ok(PublicKey::RSA(rsa)) = key.parsed() {
            return Self::Rsa(rsa.key_size());
        }
        Self::of_algorithm(&key.algorithm)
    }

    /// As far as the algorithm tells: an RSA key's length is not in it.
    pub(in crate::certs) fn of_algorithm(algorithm: &AlgorithmIdentifier<'_>) -> Self {
        let oid = algorithm.algorithm.to_id_string();
        match oid.as_str() {
            "1.2.840.113549.1.1.1" => Self::Rsa(0),
            "1.2.840.10045.2.1" => {
                let curve = algorithm.parameters.as_ref();
                let curve = curve.and_then(|any| any.as_oid().ok());
                Self::of_curve(curve.map(|oid| oid.to_id_string()).as_deref())
            }
            "1.3.101.112" => Self::Ed25519,
            "1.3.101.113" => Self::Other("Ed448".to_owned()),
            "1.3.101.110" => Self::Other("X25519".to_owned()),
            "1.2.840.10040.4.1" => Self::Other("DSA".to_owned()),
            "1.2.840.113549.1.1.10" => Self::Other("RSA-PSS".to_owned()),
            "2.16.840.1.101.3.4.3.17" | "2.16.840.1.101.3.4.3.18" | "2.16.840.1.101.3.4.3.19" => {
                Self::Other("ML-DSA".to_owned())
            }
            _ => Self::Other(format!("a key of the kind {}", shown(&oid))),
        }
    }

    pub(in crate::certs) fn of_curve(oid: Option<&str>) -> Self {
        match oid {
            Some("1.2.840.10045.3.1.7") => Self::Ecdsa("P-256"),
            Some("1.3.132.0.34") => Self::Ecdsa("P-384"),
            Some("1.3.132.0.35") => Self::Ecdsa("P-521"),
            Some("1.3.132.0.10") => Self::Other("ECDSA secp256k1".to_owned()),
            Some("1.3.132.0.33") => Self::Other("ECDSA P-224".to_owned()),
            Some("1.2.840.10045.3.1.1") => Self::Other("ECDSA P-192".to_owned()),
            Some(oid) if oid.starts_with("1.3.36.3.3.2.8.1.1.") => {
                Self::Other("ECDSA on a Brainpool curve".to_owned())
            }
            Some(oid) => Self::Other(format!("ECDSA on the curve {}", shown(oid))),
            None => Self::Other("ECDSA on a curve that is written out".to_owned()),
        }
    }
}

/// A number of strangers, of which nobody reads more; cut off, it does not end in a dot.
fn shown(oid: &str) -> String {
    let cut = printable(oid, 64);
    cut.trim_end_matches('.').to_owned()
}

/// How something is signed: the name, and whether clients refuse it as broken.
pub(super) fn signature(algorithm: &AlgorithmIdentifier<'_>) -> (String, bool) {
    let oid = algorithm.algorithm.to_id_string();
    let known = match oid.as_str() {
        "1.2.840.113549.1.1.2" => ("MD2 with RSA", true),
        "1.2.840.113549.1.1.4" => ("MD5 with RSA", true),
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => ("SHA-1 with RSA", true),
        "1.2.840.10045.4.1" => ("SHA-1 with ECDSA", true),
        "1.2.840.10040.4.3" => ("SHA-1 with DSA", true),
        "1.2.840.113549.1.1.14" => ("SHA-224 with RSA", false),
        "1.2.840.113549.1.1.11" => ("SHA-256 with RSA", false),
        "1.2.840.113549.1.1.12" => ("SHA-384 with RSA", false),
        "1.2.840.113549.1.1.13" => ("SHA-512 with RSA", false),
        "1.2.840.113549.1.1.10" => ("RSA-PSS", false),
        "1.2.840.10045.4.3.1" => ("SHA-224 with ECDSA", false),
        "1.2.840.10045.4.3.2" => ("SHA-256 with ECDSA", false),
        "1.2.840.10045.4.3.3" => ("SHA-384 with ECDSA", false),
        "1.2.840.10045.4.3.4" => ("SHA-512 with ECDSA", false),
        "1.3.101.112" => ("Ed25519", false),
        "1.3.101.113" => ("Ed448", false),
        "2.16.840.1.101.3.4.3.2" => ("SHA-256 with DSA", false),
        _ => return (format!("the algorithm {}", shown(&oid)), false),
    };
    (known.0.to_owned(), known.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_cut_off_does_not_end_in_a_dot() {
        let long = format!("{}.5", "1".repeat(63));
        for (oid, expected) in [("1.2.3", "1.2.3"), (long.as_str(), &long[..63])] {
            assert_eq!(shown(oid), expected);
        }
    }
}
