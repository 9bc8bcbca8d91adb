//! `appproxy gateway service-token create|list|revoke`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use comfy_table::Table;

use super::token::ttl;
use crate::auth::service_token::ServiceTokenSecret;
use crate::clock::{Clock, Timestamp};
use crate::config::GATEWAY_FILE;
use crate::config::GatewayConfig;
use crate::model::{ApplicationName, PathRule, PreAuthentication, ServiceTokenName};
use crate::store::{NewServiceToken, ServiceTokenRecord, Store};

/// The verbs of `gateway service-token`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum ServiceTokenCommand {
    /// Make a token with which a program reaches applications; prints it and nothing else.
    Create(Create),
    /// List the tokens, newest first; their secrets are not kept.
    List(List),
    /// Make tokens worthless, and cut what goes on by them.
    Revoke(Revoke),
}

/// `gateway service-token create`.
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// What rules know it by (`access: { allow: [{ token: NAME }] }`). Several tokens may have one name:
    /// so one is replaced by the next.
    #[arg(long, value_name = "NAME", value_parser = ServiceTokenName::new)]
    name: ServiceTokenName,
    /// An application that it is for; may be repeated.
    #[arg(long = "app", value_name = "NAME", value_parser = ApplicationName::new, required = true)]
    apps: Vec<ApplicationName>,
    /// A path that it is for, with all that is below it; may be repeated. Without it: every path.
    #[arg(long = "path", value_name = "PATH", value_parser = path)]
    paths: Vec<String>,
    /// How long it works, such as 12h, 30d; 365d at most.
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = ttl)]
    ttl: Duration,
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE", default_value = GATEWAY_FILE)]
    config: PathBuf,
}

/// `gateway service-token list`.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// For programs; all tokens, also those that were revoked or have expired.
    #[arg(long)]
    json: bool,
    /// Also those that were revoked or have expired.
    #[arg(long)]
    all: bool,
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE", default_value = GATEWAY_FILE)]
    config: PathBuf,
}

/// `gateway service-token revoke`.
#[derive(Debug, clap::Args)]
pub(super) struct Revoke {
    /// The token's identifier, as `service-token list` shows it, a name, for all tokens of that name, or the
    /// token itself.
    #[arg(value_name = "ID|NAME")]
    which: String,
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE", default_value = GATEWAY_FILE)]
    config: PathBuf,
}

fn path(text: &str) -> Result<String, String> {
    match PathRule::new(text) {
        Some(path) => Ok(path.as_str().to_owned()),
        None => Err(
            "write a path as the browser's address has it, such as /api/, without `%`, `;`, `?`, `#`, \
             empty or dot segments; leave --path out for every path"
                .to_owned(),
        ),
    }
}

impl ServiceTokenCommand {
    /// What it does that is recorded, and to what.
    pub(super) fn recorded(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Create(args) => {
                let apps: Vec<_> = args.apps.iter().map(|one| one.as_str()).collect();
                let mut about = format!("{} for {}", args.name, apps.join(", "));
                if !args.paths.is_empty() {
                    about.push_str(&format!(" at {}", args.paths.join(", ")));
                }
                Some(("service_token_created", about))
            }
            Self::Revoke(args) => Some((
                "service_token_revoked",
                ServiceTokenSecret::id_of(&args.which),
            )),
            Self::List(_) => None,
        }
    }

    /// The configuration to load.
    #[must_use]
    pub(super) fn config(&self) -> &Path {
        match self {
            Self::Create(args) => &args.config,
            Self::List(args) => &args.config,
            Self::Revoke(args) => &args.config,
        }
    }

    /// Runs the verb on a gateway's store; running gateways on it learn of it by its change log.
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
        match self {
            Self::Create(args) => create(args, &*store, config, clock.now(), out, hints).await,
            Self::List(args) => {
                let tokens = store.service_tokens().await?;
                match args.json {
                    true => json(&tokens, clock.now(), out),
                    false => table(&tokens, args.all, clock.now(), out),
                }
            }
            Self::Revoke(args) => {
                let which = &ServiceTokenSecret::id_of(&args.which);
                match store.revoke_service_tokens(which, clock.now()).await? {
                    0 => bail!(
                        "there is no service token `{which}` that could end: `appproxy gateway \
                         service-token list` shows them"
                    ),
                    many => writeln!(
                        hints,
                        "{many} service token(s) are worthless from now on; what goes on by them is cut \
                         at once."
                    )?,
                }
                Ok(())
            }
        }
    }
}

