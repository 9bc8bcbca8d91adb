//! Trying the spellings of a password until one opens what is encrypted.

use zeroize::Zeroizing;

use super::encryption::{Opened, Scheme};
use super::limits::{Bound, Limits};
use super::mac::{Mac, MacData};
use super::password::{Secret, Spelling, spellings};
use super::{Part, PfxError};

/// The spellings of one password, and which of them has opened something.
pub(super) struct Opener {
    secrets: Vec<Secret>,
    is_given: bool,
    /// An index of `secrets`.
    fitting: Option<usize>,
    mac: Option<Mac>,
    pub(super) limits: Limits,
}

impl Opener {
    pub(super) fn new(password: Option<&str>, iterations: u32) -> Self {
        Self {
            secrets: spellings(password),
            is_given: password.is_some(),
            fitting: None,
            mac: None,
            limits: Limits::new(iterations),
        }
    }

    /// The spelling that has opened something.
    pub(super) fn spelling(&self) -> Option<Spelling> {
        let fitting = self.fitting.and_then(|index| self.secrets.get(index));
        fitting.map(|secret| secret.spelling)
    }

    /// Looks for the spelling that a MAC was made with; whether there is one.
    pub(super) fn verify(&mut self, data: &MacData<'_>, content: &[u8]) -> Result<bool, PfxError> {
        self.mac = Some(data.mac);
        let mut tried: Vec<&[u8]> = Vec::new();
        for (index, secret) in self.secrets.iter().enumerate() {
            let octets = data.octets(secret);
            if tried.contains(&octets) {
                continue;
            }
            match data.fits(secret, content, &mut self.limits) {
                Ok(true) => {
                    self.fitting = Some(index);
                    return Ok(true);
                }
                Ok(false) => tried.push(octets),
                Err(e) => return unless_tried(&tried, e).map(|()| false),
            }
        }
        Ok(false)
    }

    /// Decrypts content with the spelling that fits; if none does yet, with the first that does.
    pub(super) fn open(
        &mut self,
        scheme: &Scheme,
        content: &[u8],
        part: Part,
    ) -> Result<Zeroizing<Vec<u8>>, PfxError> {
        let block = scheme.encryption.cipher.block_len();
        if content.is_empty() || !content.len().is_multiple_of(block) {
            return Err(PfxError::Damaged("its encrypted content is cut off"));
        }
        // The one that fits first, and then the others as well: the same password may have been
        // taken as two kinds of octets.
        let others = (0..self.secrets.len()).filter(|index| Some(*index) != self.fitting);
        let mut tried: Vec<&[u8]> = Vec::new();
        for index in self.fitting.into_iter().chain(others) {
            let Some(secret) = self.secrets.get(index) else {
                continue;
            };
            let octets = scheme.octets(secret);
            if tried.contains(&octets) {
                continue;
            }
            let derived = match scheme.derive(secret, &mut self.limits) {
                Ok(derived) => derived,
                Err(e) => {
                    unless_tried(&tried, e)?;
                    break;
                }
            };
            tried.push(octets);
            match scheme.decrypt(&derived, content, part) {
                Opened::Content(plain) => {
                    self.fitting = Some(index);
                    return Ok(plain);
                }
                Opened::Damaged => {
                    self.fitting = Some(index);
                    return Err(PfxError::Damaged(
                        "the password opens it, but what is encrypted has changed",
                    ));
                }
                Opened::Nonsense => {}
            }
        }
        match self.fitting {
            Some(_) => Err(PfxError::OtherPassword(part)),
            None => Err(self.refusal()),
        }
    }

    /// The error where no spelling fits.
    pub(super) fn refusal(&self) -> PfxError {
        if !self.is_given {
            return PfxError::PasswordNeeded;
        }
        let mut tried: Vec<_> = self.secrets.iter().map(|secret| secret.spelling).collect();
        tried.dedup();
        PfxError::WrongPassword {
            mac: self.mac,
            tried,
        }
    }
}

/// Where the iterations run out after something was tried, the password is as good as wrong: a
/// right one would have opened it at the first attempt.
fn unless_tried(tried: &[&[u8]], error: PfxError) -> Result<(), PfxError> {
    match error {
        PfxError::TooMuch(Bound::Iterations) if !tried.is_empty() => Ok(()),
        other => Err(other),
    }
}
