//! Asks connectors whether applications are alive, where an application's `health_check` says so.
//!
//! What comes back feeds the same health that visitors' requests feed. A connector that answers
//! nothing, because it is older or busy, says nothing: it is neither good nor bad for it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Gateway;
use super::health::{Changed, Ways};
use super::published::Published;
use super::tunnels::Tunnel;
use crate::model::{
    Application, ConnectorId, Endpoint, ErrorCode, HealthCheck, Host, HostHeader, HostPattern,
    InternalUrl,
};
use crate::telemetry::metrics::{EJECTIONS, RETURNS};
use crate::telemetry::printable;
use crate::tunnel::control::Down;
use crate::tunnel::{Profile, ProfileHash};

/// The longest reason of a connector's that is logged.
const DETAIL: usize = 256;

/// How an application is asked.
#[derive(Debug)]
pub(super) struct Probe {
    check: HealthCheck,
    /// The application's profile with the probe's time for everything.
    profile: String,
    hash: ProfileHash,
}

/// The questions under way.
#[derive(Debug, Default)]
pub(super) struct Probes {
    number: AtomicU64,
    asked: Mutex<HashMap<u64, Asked>>,
}

/// One question.
#[derive(Debug)]
struct Asked {
    /// The tunnel it went through: an answer by any other is none.
    tunnel: u64,
    published: Arc<Published>,
    ways: Arc<Ways>,
    url: usize,
    /// From then on nobody waits for the answer.
    until: Instant,
}

/// What a connector found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: u64,
    pub(super) status: Option<u16>,
    pub(super) error: Option<String>,
    pub(super) detail: Option<String>,
}

impl Probe {
    /// The question of a health check; beside its time, all is as the application's profile says.
    pub(super) fn new(check: &HealthCheck, mut profile: Profile) -> Self {
        let timeout = u64::try_from(check.timeout.as_millis()).unwrap_or(u64::MAX);
        profile.connect_ms = timeout;
        profile.first_byte_ms = timeout;
        let profile = profile.text();
        Self {
            check: check.clone(),
            hash: ProfileHash::of(&profile),
            profile,
        }
    }

    /// How long an answer counts: so many may be lost on their way before visitors have to try.
    fn counts(&self) -> Duration {
        3 * self.check.interval + self.check.timeout
    }
}

/// Asks for one application until the gateway stops, or another configuration is in force.
pub(super) async fn run(
    gateway: Arc<Gateway>,
    published: Arc<Published>,
    until: CancellationToken,
) {
    let Some(probe) = &published.probe else {
        return;
    };
    let mut every = interval(probe.check.interval);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = gateway.drain.closes() => return,
            () = until.cancelled() => return,
        }
        gateway.probes.forget();
        for tunnel in one_of_each(&gateway, &published.application) {
            gateway.probes.ask(&published, probe, &tunnel);
        }
    }
}

/// A tunnel of each connector of the application's groups.
pub(super) fn one_of_each(gateway: &Gateway, application: &Application) -> Vec<Arc<Tunnel>> {
    let by_group = gateway.tunnels.by_group();
    let groups = application.connectors.groups().iter();
    let tunnels = groups.filter_map(|name| by_group.get(name));
    let mut seen: HashSet<&ConnectorId> = HashSet::new();
    tunnels
        .flat_map(|group| &group.tunnels)
        .filter(|tunnel| tunnel.usable() && tunnel.knows(application))
        .filter(|tunnel| seen.insert(&tunnel.connector))
        .cloned()
        .collect()
}

impl Probes {
    fn ask(&self, published: &Arc<Published>, probe: &Probe, tunnel: &Arc<Tunnel>) {
        let application = &published.application;
        // A connector that takes no more messages is as good as gone.
        if tunnel.tell(&probe.hash, &probe.profile).is_err() {
            return;
        }
        let ways = tunnel.ways(application);
        for (number, url) in application.internal.all().iter().enumerate() {
            let id = self.number.fetch_add(1, Ordering::Relaxed) + 1;
            let Some(message) = question(id, probe, application, url) else {
                continue;
            };
            let asked = Asked {
                tunnel: tunnel.number,
                published: Arc::clone(published),
                ways: Arc::clone(&ways),
                url: number,
                // The connector has its time, and then the answer is under way.
                until: Instant::now() + 2 * probe.check.timeout + probe.check.interval,
            };
            self.asked().insert(id, asked);
            if tunnel.say(&message).is_err() {
                self.asked().remove(&id);
                return;
            }
        }
    }

    /// Takes what a connector found. What nobody asked it for is passed over.
    pub(super) fn found(&self, tunnel: &Tunnel, found: Found) {
        let mut waiting = self.asked();
        // SECURITY: a connector answers for itself; the numbers of others can be guessed.
        let is_its = waiting
            .get(&found.id)
            .is_some_and(|asked| asked.tunnel == tunnel.number);
        let Some(asked) = is_its.then(|| waiting.remove(&found.id)).flatten() else {
            return;
        };
        drop(waiting);
        let Some(probe) = &asked.published.probe else {
            return;
        };
        let Some(verdict) = verdict(&probe.check, &found) else {
            return;
        };
        let health = &asked.ways.to(asked.url).health;
        let changed = health.probed(verdict.is_ok(), probe.counts(), Instant::now());
        let why = verdict.err().unwrap_or_default();
        tell(
            &asked.published.application,
            tunnel,
            &asked.ways,
            asked.url,
            changed,
            &why,
        );
    }

