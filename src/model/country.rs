//! In which country an address is, by a database that the operator brings.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest;
use maxminddb::{PathElement, Reader};

/// A database in the form of MaxMind (MaxMind DB 2.0), such as GeoLite2 Country, DB-IP Lite or IPinfo's.
pub struct Countries {
    reader: Reader<Vec<u8>>,
    /// Of the octets it was read from.
    digest: [u8; 32],
}

/// Why octets are no such database.
#[derive(Debug, thiserror::Error)]
pub enum CountriesError {
    /// Not of this form, or damaged.
    #[error("it is no database of countries in the form of MaxMind (.mmdb): {0}")]
    Form(String),
    /// It says something else of addresses.
    #[error("it is a database of another kind ({0}), which names no countries")]
    Kind(String),
}

impl Countries {
    /// Takes a database.
    ///
    /// # Errors
    /// Where it is none.
    pub fn from_octets(octets: Vec<u8>) -> Result<Self, CountriesError> {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, &octets).as_ref());
        let bad = |error: maxminddb::MaxMindDbError| CountriesError::Form(error.to_string());
        let reader = Reader::from_source(octets).map_err(bad)?;
        let kind = &reader.metadata().database_type;
        let names = ["Country", "City", "Enterprise", "country", "location"];
        if !names.iter().any(|name| kind.contains(name)) {
            return Err(CountriesError::Kind(kind.clone()));
        }
        Ok(Self {
            reader,
            digest: hash,
        })
    }

    /// The country of an address; `None` where the database does not know it, as of private ones.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> Option<&str> {
        let found = self.reader.lookup(address.to_canonical()).ok()?;
        let by = |path: &[PathElement<'_>]| found.decode_path::<&str>(path).ok().flatten();
        by(&[PathElement::Key("country"), PathElement::Key("iso_code")])
            // As IPinfo has it.
            .or_else(|| by(&[PathElement::Key("country_code")]))
            .or_else(|| by(&[PathElement::Key("country")]))
    }
}

/// It is the same where its octets are.
impl PartialEq for Countries {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Countries {}

impl fmt::Debug for Countries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Countries")
    }
}

/// Some countries, by their codes (ISO 3166-1 alpha-2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InCountries {
    /// Which.
    pub codes: Arc<[Arc<str>]>,
    /// By what is known of addresses.
    pub database: Arc<Countries>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: &str = "testdata/access/GeoLite2-Country-Test.mmdb";

    #[test]
    fn addresses_are_in_countries() {
        let octets = std::fs::read(TEST).unwrap();
        let countries = Countries::from_octets(octets.clone()).unwrap();
        for (address, expected) in [
            ("2.125.160.216", Some("GB")),
            ("::ffff:2.125.160.216", Some("GB")),
            ("89.160.20.112", Some("SE")),
            ("2001:218::1", Some("JP")),
            ("10.0.0.1", None),
            ("127.0.0.1", None),
            ("::1", None),
        ] {
            assert_eq!(
                countries.of(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
        assert_eq!(countries, Countries::from_octets(octets).unwrap());
    }

    #[test]
    fn what_is_no_database_is_refused() {
        let octets = std::fs::read(TEST).unwrap();
        let half = octets[..octets.len() / 2].to_vec();
        for bad in [Vec::new(), b"DE 192.0.2.0/24\n".to_vec(), half] {
            assert!(Countries::from_octets(bad).is_err());
        }
        // Whatever is changed in it, nothing panics.
        for at in (0..octets.len()).step_by(97) {
            let mut changed = octets.clone();
            changed[at] ^= 0xff;
            if let Ok(countries) = Countries::from_octets(changed) {
                let _ = countries.of([2, 125, 160, 216].into());
                let _ = countries.of([89, 160, 20, 112].into());
            }
        }
    }
}
