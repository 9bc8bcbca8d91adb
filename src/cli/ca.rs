//! `appproxy gateway ca rotate`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;

use crate::certs::Authority;
use crate::clock::{Clock, Timestamp};
use crate::config::GATEWAY_FILE;
use crate::gateway::{load_authorities, record};
use crate::store::Store;

/// The verbs of `gateway ca`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum CaCommand {
    /// Replace the authority by a new one; both count until the old one's end
    Rotate(Rotate),
}

/// `gateway ca rotate`.
#[derive(Debug, clap::Args)]
pub(super) struct Rotate {
    /// End the old authority now: connectors that have not changed over must be registered again
    #[arg(long)]
    pub finish: bool,
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE", default_value = GATEWAY_FILE)]
    pub config: PathBuf,
}

impl CaCommand {
    /// What it does that is recorded, and to what.
    pub(super) fn recorded(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Rotate(args) => {
                let what = if args.finish { "finished" } else { "begun" };
                Some(("authority_rotated", what.to_owned()))
            }
        }
    }

    /// The configuration to load.
    pub(super) fn config(&self) -> &Path {
        let Self::Rotate(args) = self;
        &args.config
    }

    /// Runs the verb on a gateway's store; running gateways on it learn of it by its change log.
    ///
    /// # Errors
    /// In words for the person who typed it.
    pub(super) async fn run(
        &self,
        store: &dyn Store,
        overlap: Duration,
        clock: &Clock,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let Self::Rotate(args) = self;
        if args.finish {
            finish(store, clock.now(), out).await
        } else {
            begin(store, overlap, clock.now(), out).await
        }
    }
}

async fn begin(
    store: &dyn Store,
    overlap: Duration,
    now: Timestamp,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    // An old one whose time is over would stand in the way of the next rotation.
    store.finish_rotation(now, now).await?;
    let old = load_authorities(store, now).await?.issuing().pin();
    let (new, ends) = (Authority::create(now)?, now.plus(overlap));
    if !store.rotate_authority(record(&new), ends, now).await? {
        let stored = store.authorities().await?;
        let ends = stored.iter().find_map(|a| a.ends).unwrap_or(now);
        bail!(
            "a rotation is under way: the old authority ends at {}; `appproxy gateway ca rotate --finish` ends it now",
            ends.to_rfc3339()
        );
    }
    writeln!(
        out,
        "The authority {} is new: it issues every certificate and its pin is in every token from now on.\n\
         Running gateways take it into use at once and tell the connectors that are connected, which change over by themselves within minutes.\n\
         The old authority {old} counts until {}: a connector that comes back before then changes over too, and tokens handed out before still work.\n\
         After that a connector that was away all the time must be registered again. `appproxy gateway ca rotate --finish` ends the old authority at once.",
        new.pin(),
        ends.to_rfc3339()
    )?;
    Ok(())
}

async fn finish(store: &dyn Store, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    if !store.finish_rotation(Timestamp(i64::MAX), now).await? {
        bail!(
            "no rotation is under way, so there is no old authority to end: `appproxy gateway ca rotate` begins one"
        );
    }
    writeln!(
        out,
        "The old authority counts no more. Tunnels that were opened with its certificates are closed within seconds, tokens with its pin are worthless, and connectors that have not changed over must be registered again."
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Memory;

    const NOW: Timestamp = Timestamp(1_800_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    async fn run(store: &Memory, clock: &Clock, finish: bool) -> Result<String, String> {
        let config = GATEWAY_FILE.into();
        let command = CaCommand::Rotate(Rotate { finish, config });
        let mut out = Vec::new();
        let done = command.run(store, DAY * 60, clock, &mut out).await;
        done.map_err(|e| e.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn a_rotation_says_what_it_does_and_until_when() {
        let (store, clock) = (Memory::default(), Clock::manual(NOW));
        let old = load_authorities(&store, NOW).await.unwrap().issuing().pin();
        let nothing = run(&store, &clock, true).await.unwrap_err();
        assert!(nothing.contains("no rotation is under way"), "{nothing}");

        let said = run(&store, &clock, false).await.unwrap();
        let both = load_authorities(&store, NOW).await.unwrap().pins();
        assert_eq!((both.len(), both[1]), (2, old));
        for part in [
            format!("{} is new", both[0]),
            format!("{old} counts until 2027-03-16T08:00:00Z"),
        ] {
            assert!(said.contains(&part), "{part} is not in {said}");
        }
        let again = run(&store, &clock, false).await.unwrap_err();
        assert!(again.contains("ends at 2027-03-16T08:00:00Z"), "{again}");
        run(&store, &clock, true).await.unwrap();
        let left = load_authorities(&store, NOW).await.unwrap().pins();
        assert_eq!(left, both[..1]);

        // One whose time is over is in nobody's way.
        run(&store, &clock, false).await.unwrap();
        clock.advance(DAY * 61);
        run(&store, &clock, false).await.unwrap();
        assert_eq!(store.authorities().await.unwrap().len(), 2);
    }
}
