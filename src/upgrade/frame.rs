//! Frames of RFC 6455, section 5: their heads, their boundaries, and the Close frame.

use bytes::Buf;

pub(super) const CONTINUATION: u8 = 0x0;
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xA;

/// Two octets, eight of length, four of mask.
const LONGEST_HEAD: usize = 14;

/// A control frame holds 125 octets, two of them the code (RFC 6455, section 5.5).
const LONGEST_REASON: usize = 123;

/// The head of one frame, as it stood on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The last frame of its message.
    pub fin: bool,
    /// The three reserved bits, which extensions use.
    pub reserved: u8,
    pub opcode: u8,
    pub mask: Option<[u8; 4]>,
    /// Octets of payload.
    pub length: u64,
}

/// Collects the head of a frame over any chunking.
#[derive(Debug, Clone, Default)]
pub(super) struct HeadReader {
    octets: [u8; LONGEST_HEAD],
    have: usize,
}

impl HeadReader {
    /// Nothing of a head was read yet.
    pub(super) fn is_empty(&self) -> bool {
        self.have == 0
    }

    /// Takes octets of `input` until the head is whole; what follows it stays in `input`.
    pub(super) fn read(&mut self, input: &mut impl Buf) -> Option<Head> {
        while self.have < self.wanted() {
            if !input.has_remaining() {
                return None;
            }
            self.octets[self.have] = input.get_u8();
            self.have += 1;
        }
        let [first, second, rest @ ..] = &self.octets;
        let (length, mask_at) = match second & 0x7F {
            126 => (u64::from(u16::from_be_bytes([rest[0], rest[1]])), 2),
            127 => {
                let mut wide = [0; 8];
                wide.copy_from_slice(&rest[..8]);
                (u64::from_be_bytes(wide), 8)
            }
            short => (u64::from(short), 0),
        };
        let head = Head {
            fin: first & 0x80 != 0,
            reserved: (first >> 4) & 0x7,
            opcode: first & 0xF,
            mask: (second & 0x80 != 0).then(|| {
                let mut mask = [0; 4];
                mask.copy_from_slice(&rest[mask_at..mask_at + 4]);
                mask
            }),
            length,
        };
        self.have = 0;
        Some(head)
    }

    /// How long this head is, as far as can be told by now.
    fn wanted(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let length = match self.octets[1] & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.octets[1] & 0x80 == 0 { 0 } else { 4 }
    }
}

/// Follows the frames of one direction and knows when it stands between two of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Follower {
    head: HeadReader,
    /// Octets of payload still to come.
    payload: u64,
    /// The head of a Close frame has passed: the sender may say nothing after that frame.
    close: bool,
}

impl Follower {
    /// Follows these octets.
    pub(super) fn follow(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            self.step(&mut octets);
        }
    }

    /// Whether a frame could begin here.
    pub(super) fn is_between_frames(&self) -> bool {
        self.payload == 0 && self.head.is_empty()
    }

    /// Whether a Close frame has passed, or has begun to.
    pub(super) fn saw_close(&self) -> bool {
        self.close
    }

    /// Follows `octets` to the first place between frames and returns how far that is; `None`
    /// where they all belong to a frame that ends later.
    pub(super) fn follow_to_boundary(&mut self, octets: &[u8]) -> Option<usize> {
        let mut rest = octets;
        while !self.is_between_frames() {
            if rest.is_empty() {
                return None;
            }
            self.step(&mut rest);
        }
        Some(octets.len() - rest.len())
    }

    /// Takes one head or one stretch of payload, whichever comes next.
    fn step(&mut self, octets: &mut &[u8]) {
        if self.payload > 0 {
            let here = usize::try_from(self.payload)
                .unwrap_or(usize::MAX)
                .min(octets.len());
            self.payload -= here as u64;
            octets.advance(here);
        } else if let Some(head) = self.head.read(octets) {
            self.payload = head.length;
            self.close |= head.opcode == CLOSE;
        }
    }
}

/// The head of an unfragmented frame, and its mask.
pub(super) fn encode_head(opcode: u8, length: usize, mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut octets = Vec::with_capacity(LONGEST_HEAD + length);
    octets.push(0x80 | opcode);
    let bit = if mask.is_some() { 0x80 } else { 0 };
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..=125), _) => octets.push(bit | short),
        (_, Ok(medium)) => {
            octets.push(bit | 126);
            octets.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            octets.push(bit | 127);
            octets.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    octets.extend(mask.into_iter().flatten());
    octets
}

/// One whole frame.
pub(super) fn encode(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut octets = encode_head(opcode, payload.len(), mask);
    let start = octets.len();
    octets.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply_mask(&mut octets[start..], mask, 0);
    }
    octets
}

