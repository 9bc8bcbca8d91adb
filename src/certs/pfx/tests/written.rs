//! BER, written for tests.

pub(super) const OUTER: u8 = 0x30;

/// An element with a definite length.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).unwrap();
    let mut out = vec![tag];
    match len {
        0..0x80 => out.push(len.to_be_bytes()[3]),
        _ => {
            out.push(0x84);
            out.extend(len.to_be_bytes());
        }
    }
    out.extend(content);
    out
}

/// A file without a MAC, in which are these bags.
pub(super) fn unprotected(bags: &[u8]) -> Vec<u8> {
    let data = [
        0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01,
    ];
    let info = |content: &[u8]| {
        let string = element(0xa0, &element(0x04, content));
        element(OUTER, &[&data[..], &string].concat())
    };
    let safe = element(OUTER, &info(&element(OUTER, bags)));
    element(OUTER, &[&[0x02, 1, 3][..], &info(&safe)].concat())
}

/// A bag of a kind of PKCS#12, by the last number of its identifier.
pub(super) fn bag(kind: u8, value: &[u8]) -> Vec<u8> {
    let oid = [
        0x06, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, kind,
    ];
    element(OUTER, &[&oid[..], &element(0xa0, value)].concat())
}
