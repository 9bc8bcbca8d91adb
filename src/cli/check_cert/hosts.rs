//! The hosts of a configuration, and which of them a certificate is to be for.

use std::path::Path;

use super::super::Exit;
use crate::certs;
use crate::certs::diagnose::{Certificate, covers};
use crate::clock::Clock;
use crate::config::GatewayConfig;
use crate::model::{Finding, HostPattern};

/// What a configuration has.
pub(super) struct Configured {
    /// Every host that browsers open.
    hosts: Vec<HostPattern>,
    /// The certificates that it names, each with its file.
    there: Vec<(String, Certificate)>,
}

impl Configured {
    pub(super) fn read(config: &Path, clock: &Clock) -> Result<Self, Exit> {
        let config = GatewayConfig::load(config).map_err(Exit::Findings)?;
        let there = config.certificates.iter().filter_map(|files| {
            let password = files.read_password().ok()?;
            let loaded = certs::load(files, password.as_ref(), clock.now()).ok()?;
            let leaf = Certificate::read(loaded.key.cert.first()?.clone())?;
            Some((files.chain.display().to_string(), leaf))
        });
        let there = there.collect();
        let of_applications = config.applications.iter();
        let of_applications = of_applications
            .flat_map(|application| application.external_urls().map(|url| url.host.clone()));
        let sign_in = config.sign_in.iter();
        let sign_in = sign_in.map(|sign_in| HostPattern::Exact(sign_in.host.clone()));
        let mut hosts: Vec<HostPattern> = Vec::new();
        for host in of_applications.chain(sign_in) {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        Ok(Self { hosts, there })
    }

    /// Hosts that no certificate there is for: another one has to be.
    pub(super) fn uncovered(&self) -> impl Iterator<Item = HostPattern> {
        let is_covered = |host: &HostPattern| self.there.iter().any(|(_, one)| covers(one, host));
        let hosts = self.hosts.iter();
        hosts.filter(move |host| !is_covered(host)).cloned()
    }

    /// What would be missed where this certificate took the place of one that is there.
    pub(super) fn missed(&self, new: &Certificate) -> Option<Finding> {
        let is_for = |one: &Certificate, host: &HostPattern| covers(one, host);
        let names = |hosts: &[&HostPattern]| {
            let names: Vec<_> = hosts.iter().take(20).map(ToString::to_string).collect();
            names.join(", ")
        };
        let (own, others): (Vec<_>, Vec<_>) = self.hosts.iter().partition(|host| is_for(new, host));
        if own.is_empty() && !others.is_empty() && self.uncovered().next().is_none() {
            return Some(Finding::error(
                "name_not_covered",
                format!(
                    "the certificate is for no host of the configuration, which has {}",
                    names(&others)
                ),
                "have it issued with the names that it is to serve, or check it with the configuration that it is for",
            ));
        }
        // One that shares a host with it is what it may be there to replace.
        let replaced = self
            .there
            .iter()
            .filter(|(_, one)| one.der != new.der && own.iter().any(|host| is_for(one, host)));
        let (file, lost) = replaced
            .map(|(file, one)| {
                let by_others = |host: &HostPattern| {
                    let mut there = self.there.iter();
                    there.any(|(_, other)| other.der != one.der && is_for(other, host))
                };
                let lost = others
                    .iter()
                    .filter(|host| is_for(one, host) && !by_others(host));
                (file, lost.copied().collect::<Vec<_>>())
            })
            .find(|(_, lost)| !lost.is_empty())?;
        Some(Finding::warning(
            "name_not_covered",
            format!(
                "{} is covered by {file} alone, and not by this certificate",
                names(&lost)
            ),
            format!("keep {file} beside this one, or have this one issued with these names too"),
        ))
    }
}
