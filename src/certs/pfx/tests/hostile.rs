//! Files that were cut, changed, or written to do harm.

use proptest::prelude::*;

use super::super::ber::{Document, Malformed};
use super::super::limits::{Limits, MAX_DEPTH};
use super::super::{Bound, MAX_SIZE, PfxError, decrypt_key_within, read, read_within};
use super::written::{OUTER, bag, element, unprotected};
use super::{PASSWORD, file};

/// Enough for a file with one iteration for each derivation.
const FEW: u32 = 1_000;

#[test]
fn a_file_that_is_cut_never_opens() {
    for name in [
        "once.pfx",
        "ber-modern.pfx",
        "ber-everywhere.pfx",
        "nomac-rc4.pfx",
    ] {
        let whole = file(name);
        for end in 0..whole.len() {
            let cut = read_within(&whole[..end], Some(PASSWORD), FEW);
            let is_told = match cut {
                Err(PfxError::NotPfx(_)) => end < 9,
                Err(PfxError::Damaged(_)) => true,
                _ => false,
            };
            assert!(is_told, "{name} cut at {end}: {cut:?}");
        }
    }
}

#[test]
fn a_changed_octet_never_opens_to_something_else() {
    let whole = file("once.pfx");
    let opened = read_within(&whole, Some(PASSWORD), FEW).unwrap();
    let (mut same, mut damaged, mut wrong, mut other) = (0, 0, 0, 0);
    for at in 0..whole.len() {
        for change in [0x01, 0x02, 0x10, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] ^= change;
            match read_within(&changed, Some(PASSWORD), FEW) {
                Ok(read) => {
                    // No attribute or bag either.
                    let is_same = (&read.keys, &read.certificates, &read.others)
                        == (&opened.keys, &opened.certificates, &opened.others);
                    assert!(is_same, "octet {at} by {change:#x}");
                    assert!(read.protection.mac.is_some(), "octet {at} by {change:#x}");
                    same += 1;
                }
                Err(PfxError::Damaged(_)) => damaged += 1,
                Err(PfxError::WrongPassword { .. }) => wrong += 1,
                Err(_) => other += 1,
            }
        }
    }
    // Of what is encrypted, a key's derivation or the first block have to change in both parts
    // for the password to seem wrong; in one, the other still tells.
    assert_eq!(wrong, 0);
    let told = format!("same {same}, damaged {damaged}, other {other}");
    assert!(same < 60 && damaged > 6_000 && other < 150, "{told}");
}

#[test]
fn a_changed_octet_of_a_file_without_a_mac_does_no_harm() {
    for name in [
        "nomac-rc4.pfx",
        "nomac-legacy.pfx",
        "plain.pfx",
        "ber-plain-key.pfx",
    ] {
        let whole = file(name);
        for at in 0..whole.len() {
            for change in [0x01, 0x80] {
                let mut changed = whole.clone();
                changed[at] ^= change;
                drop(read_within(&changed, Some(PASSWORD), 0));
            }
        }
    }
}

#[test]
fn a_damaged_file_is_not_taken_for_a_wrong_password() {
    // The last octets are those of the MAC; those in the middle are encrypted.
    for name in [
        "modern.pfx",
        "legacy.pfx",
        "rc4-128.pfx",
        "pbmac1.pfx",
        "pw-umlaut.pfx",
    ] {
        let whole = file(name);
        let password = if name == "pw-umlaut.pfx" {
            "pässwörd€"
        } else {
            PASSWORD
        };
        let at_mac = whole.len() - if name == "pbmac1.pfx" { 20 } else { 30 };
        for at in [whole.len() / 2, at_mac] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let refused = read(&changed, Some(password));
            assert!(
                matches!(refused, Err(PfxError::Damaged(_))),
                "{name} {at}: {refused:?}"
            );
            let refused = read(&changed, Some("wrong"));
            let is_told = matches!(refused, Err(PfxError::WrongPassword { .. }));
            assert!(is_told, "{name} {at}: {refused:?}");
        }
    }
}

