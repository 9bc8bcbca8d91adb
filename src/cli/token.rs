//! `appproxy gateway token create|list|revoke`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use comfy_table::Table;

use crate::clock::{Clock, Timestamp};
use crate::config::GATEWAY_FILE;
use crate::gateway::load_authorities;
use crate::model::{Endpoint, GroupName};
use crate::store::{NewToken, Store, TokenRecord};
use crate::tunnel::token::Token;

/// The verbs of `gateway token`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token with which connectors enrol; prints it and nothing else.
    Create(TokenCreate),
    /// List the tokens, newest first; their secrets are not kept.
    List(TokenList),
    /// Make a token worthless.
    Revoke(TokenRevoke),
}

/// `gateway token create`.
#[derive(Debug, clap::Args)]
pub(super) struct TokenCreate {
    /// The connector group its connectors join.
    #[arg(long, value_parser = GroupName::new)]
    pub group: GroupName,
    /// How long it works, such as 30m, 1h, 7d.
    #[arg(long, default_value = "1h", value_parser = ttl)]
    pub ttl: Duration,
    /// How many connectors it may enrol.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub uses: u32,
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE", default_value = GATEWAY_FILE)]
    pub config: PathBuf,
}

/// `gateway token list`.
#[derive(Debug, clap::Args)]
pub(super) struct TokenList {
    /// For programs.
    #[arg(long)]
    pub json: bool,
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE", default_value = GATEWAY_FILE)]
    pub config: PathBuf,
}

/// `gateway token revoke`.
#[derive(Debug, clap::Args)]
pub(super) struct TokenRevoke {
    /// The token's identifier, as `token list` shows it.
    pub id: String,
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE", default_value = GATEWAY_FILE)]
    pub config: PathBuf,
}

impl TokenCommand {
    /// What it does that is recorded, and to what.
    pub(super) fn recorded(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Create(args) => Some(("token_created", format!("group {}", args.group))),
            Self::Revoke(args) => Some(("token_revoked", args.id.clone())),
            Self::List(_) => None,
        }
    }

    /// The configuration to load.
    #[must_use]
    pub(super) fn config(&self) -> &std::path::Path {
        match self {
            Self::Create(args) => &args.config,
            Self::List(args) => &args.config,
            Self::Revoke(args) => &args.config,
        }
    }

    /// Runs the verb on the store of a gateway whose `listen.public` is `public`. What a program
    /// would read goes to `out`, hints for people to `hints`.
    ///
    /// # Errors
    /// In words for the person who typed it.
    pub(super) async fn run(
        &self,
        store: Arc<dyn Store>,
        public: &[Endpoint],
        clock: &Clock,
        out: &mut dyn Write,
        hints: &mut dyn Write,
    ) -> anyhow::Result<()> {
        match self {
            Self::Create(args) => create(args, &*store, public, clock.now(), out, hints).await,
            Self::List(args) => {
                let tokens = store.tokens().await?;
                list(&tokens, args.json, clock.now(), out)
            }
            Self::Revoke(args) => {
                if !store.revoke_token(&args.id, clock.now()).await? {
                    bail!(
                        "there is no token `{}`: `appproxy gateway token list` shows them",
                        args.id
                    );
                }
                writeln!(
                    hints,
                    "Token {} is worthless from now on. Connectors it enrolled stay; `appproxy gateway connector remove` removes one.",
                    args.id
                )?;
                Ok(())
            }
        }
    }
}

async fn create(
    args: &TokenCreate,
    store: &dyn Store,
    public: &[Endpoint],
    now: Timestamp,
    out: &mut dyn Write,
    hints: &mut dyn Write,
) -> anyhow::Result<()> {
    if public.is_empty() {
        bail!(
            "{} does not say where connectors dial this gateway: add its public address as `listen.public`, such as [\"gw1.example.com:443\"]",
            args.config.display()
        );
    }
    let authorities = load_authorities(store, now).await?;
    let token = Token::new(public.to_vec(), authorities.issuing().pin())?;
    let id = token.secret.id();
    let new = NewToken {
        id: id.clone(),
        secret_hash: token.secret.hash(),
        group: args.group.clone(),
        uses: args.uses,
        created: now,
        expires: now.plus(args.ttl),
    };
    let expires = new.expires;
    store
        .create_token(new)
        .await
        .context("the token was not stored, so it was not printed")?;
    writeln!(out, "{}", *token.encode())?;
    out.flush()?;
    writeln!(
        hints,
        "Token {id}: {} connector(s) of group {} until {}.\nOn the connector's host run `appproxy connector register` and paste it.",
        args.uses,
        args.group,
        expires.to_rfc3339()
    )?;
    Ok(())
}

