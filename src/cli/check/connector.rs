//! A connector's side of `appproxy check`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::Path;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use tokio::time::{Instant, timeout_at};

use super::super::connector::{Prepared, prepare};
use super::super::{Exit, runtime, status};
use super::Looked;
use super::bundle::Settings;
use crate::check::connector::{Enrolled, Known, Reached, Visited, check};
use crate::check::{Area, Line, PATIENCE, links};
use crate::clock::Clock;
use crate::connector::{Applications, DIAL, Identity, StateFolder, Trial, try_gateway};
use crate::model::{Endpoint, Finding, Host};
use crate::net::{Dialled, Dialler, Resolver};
use crate::translate::crawl::Inside;
use crate::tunnel::Served;

/// Applications that are looked at side by side.
const AT_ONCE: usize = 32;

/// Every line of a connector's file, or what keeps it from being read.
pub(super) fn look(file: &Path, app: Option<&str>, clock: &Clock) -> Result<Looked, Exit> {
    let prepared = match prepare(file, clock) {
        Ok(prepared) => prepared,
        Err(Exit::Findings(found)) => {
            return Ok(Looked {
                lines: unread(file, found),
                settings: Settings::unread(file),
            });
        }
        Err(other) => return Err(other),
    };
    let settings = Settings::of_connector(&prepared.config, &prepared.proxies);
    let lines = runtime(None)?.block_on(look_at(prepared, app, clock))?;
    Ok(Looked { lines, settings })
}

fn unread(file: &Path, found: Vec<Finding>) -> Vec<Line> {
    let subject = file.display().to_string();
    let found = found.into_iter();
    let mut lines: Vec<_> = found
        .map(|one| Line::found(Area::Configuration, &subject, one))
        .collect();
    for area in [Area::Enrolment, Area::Gateways, Area::Applications] {
        let rest = "the configuration has to be right first";
        lines.push(Line::skip(area, "all of it", rest));
    }
    lines
}

async fn look_at(prepared: Prepared, app: Option<&str>, clock: &Clock) -> Result<Vec<Line>, Exit> {
    let deadline = Instant::now() + PATIENCE;
    let Prepared {
        config,
        proxies,
        trust,
        ..
    } = prepared;
    let state = StateFolder::of(&config);
    let identity = state.stored();
    let running = status::running(&config).await;
    let resolver = Resolver::new(&config.dns.servers, config.dns.hosts.clone());
    let dialler = Dialler::new(resolver).through(proxies.tunnel);
    let (knocked, enrolled) = match &identity {
        Ok(identity) => {
            let knocked = knock(identity, &state, &config, &dialler, clock).await;
            (knocked, Ok(enrolled(identity)))
        }
        Err(error) => (Vec::new(), Err(error.finding())),
    };
    let mut gateways: Vec<_> = knocked
        .iter()
        .map(|(gateway, outcome)| {
            let ahead = outcome.as_ref().map(|trial| trial.ahead);
            let reached = ahead.map(|ahead| Reached::Tunnel { ahead });
            (gateway.to_string(), reached.map_err(Clone::clone))
        })
        .collect();
    if identity.is_err() {
        gateways = dial(&config.gateways, &dialler).await;
    }
    let (mut served, more) = served(&knocked);
    let published = links::published(served.as_deref().unwrap_or_default());
    let mut unknown = None;
    if let (Some(name), Some(served)) = (app, &mut served) {
        unknown = (!served.iter().any(|one| one.name == name)).then(|| not_served(name, served));
        served.retain(|one| one.name == name);
    }
    let reach = Applications::new(&config, proxies.backend, trust);
    let applications = match served {
        Some(served) => Some(inspect(&reach, served, &published, deadline).await),
        None => None,
    };
    let known = Known {
        config: &config,
        now: clock.now(),
        identity: enrolled,
        running,
        gateways,
        applications,
        more,
    };
    let mut lines = vec![Line::pass(
        Area::Configuration,
        config.file.display().to_string(),
        "a connector's, and right",
    )];
    lines.extend(check(&known));
    if let Some(unknown) = unknown {
        lines.retain(|line| line.area != Area::Applications);
        lines.push(unknown);
    }
    lines.sort_by_key(|line| line.area);
    Ok(lines)
}