#[test]
fn iterations_have_a_budget() {
    let whole = file("modern.pfx");
    // The MAC, the certificates and the key.
    let price = 3 * 2_048;
    assert!(read_within(&whole, Some(PASSWORD), price).is_ok());
    let refused = read_within(&whole, Some(PASSWORD), price - 1);
    assert_eq!(refused, Err(PfxError::TooMuch(Bound::Iterations)));
    // Where there is no more for a second spelling, the first is wrong all the same.
    let refused = read_within(&whole, Some(" wrong "), 2_048);
    assert!(
        matches!(refused, Err(PfxError::WrongPassword { .. })),
        "{refused:?}"
    );
    let refused = read_within(&whole, Some(" wrong "), 2_047);
    assert_eq!(refused, Err(PfxError::TooMuch(Bound::Iterations)));
    let key = file("key-aes256-sha512.der");
    assert!(decrypt_key_within(&key, Some(PASSWORD), 2_048).is_ok());
    let refused = decrypt_key_within(&key, Some(PASSWORD), 2_047);
    assert_eq!(refused.unwrap_err(), PfxError::TooMuch(Bound::Iterations));
}

#[test]
fn iterations_that_a_file_asks_for_in_vain_cost_nothing() {
    let mut whole = file("modern.pfx");
    // The last element is the number of iterations of the MAC: 2,048.
    assert_eq!(whole[whole.len() - 4..], [2, 2, 8, 0]);
    let len = whole.len();
    whole.splice(len - 4.., [2, 4, 0x7f, 0xff, 0xff, 0xff]);
    // Two octets more in the whole, and in the MAC.
    let outer = u16::from_be_bytes([whole[2], whole[3]]) + 2;
    whole[2..4].copy_from_slice(&outer.to_be_bytes());
    let mac = whole
        .windows(2)
        .rposition(|pair| pair == [0x30, 0x41])
        .unwrap();
    whole[mac + 1] += 2;
    let refused = read(&whole, Some(PASSWORD));
    assert_eq!(refused, Err(PfxError::TooMuch(Bound::Iterations)));
}

#[test]
fn size_depth_and_number_are_bounded() {
    let refused = read(&vec![0x30; MAX_SIZE + 1], None);
    assert_eq!(refused, Err(PfxError::TooMuch(Bound::Size)));

    let nested = |levels: usize| {
        let inner = (0..levels).fold(Vec::new(), |inner, _| element(OUTER, &bag(6, &inner)));
        read(&unprotected(&inner), None)
    };
    assert!(nested(1).is_err(), "a bag needs something in it");
    assert_eq!(nested(20), Err(PfxError::TooMuch(Bound::Depth)));

    let nothing = element(OUTER, &[]);
    // One is the part they are in.
    let many = unprotected(&bag(6, &nothing).repeat(999));
    assert!(read(&many, None).is_ok());
    let many = unprotected(&bag(6, &nothing).repeat(1_000));
    assert_eq!(read(&many, None), Err(PfxError::TooMuch(Bound::Bags)));

    let elements = element(OUTER, &[5, 0].repeat(100_000));
    let refused = read(&elements, None);
    assert_eq!(refused, Err(PfxError::TooMuch(Bound::Elements)));
}

/// A document of so many levels, each of an indefinite length.
fn deep(levels: usize) -> Vec<u8> {
    [[0x30, 0x80].repeat(levels), [0, 0].repeat(levels)].concat()
}

#[test]
fn depth_is_bounded_without_recursion() {
    let mut limits = Limits::new(0);
    assert!(Document::parse(&deep(MAX_DEPTH), &mut limits).is_ok());
    let deeper = deep(MAX_DEPTH + 1);
    let refused = Document::parse(&deeper, &mut limits);
    assert_eq!(refused.unwrap_err(), Malformed::Bound(Bound::Depth));
    let refused = read(&[0x30, 0x80].repeat(MAX_SIZE / 2), None);
    assert_eq!(refused, Err(PfxError::TooMuch(Bound::Depth)));
}

