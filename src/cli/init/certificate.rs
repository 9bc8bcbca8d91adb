//! The questions about the certificate.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::answers::{self, Certificate};
use super::ask::{Console, TRIES, gave_up};
use super::leaf::{self, CertificateFile, Leaf, Wanted};
use super::{Init, Secrets, files, questions};
use crate::clock::Timestamp;
use crate::config::SecretSource;
use crate::model::{Finding, Host};

/// The certificate, and what visitors are shown of it; nothing for one that is made to fit.
type Named = (Certificate, Option<Leaf>);

/// What came of it, or why another file has to be named.
type Tried<T> = Result<T, String>;

impl Init {
    /// The hosts that the certificate is for. `signs_in`: people sign in at one of their own.
    pub(super) fn wanted(&self, domain: &Host, signs_in: bool) -> Wanted {
        let usual = |name: &str| self.yes.then(|| format!("{name}.{domain}"));
        let sign_in = self.sign_in.clone().or_else(|| usual("login"));
        let name = self.app.as_deref().and_then(|app| app.split_once('='));
        let external = self.external.clone();
        let external = external.or_else(|| name.and_then(|(name, _)| usual(name)));
        let hosts = [sign_in.filter(|_| signs_in), external];
        // What is no host is told at its own question.
        let hosts = hosts.into_iter().flatten();
        Wanted {
            domain: domain.clone(),
            hosts: hosts.filter_map(|text| answers::host(&text).ok()).collect(),
            count: 1 + usize::from(signs_in),
        }
    }

    /// Asks until there is a certificate that the gateway takes and that can be for the hosts.
    pub(super) fn certificate(
        &self,
        console: &mut Console<'_>,
        config: &Path,
        wanted: &Wanted,
        secrets: &mut Secrets,
        now: Timestamp,
    ) -> Result<Named, String> {
        for _ in 0..TRIES {
            match self.named(console, config, wanted, secrets, now)? {
                Ok(named) => return Ok(named),
                Err(why) if console.silent || self.certificate.is_some() => {
                    return Err(format!("--{}: {why}", questions::CERTIFICATE.flag));
                }
                Err(why) => console.say(&format!("  {why}.\n"))?,
            }
        }
        Err(gave_up(questions::CERTIFICATE))
    }

    fn named(
        &self,
        console: &mut Console<'_>,
        config: &Path,
        wanted: &Wanted,
        secrets: &mut Secrets,
        now: Timestamp,
    ) -> Result<Tried<Named>, String> {
        let domain = wanted.domain.name().unwrap_or("trial");
        let at = |end| answers::beside(config, &format!("{domain}.{end}"));
        let (chain, key) = (at("pem"), at("key"));
        let given = self.certificate.as_deref();
        let given = given.or_else(|| self.self_signed.then_some(""));
        let named = console.ask(questions::CERTIFICATE, given, Some(""), |text| {
            if text.is_empty() {
                let mut there = [&chain, &key]
                    .into_iter()
                    .filter(|file| files::is_there(file));
                return match there.next() {
                    Some(file) if !self.force => Err(files::exists(file)),
                    _ => Ok(None),
                };
            }
            let (file, kind) = leaf::look(text)?;
            let leaf = leaf::alone(&file, kind, now)?;
            if let Some(leaf) = &leaf {
                leaf.fits(wanted)?;
            }
            Ok(Some((file, kind, leaf)))
        })?;
        let tried = match named {
            None => return Ok(Ok((Certificate::Trial { chain, key }, None))),
            Some((chain, CertificateFile::Pem { has_key }, _)) => {
                self.key(console, chain, has_key, now)?
            }
            Some((file, CertificateFile::Pfx, leaf)) => {
                self.pfx(console, config, (file, leaf), secrets, now)?
            }
        };
        Ok(tried.and_then(|(certificate, leaf)| {
            leaf.fits(wanted)?;
            Ok((certificate, Some(leaf)))
        }))
    }

