//! `appproxy gateway connector list|remove`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use comfy_table::Table;

use crate::clock::{Clock, Timestamp};
use crate::config::GATEWAY_FILE;
use crate::model::ConnectorId;
use crate::store::{ConnectorRecord, Standing, Store};

/// The verbs of `gateway connector`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum ConnectorCommand {
    /// List the connectors, oldest first; those gone for 10 days only with --all.
    List(ConnectorList),
    /// Remove a connector for good and cut its tunnels.
    Remove(ConnectorRemove),
}

/// `gateway connector list`.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectorList {
    /// For programs; all connectors, whenever they were connected.
    #[arg(long)]
    pub json: bool,
    /// Also those that were removed, or connected last, more than 10 days ago.
    #[arg(long)]
    pub all: bool,
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE", default_value = GATEWAY_FILE)]
    pub config: PathBuf,
}

/// `gateway connector remove`.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectorRemove {
    /// The connector's identifier, as `connector list` shows it.
    #[arg(value_parser = ConnectorId::new)]
    pub id: ConnectorId,
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE", default_value = GATEWAY_FILE)]
    pub config: PathBuf,
}

impl ConnectorCommand {
    /// What it does that is recorded, and to what.
    pub(super) fn recorded(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Remove(args) => Some(("connector_removed", args.id.to_string())),
            Self::List(_) => None,
        }
    }

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
            Self::List(args) => {
                let connectors = store.connectors().await?;
                let now = clock.now();
                if args.json {
                    return json(&connectors, now, out);
                }
                table(&connectors, args.all, now, out, hints)
            }
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

const fn state(standing: Standing) -> &'static str {
    match standing {
        Standing::Enrolled => "enrolled",
        Standing::Active => "active",
        Standing::Inactive | Standing::Hidden => "inactive",
        Standing::Removed => "removed",
    }
}

fn json(connectors: &[ConnectorRecord], now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let connectors: Vec<_> = connectors
        .iter()
        .map(|c| {
            serde_json::json!({
                "id": c.id.as_str(),
                "group": c.group.as_str(),
                "name": c.name,
                "state": state(c.standing(now)),
                "hidden": c.is_stale(now),
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
    Ok(())
}

fn table(
    connectors: &[ConnectorRecord],
    all: bool,
    now: Timestamp,
    out: &mut dyn Write,
    hints: &mut dyn Write,
) -> anyhow::Result<()> {
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
    let (stale, fresh): (Vec<_>, Vec<_>) = connectors.iter().partition(|c| c.is_stale(now));
    let shown = match all {
        true => connectors.iter().collect(),
        false => fresh,
    };
    for c in shown {
        let seen = c.seen.as_ref();
        table.add_row([
            c.id.to_string(),
            c.group.to_string(),
            c.name.clone(),
            c.enrolled.to_rfc3339(),
            seen.map_or_else(|| "never".to_owned(), |s| s.at.to_rfc3339()),
            seen.map_or_else(|| "-".to_owned(), |s| s.address.to_string()),
            state(c.standing(now)).to_owned(),
        ]);
    }
    writeln!(out, "{table}")?;
    if !all && !stale.is_empty() {
        writeln!(
            hints,
            "Not shown: {} of which nothing was seen for 10 days; `--all` shows them, `appproxy gateway connector remove ID` removes one.",
            stale.len()
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gateway::Memory;
    use crate::model::GroupName;
    use crate::store::{NewToken, Seen, SpendToken};

    const NOW: Timestamp = Timestamp(1_800_000_000);

    async fn run(command: ConnectorCommand, store: &Arc<Memory>) -> anyhow::Result<String> {
        Ok(run_at(NOW, command, store).await?.0)
    }

    /// What goes to standard output and to standard error.
    async fn run_at(
        now: Timestamp,
        command: ConnectorCommand,
        store: &Arc<Memory>,
    ) -> anyhow::Result<(String, String)> {
        let (mut out, mut hints) = (Vec::new(), Vec::new());
        let store = Arc::clone(store) as Arc<dyn Store>;
        let clock = Clock::manual(now);
        command.run(store, &clock, &mut out, &mut hints).await?;
        Ok((String::from_utf8(out)?, String::from_utf8(hints)?))
    }

    fn list(json: bool, all: bool) -> ConnectorCommand {
        let config = GATEWAY_FILE.into();
        ConnectorCommand::List(ConnectorList { json, all, config })
    }

    #[tokio::test]
    async fn a_connector_that_stays_away_is_marked_and_after_ten_days_hidden() {
        const MINUTE: Duration = Duration::from_secs(60);
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let store = Arc::new(Memory::default());
        let token = NewToken {
            id: "t1".to_owned(),
            secret_hash: [1; 32],
            group: GroupName::new("hq").unwrap(),
            uses: 2,
            created: NOW,
            expires: Timestamp(NOW.0 + 60),
        };
        store.create_token(token).await.unwrap();
        let ids = [1, 2].map(|n| ConnectorId::from_random([n; 12]));
        for (id, key) in ids.iter().zip([1, 2]) {
            let spend = SpendToken {
                secret_hash: [1; 32],
                public_key_hash: [key; 32],
                id: id.clone(),
                name: "rack".to_owned(),
                now: NOW,
            };
            store.spend_token(spend).await.unwrap().unwrap();
        }
        let stays = |at| Seen {
            at,
            address: [192, 0, 2, 1].into(),
            version: "1".to_owned(),
        };
        store.connector_seen(&ids[0], stays(NOW)).await.unwrap();
        for (after, shown, hidden) in [
            (MINUTE, vec!["active", "enrolled"], false),
            (15 * MINUTE, vec!["inactive", "inactive"], false),
            (10 * DAY - MINUTE, vec!["inactive", "inactive"], false),
            (10 * DAY, vec!["active"], true),
        ] {
            let now = NOW.plus(after);
            if after == 10 * DAY {
                store.connector_seen(&ids[0], stays(now)).await.unwrap();
            }
            let (table, hints) = run_at(now, list(false, false), &store).await.unwrap();
            let states: Vec<_> = table
                .lines()
                .skip(1)
                .map(|row| row.split_whitespace().last().unwrap())
                .collect();
            assert_eq!(states, shown, "after {after:?}");
            assert_eq!(hints.contains("Not shown: 1 "), hidden, "{hints}");
            let (table, hints) = run_at(now, list(false, true), &store).await.unwrap();
            assert_eq!((table.lines().count(), hints.as_str()), (3, ""));
        }
        let (json, _) = run_at(NOW.plus(10 * DAY), list(true, false), &store)
            .await
            .unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&json[0]["state"], &json[0]["hidden"]),
            (&"active".into(), &false.into())
        );
        assert_eq!(
            (&json[1]["state"], &json[1]["hidden"]),
            (&"inactive".into(), &true.into())
        );
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

        let remove = || {
            let (id, config) = (id.clone(), GATEWAY_FILE.into());
            ConnectorCommand::Remove(ConnectorRemove { id, config })
        };
        let table = run(list(false, false), &store).await.unwrap();
        for part in [id.as_str(), "hq", "rack-7", "never", "enrolled"] {
            assert!(table.contains(part), "{part} is not in {table}");
        }
        run(remove(), &store).await.unwrap();
        let again = run(remove(), &store).await.unwrap_err().to_string();
        assert!(
            again.contains("removed before, at 2027-01-15T08:00:00Z"),
            "{again}"
        );
        let json = run(list(true, false), &store).await.unwrap();
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
