//! How many and how large header fields may be, at the front and in the tunnel.

use http::HeaderMap;

/// The most a header list may take in the tunnel, in octets: encoded, and as RFC 9113 section
/// 6.5.2 counts it.
pub const TUNNEL_HEADERS: usize = 256 * 1024;

/// What RFC 9113 section 6.5.2 adds for each field.
const FIELD_OVERHEAD: usize = 32;

/// The longest name of a pseudo-header field, `:authority`.
const PSEUDO_NAME: usize = 10;

/// Bounds on the fields of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderLimits {
    /// The most fields, each value counted.
    pub fields: usize,
    /// The most octets: names, values and 32 for each field, the same measure for every version
    /// of HTTP (RFC 9113 section 6.5.2).
    pub octets: usize,
}

impl Default for HeaderLimits {
    /// 256 fields and 64 KiB: Kerberos tickets and large sets of cookies fit.
    fn default() -> Self {
        Self {
            fields: 256,
            octets: 64 * 1024,
        }
    }
}

/// Which bound a header list exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitExceeded {
    /// More fields than allowed.
    #[error("there are {found} header fields, at most {limit} are taken")]
    Fields {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// More octets than allowed.
    #[error("the header fields take {found} octets, at most {limit} are taken")]
    Octets {
        /// How many octets there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The header list may take more than the tunnel carries once it is encoded.
    #[error("the header fields may take {found} octets once encoded, the tunnel carries {limit}")]
    Encoded {
        /// How many octets they may take.
        found: usize,
        /// How many the tunnel carries.
        limit: usize,
    },
}

impl HeaderLimits {
    /// Checks fields, or trailers, against the bounds.
    ///
    /// # Errors
    /// With the first bound that is exceeded.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), LimitExceeded> {
        if headers.len() > self.fields {
            return Err(LimitExceeded::Fields {
                found: headers.len(),
                limit: self.fields,
            });
        }
        let octets = list_size(headers, &[]);
        if octets > self.octets {
            return Err(LimitExceeded::Octets {
                found: octets,
                limit: self.octets,
            });
        }
        Ok(())
    }
}

/// Checks whether a header list can go into the tunnel whatever its octets are.
///
/// A list too large is not refused by itself there: it ends the connection, and with it every
/// other request. `pseudo` holds the lengths of the pseudo-header fields' values.
///
/// # Errors
/// With the bound that is, or might be, exceeded.
pub fn fits_tunnel(headers: &HeaderMap, pseudo: &[usize]) -> Result<(), LimitExceeded> {
    let found = list_size(headers, pseudo);
    if found > TUNNEL_HEADERS {
        return Err(LimitExceeded::Octets {
            found,
            limit: TUNNEL_HEADERS,
        });
    }
    let found = hpack_worst_case(headers, pseudo);
    if found > TUNNEL_HEADERS {
        return Err(LimitExceeded::Encoded {
            found,
            limit: TUNNEL_HEADERS,
        });
    }
    Ok(())
}

/// Header lists, or trailers, that servers of other makes take over HTTP/2, encoded: the HEADERS frame
/// and seven CONTINUATIONs of 16 KiB. nghttp2, which is in Node and httpd, ends the connection at more.
const HTTP2_PEER: usize = 128 * 1024;

/// Checks whether a header list can go to an application's HTTP/2 connection, which others share.
///
/// # Errors
/// With the bound that might be exceeded.
pub fn fits_http2(headers: &HeaderMap) -> Result<(), LimitExceeded> {
    // RFC 7541 appendix B: printable octets have codes of 15 bits at most, but for the backslash;
    // all others have up to 30.
    let bits = |octet: u8| match octet {
        b'\\' => 19,
        0x20..=0x7e => 15,
        _ => 30,
    };
    let encoded = |octets: &[u8]| octets.iter().map(|&o| bits(o)).sum::<usize>().div_ceil(8);
    let found = headers.iter().fold(0_usize, |sum, (name, value)| {
        let field = encoded(name.as_str().as_bytes()) + encoded(value.as_bytes());
        sum.saturating_add(FIELD_OVERHEAD).saturating_add(field)
    });
    if found > HTTP2_PEER {
        return Err(LimitExceeded::Encoded {
            found,
            limit: HTTP2_PEER,
        });
    }
    Ok(())
}