    /// The key of a chain.
    fn key(
        &self,
        console: &mut Console<'_>,
        chain: PathBuf,
        has_key: bool,
        now: Timestamp,
    ) -> Result<Tried<(Certificate, Leaf)>, String> {
        if self.password_file.is_some() {
            return Err("--password-file is for a PFX, and the certificate is PEM".to_owned());
        }
        let usual = match has_key {
            true => chain.clone(),
            false => chain.with_extension("key"),
        };
        let usual = usual.to_string_lossy();
        let kind = CertificateFile::Pem { has_key };
        let given = self.key.as_deref();
        let (key, tried) = console.ask(questions::KEY, given, Some(&usual), |text| {
            let key = leaf::existing(text)?;
            let tried = judged(leaf::loaded(&chain, &key, None, now), kind)?;
            Ok((key, tried))
        })?;
        Ok(tried.map(|leaf| (Certificate::Pem { chain, key }, leaf)))
    }

    /// A PFX with its password: in the file that is named, or one for what is typed.
    fn pfx(
        &self,
        console: &mut Console<'_>,
        config: &Path,
        (file, opened): (PathBuf, Option<Leaf>),
        secrets: &mut Secrets,
        now: Timestamp,
    ) -> Result<Tried<(Certificate, Leaf)>, String> {
        if self.key.is_some() {
            return Err("--key is for PEM, and the certificate is a PFX".to_owned());
        }
        let open = |password: Option<&SecretString>| {
            judged(
                leaf::loaded(&file, &file, password, now),
                CertificateFile::Pfx,
            )
        };
        if let Some(given) = self.password_file.as_deref() {
            let ask = questions::PASSWORD;
            let (kept, tried) = console.ask(ask, Some(given), None, |text| {
                let kept = leaf::existing(text)?;
                let password = SecretSource::File(kept.clone()).read();
                let password = password.map_err(|error| error.to_string())?;
                Ok((kept, open(Some(&password))?))
            })?;
            let password = Some(kept);
            return Ok(tried.map(|leaf| (Certificate::Pfx { file, password }, leaf)));
        }
        if let Some(leaf) = opened {
            let password = None;
            return Ok(Ok((Certificate::Pfx { file, password }, leaf)));
        }
        let (typed, tried) = console.ask_secret(questions::PASSWORD, |text| {
            let typed = (!text.is_empty()).then(|| SecretString::from(text));
            let tried = open(typed.as_ref())?;
            Ok((typed, tried))
        })?;
        let leaf = match tried {
            Ok(leaf) => leaf,
            Err(why) => return Ok(Err(why)),
        };
        let password = match typed {
            Some(typed) => Some(self.keep(config, &typed, secrets)?),
            None => None,
        };
        Ok(Ok((Certificate::Pfx { file, password }, leaf)))
    }

    /// The file for a PFX's password.
    fn keep(
        &self,
        config: &Path,
        password: &SecretString,
        secrets: &mut Secrets,
    ) -> Result<PathBuf, String> {
        let file = answers::beside(config, "certificate.password");
        if !self.force && files::is_there(&file) {
            return Err(format!(
                "{} is there already: name it with --password-file, or replace it with --force. Nothing was written",
                file.display()
            ));
        }
        // The one of a PFX that was refused after it had been opened.
        secrets.retain(|(path, _)| *path != file);
        secrets.push((file.clone(), password.expose_secret().into()));
        Ok(file)
    }
}

/// What another key or password could mend is asked for again; for the rest another certificate is.
fn judged(
    loaded: Result<Leaf, Vec<Finding>>,
    kind: CertificateFile,
) -> Result<Tried<Leaf>, String> {
    let found = match loaded {
        Ok(leaf) => return Ok(Ok(leaf)),
        Err(found) => found,
    };
    match found
        .iter()
        .find(|one| !leaf::is_asked_for_later(one, kind))
    {
        Some(fault) => Ok(Err(leaf::words(fault))),
        None => Err(found
            .first()
            .map_or_else(String::new, |fault| mended(fault, kind))),
    }
}

/// Why a key or a password is none. The judges speak to whoever writes the configuration.
fn mended(fault: &Finding, kind: CertificateFile) -> String {
    match (fault.code, kind) {
        ("password_needed", CertificateFile::Pfx) => format!("{}: write it", fault.what),
        ("password_needed", CertificateFile::Pem { .. }) => format!(
            "{}; name a key without one, or a PFX, or write `password` into the configuration later and \
             begin with a certificate for trying out",
            fault.what
        ),
        _ => leaf::words(fault),
    }
}
