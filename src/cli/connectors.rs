//! `appproxy gateway connector list|remove`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use comfy_table::Table;

use super::token::GATEWAY_CONFIG;
use crate::clock::{Clock, Timestamp};
use crate::model::ConnectorId;
use crate::store::{ConnectorRecord, Store};

/// The verbs of `gateway connector`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum ConnectorCommand {
    /// List the connectors, removed ones included, oldest first.
    List(ConnectorList),
    /// Remove a connector for good and cut its tunnels.
    Remove(ConnectorRemove),
}

/// `gateway connector list`.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectorList {
    /// For programs.
    #[arg(long)]
    pub json: bool,
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE", default_value = GATEWAY_CONFIG)]
    pub config: PathBuf,
}

/// `gateway connector remove`.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectorRemove {
    /// The connector's identifier, as `connector list` shows it.
    #[arg(value_parser = ConnectorId::new)]
    pub id: ConnectorId,
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE", default_value = GATEWAY_CONFIG)]
    pub config: PathBuf,
}

impl ConnectorCommand {
    /// The configuration to load.
    #[must_use]
    pub(super) fn config(&self) -> &std::path::Path {
        match self {
            Self::List(args) => &args.config,
            Self::Remove(args) => &args.config,
        }
    }

    /// Runs the verb on a gateway's store; running gateways on it learn of it by its change log.
    ///
    /// # Errors
    /// In words for the person who typed it.
    pub(super) async fn run(
        &self,
        store: Arc<dyn Store>,
        clock: &Clock,
        out: &mut dyn Write,
        hints: &mut dyn Write,
    ) -> anyhow::Result<()> {
        match self {
            Self::List(args) => list(&store.connectors().await?, args.json, out),
            Self::Remove(args) => {
                if store.remove_connector(&args.id, clock.now()).await? {
                    writeln!(
                        hints,
                        "Connector {} is removed; running gateways cut its tunnels at once. It needs a new token to come back.",
                        args.id
                    )?;
                    return Ok(());
                }
                match store.connector(&args.id).await?.and_then(|c| c.removed) {
                    Some(at) => bail!(
                        "connector `{}` was removed before, at {}",
                        args.id,
                        at.to_rfc3339()
                    ),
                    None => bail!(
                        "there is no connector `{}`: `appproxy gateway connector list` shows them",
                        args.id
                    ),
                }
            }
        }
    }
}

fn list(connectors: &[ConnectorRecord], json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if json {
        let connectors: Vec<_> = connectors
            .iter()
            .map(|c| {
                serde_json::json!({
                    "id": c.id.as_str(),
                    "group": c.group.as_str(),
                    "name": c.name,
                    "enrolled": c.enrolled.to_rfc3339(),
                    "removed": c.removed.map(Timestamp::to_rfc3339),
                    "seen": c.seen.as_ref().map(|s| serde_json::json!({
                        "at": s.at.to_rfc3339(),
                        "address": s.address.to_string(),
                        "version": s.version,
                    })),
                })
            })
            .collect();
        writeln!(out, "{:#}", serde_json::Value::from(connectors))?;
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "ID",
        "GROUP",
        "NAME",
        "ENROLLED",
        "LAST SEEN",
        "FROM",
        "STATE",
    ]);
    for c in connectors {
        let seen = c.seen.as_ref();
        table.add_row([
            c.id.to_string(),
            c.group.to_string(),
            c.name.clone(),
            c.enrolled.to_rfc3339(),
            seen.map_or_else(|| "never".to_owned(), |s| s.at.to_rfc3339()),
            seen.map_or_else(|| "-".to_owned(), |s| s.address.to_string()),
            c.removed.map_or("enrolled", |_| "removed").to_owned(),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Memory;
    use crate::model::GroupName;
    use crate::store::{NewToken, SpendToken};

    const NOW: Timestamp = Timestamp(1_800_000_000);

    async fn run(command: ConnectorCommand, store: &Arc<Memory>) -> anyhow::Result<String> {
        let (mut out, mut hints) = (Vec::new(), Vec::new());
        let store = Arc::clone(store) as Arc<dyn Store>;
        let clock = Clock::manual(NOW);
        command.run(store, &clock, &mut out, &mut hints).await?;
        Ok(String::from_utf8(out)?)
    }

    #[tokio::test]
    async fn a_connector_is_listed_removed_once_and_still_listed() {
        let store = Arc::new(Memory::default());
        let id = ConnectorId::from_random([3; 12]);
        let token = NewToken {
            id: "t1".to_owned(),
            secret_hash: [1; 32],
            group: GroupName::new("hq").unwrap(),
            uses: 1,
            created: NOW,
            expires: Timestamp(NOW.0 + 60),
        };
        store.create_token(token).await.unwrap();
        let spend = SpendToken {
            secret_hash: [1; 32],
            public_key_hash: [2; 32],
            id: id.clone(),
            name: "rack-7".to_owned(),
            now: NOW,
        };
        store.spend_token(spend).await.unwrap().unwrap();

        let list = |json| {
            let config = GATEWAY_CONFIG.into();
            ConnectorCommand::List(ConnectorList { json, config })
        };
        let remove = || {
            let (id, config) = (id.clone(), GATEWAY_CONFIG.into());
            ConnectorCommand::Remove(ConnectorRemove { id, config })
        };
        let table = run(list(false), &store).await.unwrap();
        for part in [id.as_str(), "hq", "rack-7", "never", "enrolled"] {
            assert!(table.contains(part), "{part} is not in {table}");
        }
        run(remove(), &store).await.unwrap();
        let again = run(remove(), &store).await.unwrap_err().to_string();
        assert!(
            again.contains("removed before, at 2027-01-15T08:00:00Z"),
            "{again}"
        );
        let json = run(list(true), &store).await.unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json[0]["removed"], "2027-01-15T08:00:00Z");
        assert_eq!(json[0]["seen"], serde_json::Value::Null);
        let unknown = run(remove(), &Arc::new(Memory::default())).await;
        assert!(
            unknown
                .unwrap_err()
                .to_string()
                .contains("there is no connector")
        );
    }
}