#[test]
fn elements_that_are_no_ber_are_refused() {
    let cases: [&[u8]; 12] = [
        &[],
        &[0x30],
        &[0x04, 0x80, 0, 0],
        &[0x04, 0x81],
        &[0x04, 0x05, 0],
        &[0x04, 0xff, 0],
        &[0x04, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x04, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x1f, 0x81, 0x01, 0x00],
        &[0x30, 0x02, 0x00, 0x00],
        &[0x30, 0x80, 0x04, 0x00],
        // The end of the inner one is beyond the end of the outer one.
        &[0x30, 0x04, 0x30, 0x80, 0x05, 0x00, 0x00, 0x00],
    ];
    for case in cases {
        let refused = Document::parse(case, &mut Limits::new(0));
        assert!(matches!(refused, Err(Malformed::Element(_))), "{case:x?}");
    }
}

/// BER of any shape: definite and indefinite, strings whole and in pieces, and beside each its DER.
fn elements() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let octets = proptest::collection::vec(any::<u8>(), 0..200);
    let leaf = (
        prop_oneof![Just(0x02), Just(0x04), Just(0x06), Just(0x80)],
        octets,
    )
        .prop_map(|(tag, content)| (element(tag, &content), der(tag, &content)));
    leaf.prop_recursive(6, 60, 6, |inner| {
        let inner = proptest::collection::vec(inner, 0..6);
        let pieces = proptest::collection::vec(any::<u8>(), 0..300);
        let string = (pieces, 1_usize..100).prop_map(|(whole, size)| {
            let pieces: Vec<u8> = whole.chunks(size).flat_map(|p| element(0x04, p)).collect();
            (
                [&[0x24, 0x80][..], &pieces, &[0, 0]].concat(),
                der(0x04, &whole),
            )
        });
        let sequence = (any::<bool>(), inner).prop_map(|(is_definite, inner)| {
            let (ber, der_inner): (Vec<_>, Vec<_>) = inner.into_iter().unzip();
            let content = ber.concat();
            let ber = match is_definite {
                true => element(OUTER, &content),
                false => [&[0x30, 0x80][..], &content, &[0, 0]].concat(),
            };
            (ber, der(OUTER, &der_inner.concat()))
        });
        prop_oneof![1 => string, 3 => sequence]
    })
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let digits: Vec<u8> = len
        .to_be_bytes()
        .into_iter()
        .skip_while(|d| *d == 0)
        .collect();
    let head = match len {
        0..0x80 => vec![tag, len as u8],
        _ => [&[tag, 0x80 | digits.len() as u8][..], &digits].concat(),
    };
    [&head[..], content].concat()
}

proptest! {
    #[test]
    fn octets_of_any_kind_do_no_harm(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read_within(&octets, Some(PASSWORD), FEW).is_err());
        prop_assert!(decrypt_key_within(&octets, None, FEW).is_err());
    }

    #[test]
    fn ber_of_any_kind_does_no_harm((ber, der) in elements()) {
        let mut limits = Limits::new(0);
        let document = Document::parse_whole(&ber, &mut limits).unwrap();
        prop_assert_eq!(&*document.root().der(), &der);
        let again = Document::parse_whole(&der, &mut limits).unwrap();
        prop_assert!(again.root().is_der());
        prop_assert_eq!(&*again.root().der(), &der);
        drop(read_within(&ber, None, FEW));
        drop(read_within(&unprotected(&ber), None, FEW));
        for kind in 1..=7 {
            drop(read_within(&unprotected(&bag(kind, &ber)), None, FEW));
        }
    }

    #[test]
    fn several_changes_do_no_harm(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        which in prop::sample::select(vec![
            "once.pfx", "ber-everywhere.pfx", "other-bags.pfx", "pbmac1.pfx", "ber-plain-key.pfx",
        ]),
    ) {
        let mut octets = file(which);
        for (at, change) in changes {
            let at = at.index(octets.len());
            octets[at] = change;
        }
        drop(read_within(&octets, Some("\"Secret123\"\n"), FEW));
    }
}