async fn create(
    args: &Create,
    store: &dyn Store,
    config: &GatewayConfig,
    now: Timestamp,
    out: &mut dyn Write,
    hints: &mut dyn Write,
) -> anyhow::Result<()> {
    let (mut missing, mut example) = (Vec::new(), None);
    for name in &args.apps {
        let known = config.applications.iter().find(|one| one.name == *name);
        let Some(application) = known else {
            let names: Vec<_> = config
                .applications
                .iter()
                .map(|one| one.name.as_str())
                .collect();
            bail!(
                "there is no application `{name}`: there are {}",
                names.join(", ")
            );
        };
        let published = application.external.path.as_str();
        let paths = args.paths.iter().filter_map(|path| PathRule::new(path));
        for path in paths {
            if !path.is_inside(published) && !path.covers(published.trim_end_matches('/')) {
                let path = path.as_str();
                bail!("`{path}` is nowhere in `{name}`: it is published below `{published}`");
            }
        }
        // It may be written before the configuration is, so it is said and no error.
        let takes = application.guards().any(|guard| {
            guard.has(PreAuthentication::ServiceToken)
                && guard.access.allow.iter().any(|rule| {
                    let named = rule.condition.service_tokens();
                    named.iter().any(|one| ***one == *args.name.as_str())
                })
        });
        if !takes {
            missing.push(name.as_str());
        }
        example.get_or_insert_with(|| {
            let path = args.paths.first();
            let path = path.map_or(application.external.path.as_str(), |path| path);
            let host = application.external.to_string();
            let host = host.trim_end_matches(application.external.path.as_str());
            format!("{}{path}", host.trim_end_matches('/'))
        });
    }
    let secret = ServiceTokenSecret::new()?;
    let id = secret.id();
    let new = NewServiceToken {
        id: id.clone(),
        name: args.name.as_str().to_owned(),
        secret_hash: secret.hash(),
        applications: args.apps.clone(),
        paths: args.paths.clone(),
        created: now,
        expires: now.plus(args.ttl),
    };
    let expires = new.expires;
    let stored = store.create_service_token(new).await;
    stored.context("the token was not stored, so it was not printed")?;
    writeln!(out, "{}", *secret.encode())?;
    out.flush()?;
    writeln!(
        hints,
        "Service token {id} ({}) until {}. It is shown once. A program sends it so:\n  curl -H \
         \"Appproxy-Authorization: Bearer $TOKEN\" {}",
        args.name,
        expires.to_rfc3339(),
        example.unwrap_or_default()
    )?;
    if !missing.is_empty() {
        writeln!(
            hints,
            "It opens nothing yet at {}: write `service_token` into `pre_authentication` there, and \
             `{{ token: {} }}` into `access.allow`.",
            missing.join(", "),
            args.name
        )?;
    }
    Ok(())
}

fn state(token: &ServiceTokenRecord, now: Timestamp) -> &'static str {
    match () {
        () if token.revoked.is_some() => "revoked",
        () if now >= token.expires => "expired",
        () => "valid",
    }
}

fn json(tokens: &[ServiceTokenRecord], now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let tokens: Vec<_> = tokens
        .iter()
        .map(|token| {
            let apps: Vec<_> = token.applications.iter().map(|one| one.as_str()).collect();
            serde_json::json!({
                "id": token.id,
                "name": token.name,
                "state": state(token, now),
                "applications": apps,
                "paths": token.paths,
                "created": token.created.to_rfc3339(),
                "expires": token.expires.to_rfc3339(),
                "revoked": token.revoked.map(Timestamp::to_rfc3339),
                "last_used": token.last_used.map(Timestamp::to_rfc3339),
            })
        })
        .collect();
    writeln!(out, "{:#}", serde_json::Value::from(tokens))?;
    Ok(())
}