/// The most octets HPACK (RFC 7541) can take for a header list: 30 bits, its longest Huffman
/// code, for each octet of names and values, since encoders may choose Huffman even where it is
/// longer; one octet and two lengths for each field; and two changes of the table's size.
///
/// `pseudo` holds the lengths of the pseudo-header fields' values.
#[must_use]
pub fn hpack_worst_case(headers: &HeaderMap, pseudo: &[usize]) -> usize {
    // An integer under 2^28 takes at most five octets (RFC 7541 section 5.1).
    const INTEGER: usize = 5;
    const FIELD: usize = 1 + 2 * INTEGER;
    let huffman = |octets: usize| octets.saturating_mul(30).div_ceil(8);
    lengths(headers, pseudo).fold(2 * INTEGER, |sum, (name, value)| {
        sum.saturating_add(FIELD)
            .saturating_add(huffman(name))
            .saturating_add(huffman(value))
    })
}

fn list_size(headers: &HeaderMap, pseudo: &[usize]) -> usize {
    lengths(headers, pseudo).fold(0, |sum: usize, (name, value)| {
        sum.saturating_add(name)
            .saturating_add(value)
            .saturating_add(FIELD_OVERHEAD)
    })
}

fn lengths(headers: &HeaderMap, pseudo: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    let fields = headers.iter().map(|(n, v)| (n.as_str().len(), v.len()));
    fields.chain(pseudo.iter().map(|&value| (PSEUDO_NAME, value)))
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    fn of_size(octets: usize, value: u8) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(&vec![value; octets]).unwrap();
        headers.insert("x-large", value);
        headers
    }

    #[test]
    fn what_text_there_may_be_fits_an_applications_http2_and_sixty_kilobytes_of_0xff_do_not() {
        let with = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert("x-a", HeaderValue::from_bytes(value).unwrap());
            fits_http2(&headers)
        };
        assert_eq!(with(&[b'a'; 64 * 1024]), Ok(()));
        assert_eq!(with(&[b'{'; 64 * 1024]), Ok(()));
        assert_eq!(with(&[0xff; 32 * 1024]), Ok(()));
        assert!(matches!(
            with(&[0xff; 41_000]),
            Err(LimitExceeded::Encoded { .. })
        ));
    }

    #[test]
    fn rule_14_fields_are_counted_one_by_one_and_by_size() {
        let limits = HeaderLimits::default();
        let mut headers = HeaderMap::new();
        for _ in 0..256 {
            headers.append("a", HeaderValue::from_static("b"));
        }
        assert_eq!(limits.check(&headers), Ok(()));
        headers.append("a", HeaderValue::from_static("b"));
        let refused = Err(LimitExceeded::Fields {
            found: 257,
            limit: 256,
        });
        assert_eq!(limits.check(&headers), refused);

        let exact = 64 * 1024 - "x-large".len() - 32;
        assert_eq!(limits.check(&of_size(exact, b'a')), Ok(()));
        let refused = Err(LimitExceeded::Octets {
            found: 65_537,
            limit: 65_536,
        });
        assert_eq!(limits.check(&of_size(exact + 1, b'a')), refused);
    }

    #[test]
    fn what_passes_the_front_fits_the_tunnel_with_what_we_add() {
        assert_eq!(
            fits_tunnel(&of_size(60_000, 0xff), &[4, 5, 200, 2000]),
            Ok(())
        );
        let worst = of_size(64 * 1024 - 7 - 32, 0xff);
        assert_eq!(fits_tunnel(&worst, &[4, 5, 200, 2000]), Ok(()));
        let long_path = fits_tunnel(&worst, &[4, 5, 200, 8000]);
        assert!(matches!(long_path, Err(LimitExceeded::Encoded { .. })));
        let many = fits_tunnel(&of_size(300_000, b'a'), &[]);
        assert!(matches!(many, Err(LimitExceeded::Octets { .. })));
    }

    #[test]
    fn the_worst_case_is_never_less_than_what_an_encoder_may_write() {
        assert_eq!(hpack_worst_case(&HeaderMap::new(), &[]), 10);
        // name 7 octets: 27; value 8 octets: 30; 11 for the field; 10 for the table.
        assert_eq!(hpack_worst_case(&of_size(8, 0xff), &[]), 27 + 30 + 11 + 10);
        assert_eq!(hpack_worst_case(&HeaderMap::new(), &[4]), 38 + 15 + 11 + 10);
        assert!(hpack_worst_case(&HeaderMap::new(), &[usize::MAX]) > TUNNEL_HEADERS);
    }
}