    fn forget(&self) {
        let now = Instant::now();
        self.asked().retain(|_, asked| now < asked.until);
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The question about one internal URL; `None` where it has a wildcard, which configuration
/// excludes.
fn question(id: u64, probe: &Probe, application: &Application, url: &InternalUrl) -> Option<Down> {
    let host = url.host_for(None)?;
    let authority = authority(application, url, &host);
    let path = probe.check.path.as_deref().map(str::to_owned);
    let target = Endpoint {
        host,
        port: url.port,
    };
    Some(Down::Probe {
        id,
        scheme: url.scheme.as_str().to_owned(),
        target: target.to_string(),
        profile: probe.hash.clone(),
        authority: path.is_some().then_some(authority),
        path,
    })
}

/// The `Host` that an application is asked with where nobody came with one.
pub(super) fn authority(application: &Application, url: &InternalUrl, host: &Host) -> String {
    match (&application.host_header, &application.external.host) {
        (HostHeader::Fixed(name), _) => name.to_string(),
        (HostHeader::External, HostPattern::Exact(host)) => application.external.authority(host),
        // Of a wildcard no name is more the application's than another.
        (HostHeader::External, HostPattern::Wildcard { .. }) | (HostHeader::Internal, _) => {
            url.authority(host)
        }
    }
}

/// Whether it is alive, or why not; `None` where what was found says nothing of the application.
fn verdict(check: &HealthCheck, found: &Found) -> Option<Result<(), String>> {
    if let Some(word) = &found.error {
        let code = ErrorCode::from_word(word)?;
        if matches!(
            code,
            ErrorCode::TunnelLost
                | ErrorCode::TunnelBusy
                | ErrorCode::BadRequest
                | ErrorCode::Internal
        ) {
            return None;
        }
        let detail = found.detail.as_deref().unwrap_or_default();
        return Some(Err(format!("{code}: {}", printable(detail, DETAIL))));
    }
    let Some(status) = found.status.filter(|_| check.path.is_some()) else {
        return check.path.is_none().then_some(Ok(()));
    };
    let good = match check.status.as_slice() {
        [] => status < 500,
        good => good.contains(&status),
    };
    Some(if good {
        Ok(())
    } else {
        Err(format!("its health check was answered with {status}"))
    })
}

/// Says in the log that a connector is chosen for an internal URL no more, or again.
pub(super) fn tell(
    application: &Application,
    tunnel: &Tunnel,
    ways: &Ways,
    url: usize,
    changed: Changed,
    why: &str,
) {
    if changed == Changed::Nothing {
        return;
    }
    let (connector, name) = (&tunnel.connector, &application.name);
    let urls = application.internal.all();
    let url = urls.get(url).map(ToString::to_string).unwrap_or_default();
    match changed {
        Changed::Nothing => {}
        Changed::Ejected => {
            EJECTIONS.count(&[name.as_str()]);
            if ways.none_is_good() {
                tracing::warn!(%connector, application = %name, url, why, "connector does not reach the application, and is not chosen for it until it does");
            } else {
                tracing::warn!(%connector, application = %name, url, why, "connector does not reach one of the application's internal URLs, which is not chosen through it until it does");
            }
        }
        Changed::Returned => {
            RETURNS.count(&[name.as_str()]);
            tracing::info!(%connector, application = %name, url, "connector reaches the application again, and is chosen");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(status: Option<u16>, error: Option<&str>) -> Found {
        Found {
            id: 1,
            status,
            error: error.map(str::to_owned),
            detail: Some("x\ny".to_owned()),
        }
    }

    #[test]
    fn what_a_connector_found_is_judged() {
        let check = |path: Option<&str>, status: &[u16]| HealthCheck {
            path: path.map(Into::into),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            status: status.to_vec(),
        };
        let (usual, strict) = (check(Some("/"), &[]), check(Some("/"), &[200, 204]));
        let connection = check(None, &[]);
        let alive = |check: &HealthCheck, found: &Found| verdict(check, found).map(|v| v.is_ok());
        for (status, by_usual, by_strict) in [
            (200, true, true),
            (204, true, true),
            (302, true, false),
            (401, true, false),
            (404, true, false),
            (500, false, false),
            (503, false, false),
        ] {
            let found = found(Some(status), None);
            assert_eq!(alive(&usual, &found), Some(by_usual), "{status}");
            assert_eq!(alive(&strict, &found), Some(by_strict), "{status}");
        }
        assert_eq!(alive(&connection, &found(None, None)), Some(true));
        for code in ErrorCode::ALL {
            let says_nothing = ["tunnel_lost", "tunnel_busy", "bad_request", "internal"];
            let expected = (!says_nothing.contains(&code.as_str())).then_some(false);
            for check in [&usual, &connection] {
                assert_eq!(
                    alive(check, &found(None, Some(code.as_str()))),
                    expected,
                    "{code}"
                );
            }
        }
        // From a newer connector, or one that tells stories.
        assert_eq!(
            alive(&usual, &found(Some(200), Some("from_the_future"))),
            None
        );
        assert_eq!(alive(&usual, &found(None, None)), None);
        let why = verdict(&usual, &found(None, Some("backend_refused")));
        assert_eq!(why, Some(Err("backend_refused: xy".to_owned())));
    }
}
