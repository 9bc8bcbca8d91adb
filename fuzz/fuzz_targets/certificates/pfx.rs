//! The PFX reader, with keys that are derived in no time.

#[path = "../../../src/certs/pfx/mod.rs"]
mod whole;

pub use whole::*;

/// Enough for the seeds, whose keys are derived a few times, and little enough for speed.
const ITERATIONS: u32 = 5000;

pub fn read(file: &[u8], password: Option<&str>) -> Result<Pfx, PfxError> {
    read_within(file, password, ITERATIONS)
}

pub fn decrypt_key(key: &[u8], password: Option<&str>) -> Result<DecryptedKey, PfxError> {
    decrypt_key_within(key, password, ITERATIONS)
}
