//! `appproxy gateway session list|revoke|create`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use comfy_table::Table;

use super::link::SessionCreate;
use crate::auth::{Listed, SessionSettings, Sessions};
use crate::clock::{Clock, Timestamp};
use crate::config::GATEWAY_FILE;
use crate::config::GatewayConfig;
use crate::model::SessionId;
use crate::store::Store;
use crate::telemetry::printable;

/// The longest part of anything that a provider or a browser wrote which is shown in a table.
const SHOWN: usize = 60;

/// The verbs of `gateway session`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum SessionCommand {
    /// List who is signed in, the newest first; with --all, also at which applications.
    List(SessionList),
    /// End sessions for good, and all that goes on by them.
    Revoke(SessionRevoke),
    /// Print a link that signs somebody in once, to one application, while the identity provider is
    /// down.
    Create(SessionCreate),
}

/// `gateway session list`.
#[derive(Debug, clap::Args)]
pub(super) struct SessionList {
    /// For programs; all sessions, also those that were revoked.
    #[arg(long)]
    json: bool,
    /// Also the sessions at the hosts of applications.
    #[arg(long)]
    all: bool,
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE", default_value = GATEWAY_FILE)]
    config: PathBuf,
}

/// `gateway session revoke`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whose").required(true))]
pub(super) struct SessionRevoke {
    /// The session, as `session list` shows it; with it end those below it.
    #[arg(group = "whose", value_parser = SessionId::new)]
    id: Option<SessionId>,
    /// All sessions of a person, by what the identity provider calls them (SUBJECT of the list).
    #[arg(long, value_name = "SUBJECT", group = "whose")]
    user: Option<String>,
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE", default_value = GATEWAY_FILE)]
    config: PathBuf,
}

impl SessionCommand {
    /// What it does that is recorded, and to what.
    pub(super) fn recorded(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Create(args) => Some(("link_created", args.about())),
            Self::Revoke(args) => {
                let id = args.id.as_ref().map(|id| format!("session {id}"));
                let user = || format!("user {}", args.user.as_deref().unwrap_or_default());
                Some(("session_revoked", id.unwrap_or_else(user)))
            }
            Self::List(_) => None,
        }
    }

    /// The configuration to load.
    #[must_use]
    pub(super) fn config(&self) -> &Path {
        match self {
            Self::List(args) => &args.config,
            Self::Revoke(args) => &args.config,
            Self::Create(args) => &args.config,
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
        let open = || {
            Sessions::open(
                Arc::clone(&store),
                clock.clone(),
                SessionSettings::default(),
            )
        };
        match self {
            Self::Create(args) => args.run(store, config, clock, out, hints).await,
            Self::List(args) => {
                let listed = open().await?.list().await?;
                match args.json {
                    true => json(&listed, out),
                    false => table(&listed, args.all, clock.now(), out),
                }
            }
            Self::Revoke(SessionRevoke { id: Some(id), .. }) => {
                if !open().await?.revoke(id).await? {
                    bail!(
                        "there is no session `{id}` that could end: `appproxy gateway session list` shows them"
                    );
                }
                writeln!(
                    hints,
                    "Session {id} has ended; what goes on by it is cut at once."
                )?;
                Ok(())
            }
            Self::Revoke(args) => {
                let user = args.user.as_deref().unwrap_or_default();
                let sessions = open().await?;
                let listed = sessions.list().await?;
                let people = listed.iter().filter_map(|one| one.shown.as_ref());
                let mut keys: Vec<_> = people
                    .map(|shown| &shown.person)
                    .filter(|key| *key.subject == *user)
                    .collect();
                keys.sort_unstable();
                keys.dedup();
                let mut ended = 0;
                for key in keys {
                    ended += sessions.revoke_person(key).await?;
                }
                if ended == 0 {
                    bail!(
                        "`{user}` is not signed in: `appproxy gateway session list` shows who is"
                    );
                }
                writeln!(
                    hints,
                    "{ended} sessions of {user} have ended; what goes on by them is cut at once."
                )?;
                Ok(())
            }
        }
    }
}

fn json(listed: &[Listed], out: &mut dyn Write) -> anyhow::Result<()> {
    let sessions: Vec<_> = listed
        .iter()
        .map(|one| {
            serde_json::json!({
                "id": one.id.as_str(),
                "host": one.host,
                "parent": one.parent.as_ref().map(SessionId::as_str),
                "shown": one.shown,
                "created": one.created.to_rfc3339(),
                "last_used": one.last_used.to_rfc3339(),
                "ends": one.ends.to_rfc3339(),
                "revoked": one.revoked.map(Timestamp::to_rfc3339),
            })
        })
        .collect();
    writeln!(out, "{:#}", serde_json::Value::from(sessions))?;
    Ok(())
}

fn table(listed: &[Listed], all: bool, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "ID",
        "HOST",
        "PERSON",
        "SUBJECT",
        "PROVIDER",
        "FROM",
        "LAST USED",
        "ENDS",
    ]);
    let alive = listed
        .iter()
        .filter(|one| one.revoked.is_none() && one.ends > now)
        .filter(|one| all || one.parent.is_none());
    for one in alive {
        let shown = one.shown.as_ref();
        // What a provider or a browser wrote is not a terminal's to obey.
        let text = |text: Option<&str>| printable(text.unwrap_or("-"), SHOWN);
        let name = shown.and_then(|shown| shown.name.as_deref().or(shown.email.as_deref()));
        table.add_row([
            one.id.to_string(),
            text(Some(&one.host)),
            text(name),
            text(shown.map(|shown| &*shown.person.subject)),
            text(shown.map(|shown| &*shown.provider)),
            shown.map_or_else(|| "-".to_owned(), |shown| shown.address.to_string()),
            one.last_used.to_rfc3339(),
            one.ends.to_rfc3339(),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}