fn not_served(name: &str, served: &[Served]) -> Line {
    let all: BTreeSet<_> = served.iter().map(|one| one.name.as_str()).collect();
    let all: Vec<_> = all.into_iter().collect();
    let finding = Finding::error(
        "app_unknown",
        format!("this connector's group has no application `{name}`"),
        format!("write one of its names: {}", all.join(", ")),
    );
    Line::found(Area::Applications, name, finding)
}

fn enrolled(identity: &Identity) -> Enrolled {
    Enrolled {
        id: identity.id.to_string(),
        group: identity.group.to_string(),
        issued: identity.issued,
        not_after: identity.not_after,
    }
}

/// Whether there is a way to each gateway at all.
async fn dial(gateways: &[Endpoint], dialler: &Dialler) -> Vec<(String, Result<Reached, Finding>)> {
    let dials = gateways.iter().map(|gateway| async move {
        let dialled = dialler.connect_tunnel(gateway, Instant::now() + DIAL).await;
        let reached = dialled.map(|_| Reached::Port);
        (
            gateway.to_string(),
            reached.map_err(|error| error.finding()),
        )
    });
    join_all(dials).await
}

type Knocked = Vec<(Endpoint, Result<Trial, Finding>)>;

/// Knocks at every gateway of the configuration and of the state.
async fn knock(
    identity: &Identity,
    state: &StateFolder,
    config: &crate::config::ConnectorConfig,
    dialler: &Dialler,
    clock: &Clock,
) -> Knocked {
    // A list that cannot be read is passed over, as at the start.
    let kept = state.gateways().unwrap_or_default();
    let mut all = config.gateways.clone();
    if config.follows_gateways {
        let more = kept.iter().map(|kept| &kept.endpoint);
        all.extend(more.filter(|one| !config.gateways.contains(one)).cloned());
    }
    let (kept, hosts) = (&kept, &config.dns.hosts);
    let knocks = all.into_iter().map(|gateway| async move {
        let dial = async |gateway: &Endpoint| {
            let kept = kept.iter().find(|kept| kept.endpoint == *gateway);
            let kept = kept.filter(|_| !config.gateways.contains(gateway));
            let permitted = |dialled: Dialled<'_>| kept.map_or(Ok(()), |k| k.check(hosts, dialled));
            let deadline = Instant::now() + DIAL;
            let dialled = dialler.connect_named(gateway, &permitted, deadline).await;
            dialled.map_err(io::Error::other)
        };
        let outcome = try_gateway(identity, &gateway, clock, dial).await;
        (gateway, outcome.map_err(|finding| *finding))
    });
    join_all(knocks).await
}

/// What the gateways told, each internal URL once.
fn served(knocked: &Knocked) -> (Option<Vec<Served>>, u64) {
    let trials = knocked
        .iter()
        .filter_map(|(_, outcome)| outcome.as_ref().ok());
    let told = trials.filter_map(|trial| Some((trial.served.as_ref()?, trial.more)));
    let (mut all, mut most, mut any) = (BTreeMap::new(), 0, false);
    for (served, more) in told {
        any = true;
        most = most.max(more);
        for one in served {
            let key = (one.name.clone(), one.internal.clone());
            all.entry(key).or_insert_with(|| one.clone());
        }
    }
    (any.then(|| all.into_values().collect()), most)
}

async fn inspect(
    reach: &Applications,
    served: Vec<Served>,
    published: &HashSet<Host>,
    deadline: Instant,
) -> Vec<Visited> {
    let looks = served.into_iter().map(|served| async move {
        let found = timeout_at(deadline, reach.inspect(&served.inspect)).await;
        let (found, page) = found.ok().unzip();
        // A page is not kept: there may be a thousand.
        let links = page.flatten().map(|page| Inside::of(&page, published));
        Visited {
            served,
            found,
            links,
        }
    });
    stream::iter(looks).buffered(AT_ONCE).collect().await
}
