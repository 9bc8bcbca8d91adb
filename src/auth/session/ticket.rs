//! The ticket in the browser's cookie: `id.secret.owner.mac`.
//!
//! The identifier finds the record, the secret opens it, the owner tells whose it was when nothing is
//! kept of it any more, and the keyed hash over all tells a ticket of ours from a forged one before
//! anything is looked up. About 125 octets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::names::Owner;
use super::seal::{Ring, mac, same};
use crate::clock::Timestamp;
use crate::model::SessionId;
use crate::store::SecretOctets;

const PURPOSE: &str = "appproxy session ticket";

/// Octets of the hash in the ticket: nobody guesses 128 bits over a network.
const MAC: usize = 16;

/// Octets of an identifier.
const ID: usize = 33;

/// The longest text that is looked at.
const LONGEST: usize = 256;

/// One that is ours.
pub(super) struct Ticket {
    pub(super) id: SessionId,
    pub(super) secret: SecretOctets,
    pub(super) owner: Owner,
}

impl Ticket {
    /// The identifier in what looks like a ticket and was not judged.
    pub(super) fn id_of(text: &[u8]) -> Option<&str> {
        let text = text.get(..ID).filter(|_| text.len() <= LONGEST)?;
        std::str::from_utf8(text).ok()
    }

    /// Reads one; `None` where it is none of ours.
    pub(super) fn read(text: &[u8], keys: &Ring) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if text.len() > LONGEST {
            return None;
        }
        let mut parts = text.split('.');
        let (id, secret) = (parts.next()?, parts.next()?);
        let (owner, mac) = (parts.next()?, parts.next()?);
        if parts.next().is_some() || id.len() != ID || !id.starts_with('s') {
            return None;
        }
        let ticket = Self {
            id: SessionId::new(id).ok()?,
            secret: octets(secret)?,
            owner: Owner(*octets(owner)?),
        };
        let shown: Zeroizing<[u8; MAC]> = octets(mac)?;
        let mut ours = false;
        for key in keys.all() {
            ours |= same(&ticket.mac(key), &*shown);
        }
        ours.then_some(ticket)
    }

    /// As it stands in the cookie.
    pub(super) fn text(&self, keys: &Ring, now: Timestamp) -> SecretString {
        let mut text = format!("{}.", self.id);
        URL_SAFE_NO_PAD.encode_string(*self.secret, &mut text);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(self.owner.0, &mut text);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(self.mac(keys.current(now)), &mut text);
        text.into()
    }

    fn mac(&self, key: &SecretOctets) -> [u8; MAC] {
        let id = self.id.as_str().as_bytes();
        let whole = mac(key, PURPOSE, &[id, &*self.secret, &self.owner.0]);
        let mut short = [0; MAC];
        short.copy_from_slice(&whole[..MAC]);
        short
    }
}

/// Base64url without padding, of exactly so many octets, in its one spelling.
pub(super) fn octets<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let decoded = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
    let mut octets = Zeroizing::new([0; N]);
    if decoded.len() != N {
        return None;
    }
    octets.copy_from_slice(&decoded);
    Some(octets)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::store::SharedSecret;

    fn ring(keys: &[u8]) -> Ring {
        let secret = |&octet| SharedSecret {
            octets: Zeroizing::new([octet; 32]),
            created: Timestamp(0),
        };
        Ring::new(keys.iter().map(secret).collect()).unwrap()
    }

    fn text(keys: &Ring) -> String {
        let ticket = Ticket {
            id: SessionId::from_random([7; 16]),
            secret: Zeroizing::new([9; 32]),
            owner: Owner([3; 16]),
        };
        ticket
            .text(keys, Timestamp(1000))
            .expose_secret()
            .to_owned()
    }

    #[test]
    fn a_ticket_is_read_with_any_of_the_keys() {
        let text = text(&ring(&[1]));
        assert!(text.len() < 128, "{text}");
        for keys in [ring(&[1]), ring(&[2, 1])] {
            let ticket = Ticket::read(text.as_bytes(), &keys).unwrap();
            assert_eq!(ticket.id, SessionId::from_random([7; 16]));
            assert_eq!(*ticket.secret, [9; 32]);
            assert_eq!(ticket.owner, Owner([3; 16]));
        }
        assert!(Ticket::read(text.as_bytes(), &ring(&[2])).is_none());
    }

    #[test]
    fn forged_tickets_are_none() {
        let keys = ring(&[1]);
        let good = text(&keys);
        let [id, secret, owner, mac] = good.split('.').collect::<Vec<_>>()[..] else {
            unreachable!()
        };
        let other = SessionId::from_random([8; 16]);
        for forged in [
            String::new(),
            "..".into(),
            format!("{id}.{secret}"),
            format!("{id}.{secret}.{owner}."),
            format!("{id}.{secret}.{mac}"),
            format!("{id}.{secret}.{owner}.{mac}."),
            format!("{id}.{secret}.{owner}.{mac}.{mac}"),
            format!("{other}.{secret}.{owner}.{mac}"),
            format!("{id}.{}.{owner}.{mac}", "A".repeat(43)),
            format!("{id}.{secret}.{}.{mac}", "A".repeat(22)),
            format!("{id}.{secret}.{owner}.{}", "A".repeat(22)),
            format!("{id}.{secret}.{owner}={mac}"),
            format!("{id}.{secret}=.{owner}.{mac}"),
            format!("\"{good}\""),
            format!(" {good}"),
            good.to_uppercase(),
            good.replace('s', "S"),
            format!("{good}{}", "A".repeat(500)),
            good.replace('.', "\u{2024}"),
        ] {
            assert!(Ticket::read(forged.as_bytes(), &keys).is_none(), "{forged}");
        }
        assert!(Ticket::read(b"\xff\xfe", &keys).is_none());
        // No other spelling of the same octets, and no other octet anywhere.
        for at in 0..good.len() {
            let mut altered = good.clone().into_bytes();
            for to in [b'A', b'B', b'z', b'0', b'1', b'-', b'.'] {
                if altered[at] != to {
                    let was = std::mem::replace(&mut altered[at], to);
                    assert!(Ticket::read(&altered, &keys).is_none(), "{at} {to}");
                    altered[at] = was;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_made_up_is_a_ticket(octets: Vec<u8>, text in "[sa-f0-9._A-Z-]{0,130}") {
            prop_assert!(Ticket::read(&octets, &ring(&[1])).is_none());
            prop_assert!(Ticket::read(text.as_bytes(), &ring(&[1])).is_none());
        }
    }
}