fn list(
    tokens: &[TokenRecord],
    json: bool,
    now: Timestamp,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if json {
        let tokens: Vec<_> = tokens
            .iter()
            .map(|t| {
                serde_json::json!({
                    "id": t.id,
                    "group": t.group.as_str(),
                    "state": state(t, now),
                    "uses": t.uses,
                    "used": t.used,
                    "created": t.created.to_rfc3339(),
                    "expires": t.expires.to_rfc3339(),
                    "revoked": t.revoked.map(Timestamp::to_rfc3339),
                })
            })
            .collect();
        writeln!(out, "{:#}", serde_json::Value::from(tokens))?;
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["ID", "GROUP", "STATE", "USED", "CREATED", "EXPIRES"]);
    for t in tokens {
        table.add_row([
            t.id.clone(),
            t.group.to_string(),
            state(t, now).to_owned(),
            format!("{} of {}", t.used, t.uses),
            t.created.to_rfc3339(),
            t.expires.to_rfc3339(),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

fn state(token: &TokenRecord, now: Timestamp) -> &'static str {
    if token.revoked.is_some() {
        "revoked"
    } else if token.used >= token.uses {
        "spent"
    } else if now >= token.expires {
        "expired"
    } else {
        "valid"
    }
}

/// From a minute to a year, with its unit.
pub(super) fn ttl(text: &str) -> Result<Duration, String> {
    let unit = |suffix, seconds: u64| {
        let digits: &str = text.strip_suffix(suffix)?;
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse::<u64>().ok()?.checked_mul(seconds))?
    };
    unit('s', 1)
        .or_else(|| unit('m', 60))
        .or_else(|| unit('h', 3600))
        .or_else(|| unit('d', 86_400))
        .filter(|seconds| (60..=365 * 86_400).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| {
            "write a number with its unit, from 60s to 365d, such as 30m, 1h or 7d".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Memory;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    async fn run(command: TokenCommand, store: &Arc<Memory>) -> anyhow::Result<(String, String)> {
        let (mut out, mut hints) = (Vec::new(), Vec::new());
        let public = [Endpoint::parse("gw1.example.com:443").unwrap()];
        let store = Arc::clone(store) as Arc<dyn Store>;
        let clock = Clock::manual(NOW);
        command
            .run(store, &public, &clock, &mut out, &mut hints)
            .await?;
        Ok((String::from_utf8(out)?, String::from_utf8(hints)?))
    }

    fn create_args() -> TokenCreate {
        TokenCreate {
            group: GroupName::new("hq").unwrap(),
            ttl: Duration::from_secs(3600),
            uses: 2,
            config: GATEWAY_FILE.into(),
        }
    }

    #[tokio::test]
    async fn a_token_is_printed_alone_listed_and_revoked() {
        let store = Arc::new(Memory::default());
        let (out, hints) = run(TokenCommand::Create(create_args()), &store)
            .await
            .unwrap();
        let token = Token::parse(&out).unwrap();
        assert_eq!(out.lines().count(), 1);
        assert!(!hints.contains(out.trim()));
        let id = token.secret.id();
        assert!(hints.contains(&id), "{hints}");
        let pin = load_authorities(&*store, NOW).await.unwrap().pins()[0];
        assert_eq!(token.pin, pin);

        let list = |json| {
            TokenCommand::List(TokenList {
                json,
                config: GATEWAY_FILE.into(),
            })
        };
        let (table, _) = run(list(false), &store).await.unwrap();
        assert!(
            table.contains(&id) && table.contains("0 of 2") && table.contains("valid"),
            "{table}"
        );
        let revoke = |id: &str| {
            TokenCommand::Revoke(TokenRevoke {
                id: id.to_owned(),
                config: GATEWAY_FILE.into(),
            })
        };
        run(revoke(&id), &store).await.unwrap();
        let unknown = run(revoke("tnone"), &store).await.unwrap_err();
        assert!(unknown.to_string().contains("no token `tnone`"));
        let (json, _) = run(list(true), &store).await.unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json[0]["state"], "revoked");
        assert_eq!(json[0]["expires"], "2027-01-15T09:00:00Z");
    }

    #[tokio::test]
    async fn without_a_public_address_no_token_is_made() {
        let store = Arc::new(Memory::default());
        let (mut out, mut hints) = (Vec::new(), Vec::new());
        let result = TokenCommand::Create(create_args())
            .run(
                store.clone(),
                &[],
                &Clock::manual(NOW),
                &mut out,
                &mut hints,
            )
            .await;
        assert!(result.unwrap_err().to_string().contains("listen.public"));
        assert!(out.is_empty());
        assert!(store.tokens().await.unwrap().is_empty());
    }

    #[test]
    fn a_time_to_live_has_a_unit() {
        assert_eq!(ttl("90m"), Ok(Duration::from_secs(5400)));
        assert_eq!(ttl("365d"), Ok(Duration::from_secs(365 * 86_400)));
        for bad in [
            "",
            "1",
            "h",
            "59s",
            "366d",
            "-1h",
            "+1h",
            "1.5h",
            "99999999999999999999d",
        ] {
            assert!(ttl(bad).is_err(), "{bad}");
        }
    }
}
