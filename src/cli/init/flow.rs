//! Which questions are asked, and in which order.

use std::path::{Path, PathBuf};

use super::answers::{self, Allowed, Answers, Certificate, CertificateFile, Make, Provider};
use super::ask::Console;
use super::questions;
use super::{Init, Secrets, files};
use crate::model::Preset;

impl Init {
    /// The flags that have no default and are not there.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let has_provider = self.provider.is_some() || self.issuer.is_some();
        let made = self.provider.as_deref().map(answers::provider);
        let wants_issuer = matches!(made, Some(Ok(Make::With(_)))) && self.issuer.is_none();
        let wants_tenant = matches!(made, Some(Ok(Make::Entra))) && self.tenant.is_none();
        [
            (self.domain.is_none(), "--domain DOMAIN"),
            (
                self.certificate.is_none() && !self.self_signed,
                "--certificate FILE or --self-signed",
            ),
            (!has_provider, "--provider NAME or --issuer URL"),
            (wants_tenant, "--tenant ID"),
            (wants_issuer, "--issuer URL"),
            (self.client_id.is_none(), "--client-id ID"),
            (self.allow.is_empty(), "--allow WHO"),
            (self.app.is_none(), "--app NAME=URL"),
        ]
        .into_iter()
        .filter_map(|(is_missing, flag)| is_missing.then_some(flag))
        .collect()
    }

    /// Asks everything that no flag answers.
    pub(super) fn answers(
        &self,
        console: &mut Console<'_>,
        file: PathBuf,
    ) -> Result<(Answers, Secrets), String> {
        let mut secrets = Secrets::new();
        let domain = self.domain.as_deref();
        let domain = console.ask(questions::DOMAIN, domain, None, answers::domain)?;
        let usual = format!("gw.{domain}:443");
        let public = self.public.as_deref();
        let public = console.ask(questions::PUBLIC, public, Some(&usual), answers::endpoint)?;
        let certificate = self.certificate(console, &file, domain.name(), &mut secrets)?;
        let provider = self.provider(console)?;
        let client_secret = self.client_secret(console, &file, &mut secrets)?;
        let usual = format!("login.{domain}");
        let sign_in = self.sign_in.as_deref();
        let sign_in = console.ask(questions::SIGN_IN, sign_in, Some(&usual), answers::host)?;
        let allow = self.allowed(console, provider.preset)?;
        let (application, internal) = match &self.app {
            Some(given) => console.ask(
                questions::APPLICATION,
                Some(given),
                None,
                answers::named_application,
            )?,
            None => (
                console.ask(questions::APPLICATION, None, None, answers::application)?,
                console.ask(questions::INTERNAL, None, None, answers::internal)?,
            ),
        };
        let usual = format!("{application}.{domain}");
        let external = self.external.as_deref();
        let external = console.ask(questions::EXTERNAL, external, Some(&usual), |text| {
            answers::external(text, &sign_in)
        })?;
        let answers = Answers {
            file,
            domain,
            public,
            certificate,
            provider,
            client_secret,
            sign_in,
            allow,
            application,
            internal,
            external,
        };
        Ok((answers, secrets))
    }

    fn certificate(
        &self,
        console: &mut Console<'_>,
        config: &Path,
        domain: Option<&str>,
        secrets: &mut Secrets,
    ) -> Result<Certificate, String> {
        let at = |end| answers::beside(config, &format!("{}.{end}", domain.unwrap_or("trial")));
        let (chain, key) = (at("pem"), at("key"));
        let replace = self.force;
        let given = self
            .certificate
            .as_deref()
            .or_else(|| self.self_signed.then_some(""));
        let named = console.ask(questions::CERTIFICATE, given, Some(""), |text| {
            if !text.is_empty() {
                return answers::certificate(text).map(Some);
            }
            match [&chain, &key]
                .into_iter()
                .find(|file| files::is_there(file))
            {
                Some(file) if !replace => Err(files::exists(file)),
                _ => Ok(None),
            }
        })?;
        Ok(match named {
            None => Certificate::Trial { chain, key },
            Some((chain, CertificateFile::Pem { has_key })) => {
                if self.password_file.is_some() {
                    return Err(
                        "--password-file is for a PFX, and the certificate is PEM".to_owned()
                    );
                }
                let usual = match has_key {
                    true => chain.clone(),
                    false => chain.with_extension("key"),
                };
                let usual = usual.to_string_lossy();
                let key = self.key.as_deref();
                let key = console.ask(questions::KEY, key, Some(&usual), answers::existing)?;
                Certificate::Pem { chain, key }
            }
            Some((file, CertificateFile::Pfx)) => {
                if self.key.is_some() {
                    return Err("--key is for PEM, and the certificate is a PFX".to_owned());
                }
                let password = self.password(console, config, secrets)?;
                Certificate::Pfx { file, password }
            }
        })
    }

    /// The file of a PFX's password: the one that is named, or one for what is typed.
    fn password(
        &self,
        console: &mut Console<'_>,
        config: &Path,
        secrets: &mut Secrets,
    ) -> Result<Option<PathBuf>, String> {
        if let Some(given) = self.password_file.as_deref() {
            let file = console.ask(questions::PASSWORD, Some(given), None, answers::existing)?;
            return Ok(Some(file));
        }
        let Some(password) = console.ask_secret(questions::PASSWORD)? else {
            return Ok(None);
        };
        let file = answers::beside(config, "certificate.password");
        if !self.force && files::is_there(&file) {
            return Err(format!(
                "{} is there already: name it with --password-file, or replace it with --force. Nothing was written",
                file.display()
            ));
        }
        secrets.push((file.clone(), password));
        Ok(Some(file))
    }

    fn provider(&self, console: &mut Console<'_>) -> Result<Provider, String> {
        let given = self.provider.as_deref().or(self.issuer.as_deref());
        let make = console.ask(questions::PROVIDER, given, None, answers::provider)?;
        let (tenant, issuer) = (self.tenant.as_deref(), self.issuer.as_deref());
        if tenant.is_some() && make != Make::Entra {
            return Err("--tenant is for --provider entra".to_owned());
        }
        let fixed = matches!(make, Make::Entra | Make::Google);
        if fixed && issuer.is_some() {
            return Err("--issuer: this provider's is known; leave it out".to_owned());
        }
        let (preset, issuer) = match make {
            Make::Entra => {
                let issuer = console.ask(questions::TENANT, tenant, None, answers::tenant)?;
                (Some(Preset::Entra), issuer)
            }
            Make::Google => (Some(Preset::Google), answers::GOOGLE.to_owned()),
            Make::With(preset) => {
                let issuer = console.ask(questions::ISSUER, issuer, None, answers::issuer)?;
                (Some(preset), issuer)
            }
            Make::Other(written) => match issuer {
                Some(issuer) if issuer != written => {
                    return Err("--provider and --issuer name two issuers".to_owned());
                }
                _ => (None, written),
            },
        };
        let client_id = self.client_id.as_deref();
        let client_id = console.ask(questions::CLIENT_ID, client_id, None, answers::client_id)?;
        Ok(Provider {
            preset,
            issuer,
            client_id,
        })
    }

    /// The file of the client secret; what is in one that is there stays.
    fn client_secret(
        &self,
        console: &mut Console<'_>,
        config: &Path,
        secrets: &mut Secrets,
    ) -> Result<PathBuf, String> {
        let usual = answers::beside(config, "oidc.secret");
        let usual = usual.to_string_lossy();
        let given = self.client_secret_file.as_deref();
        let file = console.ask(questions::SECRET_FILE, given, Some(&usual), answers::path)?;
        if !files::is_there(&file)
            && let Some(secret) = console.ask_secret(questions::SECRET)?
        {
            secrets.push((file.clone(), secret));
        }
        Ok(file)
    }

    fn allowed(
        &self,
        console: &mut Console<'_>,
        preset: Option<Preset>,
    ) -> Result<Vec<Allowed>, String> {
        let check = |text: &str| answers::allowed(text, preset);
        if self.allow.is_empty() {
            return console.ask(questions::ALLOW, None, None, check);
        }
        let mut all = Vec::new();
        for given in &self.allow {
            all.extend(console.ask(questions::ALLOW, Some(given), None, check)?);
        }
        Ok(all)
    }
}
