//! What is under a password: PFX files and encrypted keys.

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::super::pfx::{self, Cipher, Encryption, PfxError, Protection, Spelling};
use super::{HeldKey, PASSWORD_NEEDED, Reading};
use crate::model::{Finding, printable};

/// What is worth saying of RC2, RC4 and 3DES.
const OLD: (&str, &str) = (
    "the file is encrypted in an old way, which OpenSSL 3 opens with `-legacy` only",
    "export it anew with AES-256 where you can: in the wizard of Windows, `AES256-SHA256`",
);

impl Reading<'_> {
    pub(super) fn pfx(&mut self, octets: &[u8]) {
        let read = match pfx::read(octets, self.password) {
            Ok(read) => read,
            Err(error) => return self.find(0, finding(&error, "file")),
        };
        for one in read.certificates {
            self.certificate(one.der, one.attributes.friendly_name.map(shown));
        }
        for one in read.keys {
            self.out.keys.push(HeldKey {
                der: PrivatePkcs8KeyDer::from(one.pkcs8.to_vec()).into(),
                friendly_name: one.attributes.friendly_name.map(shown),
                provider: one.attributes.provider.map(shown),
                is_local_machine: one.attributes.is_local_machine,
            });
        }
        let others = read.others.iter();
        let others =
            others.map(|(kind, count)| format!("{count} more of the kind {kind}, passed over"));
        self.out.facts.extend(others);
        self.protection(&read.protection);
        if let Some(spelling) = read.protection.spelling {
            self.spelling(spelling);
            self.characters();
        }
    }

    /// What the model refuses, and some appliances do.
    fn characters(&mut self) {
        let is_plain = |text: &str| text.bytes().all(|octet| octet.is_ascii_alphanumeric());
        if self.password.is_some_and(|password| !is_plain(password)) {
            self.find(
                0,
                Finding::info(
                    "password_characters",
                    "the password has other characters than letters and digits, which some programs refuse (Microsoft Entra application proxy among them); appproxy takes it",
                    "nothing is to be done here",
                ),
            );
        }
    }

    fn protection(&mut self, protection: &Protection) {
        let facts = &mut self.out.facts;
        match &protection.mac {
            Some(mac) => facts.push(format!("integrity: {mac}")),
            None => facts.push("integrity: none (no MAC)".to_owned()),
        }
        for encryption in &protection.encryptions {
            facts.push(format!("encryption: {encryption}"));
        }
        if protection.is_ber {
            facts.push("written in BER: a few programs read DER only".to_owned());
        }
        let is_old = |one: &Encryption| {
            one.pbkdf2.is_none()
                || !matches!(one.cipher, Cipher::Aes128 | Cipher::Aes192 | Cipher::Aes256)
        };
        if protection.encryptions.iter().any(is_old) {
            self.find(0, Finding::info("encryption_old", OLD.0, OLD.1));
        }
        if protection.mac.is_none() {
            self.find(
                0,
                Finding::info(
                    "integrity_none",
                    "nothing vouches for the file (it has no MAC): a change of it would not be seen",
                    "export it anew; what is usual has one",
                ),
            );
        }
        let is_empty = matches!(protection.spelling, Some(Spelling::Empty | Spelling::Null));
        if is_empty && !protection.encryptions.is_empty() {
            self.find(
                0,
                Finding::warning(
                    "password_empty",
                    "the password of the file is empty: whoever reads the file has the key",
                    "let nobody read the file but the account appproxy runs as, or export it anew with a password",
                ),
            );
        }
        if protection.keys_in_clear > 0 {
            self.find(
                0,
                Finding::warning(
                    "key_in_clear",
                    "a private key in the file is not encrypted: whoever reads the file has it",
                    "let nobody read the file but the account appproxy runs as, or export it anew with a password",
                ),
            );
        }
        if protection.octets_after > 0 {
            let what = format!(
                "{} octets come after the end of the PFX",
                protection.octets_after
            );
            self.find(
                0,
                Finding::warning(
                    "octets_after",
                    what,
                    "copy the file again: something was appended to it",
                ),
            );
        }
    }

    fn spelling(&mut self, spelling: Spelling) {
        let how = match spelling {
            Spelling::AsGiven | Spelling::Empty | Spelling::Null => return,
            other => other,
        };
        self.find(
            0,
            Finding::warning(
                "password_spelling",
                format!("the password fits, but not as it is written: {how}"),
                "write it as it was meant; other programs will refuse it",
            ),
        );
    }

    pub(super) fn encrypted_key(&mut self, der: &[u8], line: usize) {
        // SECURITY: there is room for thousands in a file, and each says how long its key is derived. Half as
        // long for each next one is twice as long for all at most.
        let within = pfx::MAX_ITERATIONS >> self.encrypted.min(31);
        self.encrypted += 1;
        match pfx::decrypt_key_within(der, self.password, within) {
            Ok(read) => {
                self.out
                    .facts
                    .push(format!("encryption of the key: {}", read.encryption));
                self.spelling(read.spelling);
                let key: PrivateKeyDer<'static> =
                    PrivatePkcs8KeyDer::from(read.pkcs8.to_vec()).into();
                self.key(key);
            }
            Err(error) => self.find(line, finding(&error, "private key")),
        }
    }
}

/// Names of somebody else's, as they may be shown.
fn shown(name: String) -> String {
    printable(&name, 256)
}

/// The fault as a finding, whose `what` is about the file or the key in it.
pub(super) fn finding(error: &PfxError, whose: &str) -> Finding {
    let what = |text: String| format!("the {whose} cannot be opened: {text}");
    let text = error.to_string();
    match error {
        PfxError::PasswordNeeded => Finding::error(
            PASSWORD_NEEDED,
            format!("the {whose} is protected by a password, and none is given"),
            "give it with `--password-file FILE`, in the variable APPPROXY_PASSWORD, or at the prompt",
        ),
        PfxError::WrongPassword { .. } => Finding::error(
            "password_wrong",
            what(text),
            "give the password that it was exported with; upper and lower case count",
        ),
        PfxError::OtherPassword(_) => Finding::error(
            "password_wrong",
            what(text),
            "export it anew with one password for all of it",
        ),
        PfxError::Unsupported { what: kind, remedy } => Finding::error(
            "encryption_unsupported",
            format!("the {whose} cannot be opened: it has {kind}, which is not supported"),
            *remedy,
        ),
        PfxError::TooMuch(_) => Finding::error(
            "file_hostile",
            what(text),
            "no usual program writes such a file: take it from where it was made, and ask who made it",
        ),
        PfxError::NotPfx(_) => Finding::error("file_unknown", what(text), "name a PFX or PEM file"),
        _ => Finding::error(
            "pfx_damaged",
            what(text),
            "copy the file again, whole, or export it anew",
        ),
    }
}
