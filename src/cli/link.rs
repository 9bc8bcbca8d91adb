//! `appproxy gateway session create`: a way in without the identity provider.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use secrecy::ExposeSecret as _;

use crate::auth::assertion::Kept;
use crate::auth::{
    Device, HandOver, Identity, LINK_CLAIM, NewSession, NonceHash, SessionHost, SessionSettings,
    Sessions, SignIn, might_allow,
};
use crate::clock::Clock;
use crate::config::GATEWAY_FILE;
use crate::config::{GatewayConfig, IdentityProvider};
use crate::gateway::LINK_PATH;
use crate::model::{
    Application, ApplicationName, ExternalUrl, Host, HostPattern, Person, PersonKey,
};
use crate::store::Store;

/// How long a link waits to be opened.
const LINK_LIVES: Duration = Duration::from_secs(600);

/// The longest session of a link.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// `gateway session create`.
#[derive(Debug, clap::Args)]
pub(super) struct SessionCreate {
    /// Who it is to be: what the identity provider calls the person (SUBJECT of the list).
    #[arg(long, value_name = "SUBJECT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    user: String,
    /// The only application it opens.
    #[arg(long, value_name = "NAME", value_parser = ApplicationName::new)]
    app: ApplicationName,
    /// A group the person is to be in; may be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// The identity provider in whose name, where there are several.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// How long it lasts, 24h at most.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = super::token::ttl)]
    ttl: Duration,
    /// Why, for the log.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE", default_value = GATEWAY_FILE)]
    pub(super) config: PathBuf,
}

impl SessionCreate {
    /// Whom it is for, where and why.
    pub(super) fn about(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or("no reason given");
        format!("{} at {}: {reason}", self.user, self.app)
    }

    /// Makes the session, and prints the link that opens it once.
    ///
    /// # Errors
    /// In words for the person who typed it.
    pub(super) async fn run(
        &self,
        store: Arc<dyn Store>,
        config: &GatewayConfig,
        clock: &Clock,
        out: &mut dyn Write,
        hints: &mut dyn Write,
    ) -> anyhow::Result<()> {
        if self.ttl > LONGEST || self.ttl.is_zero() {
            bail!("--ttl is 24h at most");
        }
        let application = self.application(config)?;
        let (url, host) = place(application)?;
        let provider = provider_named(config, self.provider.as_deref())?;
        let settings = SessionSettings {
            idle: self.ttl,
            absolute: self.ttl,
            ..SessionSettings::default()
        };
        let sessions = Sessions::open(store, clock.clone(), settings).await?;
        let began = sessions.mark();
        let new = NewSession {
            // Nobody is given its ticket: it opens nothing by itself, and no other application.
            host: SessionHost::of(url, host),
            sign_in: self.sign_in(provider, clock),
            device: Device {
                user_agent: "appproxy gateway session create".to_owned(),
                address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            },
            began,
        };
        let (_, session) = sessions.create(new).await?;
        if !might_allow(&Identity::Session(Arc::clone(&session)), application) {
            sessions.revoke(session.id()).await?;
            bail!(
                "`access` of `{}` does not let `{}` in: name a group that it allows with --group",
                self.app,
                self.user
            );
        }
        let home = application.front.home.as_deref();
        let hand_over = HandOver {
            to: SessionHost::of(url, host),
            nonce: NonceHash::of_link(),
            target: home.unwrap_or(url.path.as_str()).to_owned(),
        };
        let lives = LINK_LIVES.min(self.ttl);
        let code = sessions.mint_code(&session, hand_over, lives).await?;
        let origin = SessionHost::of(url, host);
        writeln!(out, "{origin}{LINK_PATH}?code={}", code.expose_secret())?;
        writeln!(
            hints,
            "Whoever opens this link first, within {} minutes, is `{}` at `{}` for {}. The gateway \
             will log it as a warning. To end it: appproxy gateway session revoke {}",
            lives.as_secs().div_ceil(60),
            self.user,
            self.app,
            humantime(self.ttl),
            session.id()
        )?;
        Ok(())
    }

    fn application<'a>(&self, config: &'a GatewayConfig) -> anyhow::Result<&'a Arc<Application>> {
        let mut all = config.applications.iter();
        let found = all.find(|application| application.name == self.app);
        let found = found.with_context(|| {
            let names = config.applications.iter().filter(|one| one.signs_in());
            let names: Vec<_> = names.map(|one| one.name.as_str()).collect();
            format!(
                "there is no application `{}`; people sign in to: {}",
                self.app,
                names.join(", ")
            )
        })?;
        if !found.signs_in() {
            bail!("nobody signs in to `{}`: it needs no session", self.app);
        }
        Ok(found)
    }

    fn sign_in(&self, provider: &IdentityProvider, clock: &Clock) -> SignIn {
        let variable = |name| std::env::var(name).ok();
        let by = variable("SUDO_USER").or_else(|| variable("USER"));
        let mut claims = serde_json::Map::new();
        let made = serde_json::json!({
            "application": self.app.as_str(),
            "by": by,
            "reason": self.reason,
        });
        claims.insert(LINK_CLAIM.to_owned(), made);
        SignIn {
            person: person_named(provider, &self.user, &self.groups, claims),
            issuer: provider.some_issuer().to_string(),
            subject: self.user.clone(),
            sid: None,
            id_token: None,
            refresh_token: None,
            access_token: None,
            auth_time: None,
            acr: None,
            amr: Vec::new(),
            checked: clock.now(),
            fresh_until: None,
            asserted: Kept::default(),
        }
    }
}

/// Where an application is opened.
fn place(application: &Application) -> anyhow::Result<(&ExternalUrl, &Host)> {
    match &application.external.host {
        HostPattern::Exact(host) => Ok((&application.external, host)),
        HostPattern::Wildcard { .. } => bail!(
            "`{}` has a wildcard in its external URL, and a session belongs to one host",
            application.name
        ),
    }
}

/// Such as `1h 30m`.
fn humantime(duration: Duration) -> String {
    let minutes = duration.as_secs().div_ceil(60);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes}m"),
        (hours, 0) => format!("{hours}h"),
        (hours, minutes) => format!("{hours}h {minutes}m"),
    }
}

/// The identity provider of a name, or the only one.
pub(super) fn provider_named<'a>(
    config: &'a GatewayConfig,
    name: Option<&str>,
) -> anyhow::Result<&'a IdentityProvider> {
    let all = &config.identity_providers;
    let names = || {
        let names = all.iter().map(|provider| provider.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let found = match (name, &all[..]) {
        (Some(name), _) => {
            let found = all.iter().find(|provider| provider.name.as_str() == name);
            found.with_context(|| {
                format!("there is no identity provider `{name}`, but: {}", names())
            })
        }
        (None, [only]) => Ok(only),
        (None, _) => bail!("name one with --provider: {}", names()),
    };
    found.map(|provider| &**provider)
}

/// Somebody as an operator describes them.
pub(super) fn person_named(
    provider: &IdentityProvider,
    user: &str,
    groups: &[String],
    claims: serde_json::Map<String, serde_json::Value>,
) -> Person {
    let mut groups: Vec<Arc<str>> = groups.iter().map(|group| group.as_str().into()).collect();
    groups.sort_unstable();
    groups.dedup();
    Person {
        key: PersonKey {
            authority: provider.some_issuer(),
            subject: user.into(),
        },
        provider: provider.name.as_str().into(),
        name: None,
        email: None,
        groups: groups.into(),
        claims,
    }
}