fn table(
    tokens: &[ServiceTokenRecord],
    all: bool,
    now: Timestamp,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "ID",
        "NAME",
        "STATE",
        "APPLICATIONS",
        "PATHS",
        "EXPIRES",
        "LAST USED",
    ]);
    let listed = tokens
        .iter()
        .filter(|token| all || state(token, now) == "valid");
    for token in listed {
        let apps: Vec<_> = token.applications.iter().map(|one| one.as_str()).collect();
        table.add_row([
            token.id.clone(),
            token.name.clone(),
            state(token, now).to_owned(),
            apps.join(" "),
            match token.paths.is_empty() {
                true => "all".to_owned(),
                false => token.paths.join(" "),
            },
            token.expires.to_rfc3339(),
            token
                .last_used
                .map_or_else(|| "never".to_owned(), Timestamp::to_rfc3339),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Memory;
    use crate::store::ServiceTokenStore as _;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn config() -> GatewayConfig {
        let text = "
version: 1
kind: gateway
listen: { https: ['[::]:443'] }
store: sqlite:x
certificates: [{ chain: a, key: b }]
applications:
  - { name: wiki, external_url: 'https://w.example.com/', internal_url: 'http://w.corp/', pre_authentication: [passthrough], paths: [ { path: /api/, pre_authentication: [service_token], access: { allow: [ { token: ci } ] } } ] }
  - { name: crm, external_url: 'https://c.example.com/crm/', internal_url: 'http://c.corp/crm/', pre_authentication: [passthrough] }
";
        GatewayConfig::from_text(Path::new("gateway.yaml"), text).unwrap()
    }

    async fn run(store: &Arc<Memory>, words: &[&str]) -> anyhow::Result<(String, String)> {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(subcommand)]
            command: ServiceTokenCommand,
        }
        let words = std::iter::once("x").chain(words.iter().copied());
        let Cli { command } = clap::Parser::try_parse_from(words)?;
        let (mut out, mut hints) = (Vec::new(), Vec::new());
        let store = Arc::clone(store) as Arc<dyn Store>;
        let (config, clock) = (config(), Clock::manual(NOW));
        let run = command.run(store, &config, &clock, &mut out, &mut hints);
        run.await?;
        Ok((String::from_utf8(out)?, String::from_utf8(hints)?))
    }

    #[tokio::test]
    async fn a_service_token_is_printed_alone_listed_and_revoked() {
        let store = Arc::new(Memory::default());
        let words = ["create", "--name", "ci", "--app", "wiki", "--path", "/api/"];
        let (out, hints) = run(&store, &words).await.unwrap();
        let secret = ServiceTokenSecret::parse(out.trim_end()).unwrap();
        assert_eq!(out.lines().count(), 1);
        assert!(!hints.contains(out.trim_end()));
        let said = format!(
            "Service token {} (ci) until 2027-04-15T08:00:00Z. It is shown once. A program sends it \
             so:\n  curl -H \"Appproxy-Authorization: Bearer $TOKEN\" https://w.example.com/api\n",
            secret.id()
        );
        assert_eq!(hints, said);
        let both = ["create", "--name", "ci", "--app", "wiki", "--app", "crm"];
        let (other, hints) = run(&store, &both).await.unwrap();
        assert!(
            hints.ends_with(
                "It opens nothing yet at crm: write `service_token` into `pre_authentication` there, and \
                 `{ token: ci }` into `access.allow`.\n"
            ),
            "{hints}"
        );
        let (listed, _) = run(&store, &["list"]).await.unwrap();
        for part in [
            &*secret.id(),
            "ci",
            "valid",
            "wiki crm",
            "all",
            "/api",
            "never",
        ] {
            assert!(listed.contains(part), "{part}: {listed}");
        }
        assert!(!listed.contains(&out.trim_end()[6..]));
        let none = run(&store, &["revoke", "backup"]).await.unwrap_err();
        assert!(
            none.to_string().contains("no service token `backup`"),
            "{none}"
        );
        // What was pasted is never repeated.
        let cut = &other.trim_end()[..30];
        let none = run(&store, &["revoke", cut]).await.unwrap_err().to_string();
        assert!(none.contains("`(a part of a token)`"), "{none}");
        let (_, hints) = run(&store, &["revoke", other.trim_end()]).await.unwrap();
        assert!(hints.starts_with("1 service token(s)"), "{hints}");
        run(&store, &["revoke", "ci"]).await.unwrap();
        let (listed, _) = run(&store, &["list"]).await.unwrap();
        assert_eq!(listed.lines().count(), 1, "{listed}");
        let (listed, _) = run(&store, &["list", "--json"]).await.unwrap();
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed[1]["state"], "revoked");
        assert_eq!(listed[1]["paths"], serde_json::json!(["/api"]));
    }

    #[tokio::test]
    async fn what_is_no_token_is_refused() {
        let store = Arc::new(Memory::default());
        for (words, expected) in [
            (
                &["create", "--name", "ci", "--app", "none"][..],
                "there is no application `none`: there are wiki, crm",
            ),
            (
                &["create", "--name", "CI", "--app", "wiki"],
                "cannot stand here",
            ),
            (&["create", "--name", "ci"], "--app"),
            (&["create", "--app", "wiki"], "--name"),
            (
                &["create", "--name", "ci", "--app", "wiki", "--path", "/"],
                "such as /api/",
            ),
            (
                &["create", "--name", "ci", "--app", "wiki", "--path", "/%61"],
                "such as /api/",
            ),
            (
                &["create", "--name", "ci", "--app", "crm", "--path", "/api/"],
                "`/api` is nowhere in `crm`: it is published below `/crm/`",
            ),
            (
                &["create", "--name", "ci", "--app", "wiki", "--ttl", "366d"],
                "365d",
            ),
        ] {
            let error = run(&store, words).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{words:?}: {error}");
        }
        assert!(store.service_tokens().await.unwrap().is_empty());
    }
}
