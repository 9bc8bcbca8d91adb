//! The ciphers, without their padding. Old ones are only ever used to decrypt.

use std::fmt;

use aws_lc_rs::cipher::{self, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use rc2::Rc2;
use rc2::cipher::{Block, BlockCipherDecrypt as _};
use zeroize::Zeroizing;

/// What the content is encrypted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// AES in CBC mode, with a key of 16 octets.
    Aes128,
    /// AES in CBC mode, with a key of 24 octets.
    Aes192,
    /// AES in CBC mode, with a key of 32 octets.
    Aes256,
    /// Triple DES in CBC mode, with two keys.
    TwoKeyTripleDes,
    /// Triple DES in CBC mode, with three keys.
    TripleDes,
    /// RC2 in CBC mode, of so many effective bits: 40, 64 or 128.
    Rc2(u8),
    /// RC4, of so many bits: 40 or 128.
    Rc4(u8),
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aes128 => f.write_str("AES-128-CBC"),
            Self::Aes192 => f.write_str("AES-192-CBC"),
            Self::Aes256 => f.write_str("AES-256-CBC"),
            Self::TwoKeyTripleDes => f.write_str("two-key 3DES-CBC"),
            Self::TripleDes => f.write_str("3DES-CBC"),
            Self::Rc2(bits) => write!(f, "RC2-{bits}-CBC"),
            Self::Rc4(bits) => write!(f, "RC4-{bits}"),
        }
    }
}

impl Cipher {
    /// In octets.
    pub(super) fn key_len(self) -> usize {
        match self {
            Self::Aes128 | Self::TwoKeyTripleDes => 16,
            Self::Aes192 | Self::TripleDes => 24,
            Self::Aes256 => 32,
            Self::Rc2(bits) | Self::Rc4(bits) => usize::from(bits / 8),
        }
    }

    /// Octets of a block; 1 without blocks, and then without padding.
    pub(super) fn block_len(self) -> usize {
        match self {
            Self::Aes128 | Self::Aes192 | Self::Aes256 => 16,
            Self::TwoKeyTripleDes | Self::TripleDes | Self::Rc2(_) => 8,
            Self::Rc4(_) => 1,
        }
    }

    /// Octets of the initial vector.
    pub(super) fn iv_len(self) -> usize {
        match self {
            Self::Rc4(_) => 0,
            _ => self.block_len(),
        }
    }

    /// Decrypts whole blocks, padding and all. `None` where a key, vector or content has not the
    /// length it should, or the library refuses the key: a degenerate one of 3DES, of which there
    /// is one in 2^54.
    pub(super) fn decrypt(
        self,
        key: &[u8],
        iv: &[u8],
        content: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        if key.len() < self.key_len() || !content.len().is_multiple_of(self.block_len()) {
            return None;
        }
        let mut content = Zeroizing::new(content.to_vec());
        #[expect(deprecated, reason = "what old Windows wrote is 3DES")]
        let algorithm = match self {
            Self::Aes128 => &cipher::AES_128,
            Self::Aes192 => &cipher::AES_192,
            Self::Aes256 => &cipher::AES_256,
            Self::TwoKeyTripleDes => &cipher::DES_EDE_FOR_LEGACY_USE_ONLY,
            Self::TripleDes => &cipher::DES_EDE3_FOR_LEGACY_USE_ONLY,
            Self::Rc2(bits) => {
                rc2_cbc(key, bits, iv.try_into().ok()?, &mut content);
                return Some(content);
            }
            Self::Rc4(_) => {
                rc4(key, &mut content);
                return Some(content);
            }
        };
        let context = match self.block_len() {
            16 => DecryptionContext::Iv128(FixedLength::from(<&[u8; 16]>::try_from(iv).ok()?)),
            _ => DecryptionContext::Iv64(FixedLength::from(<&[u8; 8]>::try_from(iv).ok()?)),
        };
        let key = UnboundCipherKey::new(algorithm, key).ok()?;
        let key = DecryptingKey::cbc(key).ok()?;
        key.decrypt(&mut content, context).ok()?;
        Some(content)
    }
}

fn rc2_cbc(key: &[u8], bits: u8, mut before: [u8; 8], content: &mut [u8]) {
    let key = Rc2::new_with_eff_key_len(key, usize::from(bits));
    for block in content.as_chunks_mut().0 {
        let encrypted: [u8; 8] = *block;
        let mut plain: Block<Rc2> = encrypted.into();
        key.decrypt_block(&mut plain);
        for (octet, (plain, before)) in block.iter_mut().zip(plain.iter().zip(before)) {
            *octet = plain ^ before;
        }
        before = encrypted;
    }
}

/// RC4, which is the same both ways. A state of 256 octets is indexed by octets.
fn rc4(key: &[u8], content: &mut [u8]) {
    let mut state: Zeroizing<[u8; 256]> =
        Zeroizing::new(std::array::from_fn(|i| i.to_le_bytes()[0]));
    let mut j: u8 = 0;
    for (i, key) in (0..=u8::MAX).zip(key.iter().cycle()) {
        j = j.wrapping_add(state[usize::from(i)]).wrapping_add(*key);
        state.swap(usize::from(i), usize::from(j));
    }
    let (mut i, mut j): (u8, u8) = (0, 0);
    for octet in content {
        i = i.wrapping_add(1);
        j = j.wrapping_add(state[usize::from(i)]);
        state.swap(usize::from(i), usize::from(j));
        let sum = state[usize::from(i)].wrapping_add(state[usize::from(j)]);
        *octet ^= state[usize::from(sum)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rc4_is_that_of_rfc_6229() {
        let mut content = [0; 16];
        rc4(&[1, 2, 3, 4, 5], &mut content);
        assert_eq!(
            content[..8],
            [0xb2, 0x39, 0x63, 0x05, 0xf0, 0x3d, 0xc0, 0x27]
        );
    }

    #[test]
    fn rc2_is_that_of_rfc_2268() {
        let key = [0x88, 0xbc, 0xa9, 0x0e, 0x90, 0x87, 0x5a];
        let mut content = [0x6c, 0xcf, 0x43, 0x08, 0x97, 0x4c, 0x26, 0x7f];
        rc2_cbc(&key, 64, [0; 8], &mut content);
        assert_eq!(content, [0; 8]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for cipher in [Cipher::Aes128, Cipher::TripleDes, Cipher::Rc2(40)] {
            let (key, iv) = (vec![7; cipher.key_len()], vec![0; cipher.iv_len()]);
            assert!(cipher.decrypt(&key, &iv, &[0; 32]).is_some() == (cipher != Cipher::TripleDes));
            assert!(cipher.decrypt(&key, &iv, &[0; 33]).is_none());
            assert!(cipher.decrypt(&key, &iv[1..], &[0; 32]).is_none());
            assert!(cipher.decrypt(&key[1..], &iv, &[0; 32]).is_none());
        }
    }
}