/// A Close frame; a reason that is too long for a control frame is shortened.
pub(super) fn encode_close(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let reason = &reason[..reason.floor_char_boundary(LONGEST_REASON)];
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    encode(CLOSE, &payload, mask)
}

/// Masks or unmasks octets that stand `offset` octets into a payload (RFC 6455, section 5.3).
pub(super) fn apply_mask(octets: &mut [u8], mask: [u8; 4], offset: usize) {
    for (place, octet) in octets.iter_mut().enumerate() {
        *octet ^= mask[(offset + place) % 4];
    }
}

/// Whether a Close frame may carry this code (RFC 6455, section 7.4, and the registry of IANA).
pub(super) fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Frames of every kind of length, fragments with control frames in between, both maskings.
    pub(in crate::upgrade) fn table() -> Vec<Vec<u8>> {
        let mask = Some([0x11, 0x22, 0x33, 0x44]);
        let mut fragment = encode(TEXT, b"frag", None);
        fragment[0] &= 0x7F;
        let mut masked_fragment = encode(BINARY, b"fragment", mask);
        masked_fragment[0] &= 0x7F;
        // A reserved bit is an extension's business and moves no boundary.
        let mut compressed = encode(TEXT, b"deflated", mask);
        compressed[0] |= 0x40;
        // A length that took more octets than it needed is still that length.
        let wasteful = vec![0x82, 127, 0, 0, 0, 0, 0, 0, 0, 3, 7, 7, 7];
        vec![
            encode(TEXT, b"", None),
            encode(TEXT, b"", mask),
            encode(BINARY, &[0x81; 125], None),
            fragment,
            encode(PING, b"between", None),
            encode(CONTINUATION, b"ment", None),
            masked_fragment,
            encode(PONG, b"", mask),
            encode(CONTINUATION, &[0; 126], mask),
            compressed,
            wasteful,
            encode(BINARY, &[0x88; 300], mask),
            encode(BINARY, &[0x88; 66_000], None),
        ]
    }

    #[test]
    fn boundaries_are_found_at_every_split() {
        let frames = table();
        // The last one is long; its head is what matters, so splits end shortly into its payload.
        let stream = frames.concat();
        let mut ends = vec![0];
        for frame in &frames {
            ends.push(ends[ends.len() - 1] + frame.len());
        }
        let interesting = ends[frames.len() - 1] + 40;
        for split in 0..=interesting {
            let mut follower = Follower::default();
            follower.follow(&stream[..split]);
            assert_eq!(
                follower.is_between_frames(),
                ends.contains(&split),
                "at {split}"
            );
            let next = ends.iter().find(|end| **end >= split).unwrap();
            assert_eq!(
                follower.clone().follow_to_boundary(&stream[split..]),
                Some(next - split)
            );
            follower.follow(&stream[split..]);
            assert!(follower.is_between_frames());
            assert!(!follower.saw_close(), "payload was taken for a head");
        }
        let mut single = Follower::default();
        for (place, octet) in stream.iter().enumerate() {
            assert_eq!(single.is_between_frames(), ends.contains(&place));
            single.follow(&[*octet]);
        }
        assert!(single.is_between_frames());
    }

    #[test]
    fn a_frame_that_does_not_end_has_no_boundary() {
        let mut follower = Follower::default();
        let mut endless = vec![0x82, 127];
        endless.extend_from_slice(&u64::MAX.to_be_bytes());
        follower.follow(&endless);
        assert_eq!(follower.follow_to_boundary(&[0; 4096]), None);
        assert!(!follower.is_between_frames());
    }

    #[test]
    fn heads_are_read_back() {
        let mask = Some([9, 8, 7, 6]);
        for (length, head_octets) in [(0, 6), (125, 6), (126, 8), (65_535, 8), (65_536, 14)] {
            let octets = encode(BINARY, &vec![1; length], mask);
            let mut input = octets.as_slice();
            let head = HeadReader::default().read(&mut input).unwrap();
            assert_eq!(octets.len() - input.len(), head_octets);
            assert_eq!(
                head,
                Head {
                    fin: true,
                    reserved: 0,
                    opcode: BINARY,
                    mask,
                    length: length as u64
                }
            );
        }
    }

    #[test]
    fn a_close_frame_fits_whatever_the_reason() {
        assert_eq!(
            encode_close(1001, "bye", None),
            [0x88, 5, 0x03, 0xE9, b'b', b'y', b'e']
        );
        let long = encode_close(1008, &"é".repeat(100), None);
        assert_eq!(long[1], 124, "61 whole letters of two octets");
        assert!(std::str::from_utf8(&long[4..]).is_ok());
        let masked = encode_close(1001, "", Some([1, 2, 3, 4]));
        assert_eq!(masked, [0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xE9 ^ 2]);
    }
}
