//! Which questions are asked, and in which order.

use std::path::{Path, PathBuf};

use super::answers::{self, Allowed, Answers, Guard, Make, Provider, SignIn};
use super::ask::Console;
use super::leaf::Leaf;
use super::questions;
use super::{Init, Secrets, files, secret, trial};
use crate::clock::Timestamp;
use crate::model::{Host, Preset};

impl Init {
    /// The flags that have no default and are not there.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let has_provider = self.provider.is_some() || self.issuer.is_some();
        let made = self.provider.as_deref().map(answers::provider);
        let wants_issuer = matches!(made, Some(Ok(Make::With(_)))) && self.issuer.is_none();
        let wants_tenant = matches!(made, Some(Ok(Make::Entra))) && self.tenant.is_none();
        let signs_in = !matches!(made, Some(Ok(Make::Nobody)));
        [
            (self.domain.is_none(), "--domain DOMAIN"),
            (
                self.certificate.is_none() && !self.self_signed,
                "--certificate FILE or --self-signed",
            ),
            (!has_provider, "--provider NAME or --issuer URL"),
            (wants_tenant, "--tenant ID"),
            (wants_issuer, "--issuer URL"),
            (signs_in && self.client_id.is_none(), "--client-id ID"),
            (signs_in && self.allow.is_empty(), "--allow WHO"),
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
        now: Timestamp,
    ) -> Result<(Answers, Secrets), String> {
        let mut secrets = Secrets::new();
        let domain = self.domain.as_deref();
        let domain = console.ask(questions::DOMAIN, domain, None, |text| {
            let domain = answers::domain(text)?;
            // With a certificate of one's own that is what decides.
            match self.certificate {
                Some(_) => Ok(domain),
                None => trial::fits(&domain, now).map(|()| domain),
            }
        })?;
        let usual = format!("gw.{domain}:443");
        let public = self.public.as_deref();
        let public = console.ask(questions::PUBLIC, public, Some(&usual), answers::endpoint)?;
        let people = match self.provider(console)? {
            Some(provider) => {
                let client_secret = self.client_secret(console, &file, &mut secrets)?;
                Some((provider, client_secret))
            }
            None => None,
        };
        let wanted = self.wanted(&domain, people.is_some());
        let (certificate, leaf) = self.certificate(console, &file, &wanted, &mut secrets, now)?;
        let leaf = leaf.as_ref();
        let guard = self.guard(console, &domain, people, leaf)?;
        let sign_in = match &guard {
            Guard::SignIn(sign_in) => Some(&sign_in.host),
            Guard::Networks(_) => None,
        };
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
            covered(leaf, answers::external(text, sign_in)?)
        })?;
        let answers = Answers {
            file,
            domain,
            public,
            certificate,
            guard,
            application,
            internal,
            external,
        };
        Ok((answers, secrets))
    }

    /// Where people sign in and who may, or from where.
    fn guard(
        &self,
        console: &mut Console<'_>,
        domain: &Host,
        people: Option<(Provider, PathBuf)>,
        leaf: Option<&Leaf>,
    ) -> Result<Guard, String> {
        let Some((provider, client_secret)) = people else {
            let (given, usual) = (self.networks.as_deref(), answers::PRIVATE);
            let check = answers::networks;
            let networks = console.ask(questions::NETWORKS, given, Some(usual), check)?;
            return Ok(Guard::Networks(networks));
        };
        let usual = format!("login.{domain}");
        let host = self.sign_in.as_deref();
        let host = console.ask(questions::SIGN_IN, host, Some(&usual), |text| {
            covered(leaf, answers::host(text)?)
        })?;
        let allow = self.allowed(console, provider.preset)?;
        Ok(Guard::SignIn(SignIn {
            provider,
            client_secret,
            host,
            allow,
        }))
    }

    /// `None` where nobody is to sign in.
    fn provider(&self, console: &mut Console<'_>) -> Result<Option<Provider>, String> {
        let given = self.provider.as_deref().or(self.issuer.as_deref());
        let make = console.ask(questions::PROVIDER, given, None, answers::provider)?;
        if make == Make::Nobody {
            return self.without_sign_in().map(|()| None);
        }
        if self.networks.is_some() {
            return Err("--networks is for --provider none".to_owned());
        }
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
            // Answered above.
            Make::Nobody => return Ok(None),
        };
        let client_id = self.client_id.as_deref();
        let client_id = console.ask(questions::CLIENT_ID, client_id, None, answers::client_id)?;
        Ok(Some(Provider {
            preset,
            issuer,
            client_id,
        }))
    }

    /// Whoever says who may sign in means somebody to: what nobody would ask for is not left out unsaid.
    fn without_sign_in(&self) -> Result<(), String> {
        let given = [
            ("tenant", self.tenant.is_some()),
            ("issuer", self.issuer.is_some()),
            ("client-id", self.client_id.is_some()),
            ("client-secret-file", self.client_secret_file.is_some()),
            ("sign-in", self.sign_in.is_some()),
            ("allow", !self.allow.is_empty()),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => Err(format!(
                "--{flag} is about people who sign in, and without a provider nobody does: leave it out; \
                 --networks says who may come in"
            )),
            None => Ok(()),
        }
    }

    /// The file of the client secret. The secret comes first: somebody who has just copied it pastes it
    /// at the first question that speaks of it. What is in a file that is there stays, unless another
    /// secret is typed and may replace it.
    fn client_secret(
        &self,
        console: &mut Console<'_>,
        config: &Path,
        secrets: &mut Secrets,
    ) -> Result<PathBuf, String> {
        if let Some(given) = self.client_secret_file.as_deref() {
            let check = secret::file;
            let file = console.ask(questions::SECRET_FILE, Some(given), None, check)?;
            if !files::is_there(&file)
                && let Some(secret) = console.ask_secret(questions::SECRET, secret::typed)?
            {
                secrets.push((file.clone(), secret));
            }
            return Ok(file);
        }
        let secret = console.ask_secret(questions::SECRET, secret::typed)?;
        let keeps = secret.is_some() && !self.force;
        let usual = answers::beside(config, "oidc.secret");
        let usual = usual.to_string_lossy();
        let file = console.ask(questions::SECRET_FILE, None, Some(&usual), |text| {
            let file = secret::file(text)?;
            match keeps && files::is_there(&file) {
                true => Err(format!(
                    "{} is there already, and what you typed would replace what is in it: name another, \
                     or begin again with --force",
                    file.display()
                )),
                false => Ok(file),
            }
        })?;
        secrets.extend(secret.map(|secret| (file.clone(), secret)));
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

/// A host that the certificate is for; one that is made for it is for every host.
fn covered(leaf: Option<&Leaf>, host: Host) -> Result<Host, String> {
    match leaf {
        Some(leaf) => leaf.covers(&host).map(|()| host),
        None => Ok(host),
    }
}
