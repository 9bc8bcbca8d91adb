//! `appproxy check-cert`: what is in a file, or what a server presents, and what is wrong with it.

mod hosts;
mod report;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use self::hosts::Configured;
use self::report::Report;
use super::Exit;
use super::prompt::secret_from_standard_input;
use crate::certs::contents::{self, Contents, Held, LONGEST_FILE, LONGEST_LIST};
use crate::certs::diagnose::{RevocationList, Trusted};
use crate::certs::{self, Asked, Examined, examine};
use crate::check::{Endpoint, look};
use crate::clock::Clock;
use crate::model::{
    Endpoint as Address, Finding, Host, HostPattern, Place, SecretSource, Severity,
};
use crate::net::Resolver;

/// The variable that a password is read from, where no file is named.
const PASSWORD: &str = "APPPROXY_PASSWORD";

/// Tell what is in a certificate file, or what a server presents, and what is wrong with it
///
/// Reads PFX, PEM, DER, PKCS #7 and requests, whatever the file is called. Exit code 2 where clients would
/// refuse it.
#[derive(Debug, clap::Args)]
pub(super) struct CheckCert {
    /// A file, or a server as host:port
    #[arg(value_name = "FILE|HOST:PORT")]
    target: String,
    /// A name it has to be for; may be repeated
    #[arg(long = "host", value_name = "NAME", value_parser = host_pattern)]
    hosts: Vec<HostPattern>,
    /// A gateway's configuration: it has to be for those hosts of it that no certificate there is for
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The private key, where it is in a file of its own
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Authorities to trust beside the system's, PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A list of revoked certificates, PEM or DER, that it must not be on; may be repeated. Where a certificate says
    /// where its list is, that is shown: `curl -s -o FILE URL` fetches it
    #[arg(long = "crl", value_name = "FILE")]
    lists: Vec<PathBuf>,
    /// Read the password from this file; else from APPPROXY_PASSWORD, or it is asked for
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// From which severity on the exit code is 2
    #[arg(long, value_name = "SEVERITY", default_value = "error", value_parser = severity)]
    fail_on: Severity,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// A host, or `*.` and a host.
fn host_pattern(text: &str) -> Result<HostPattern, String> {
    if let Ok(address) = text.parse() {
        return Ok(HostPattern::Exact(Host::Address(address)));
    }
    let host = |text: &str| Host::parse(text).map_err(|error| error.to_string());
    match text.strip_prefix("*.") {
        None => Ok(HostPattern::Exact(host(text)?)),
        Some(suffix) => match host(suffix)? {
            Host::Name(suffix) => Ok(HostPattern::Wildcard { suffix }),
            Host::Address(_) => Err("a wildcard stands before a name".to_owned()),
        },
    }
}

pub(super) fn severity(text: &str) -> Result<Severity, String> {
    match text {
        "info" => Ok(Severity::Info),
        "warning" => Ok(Severity::Warning),
        "error" => Ok(Severity::Error),
        _ => Err("write error, warning or info".to_owned()),
    }
}

/// What there is to look at.
enum Target {
    File(PathBuf),
    Server(Endpoint),
}

impl CheckCert {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let usage = |error: anyhow::Error| Exit::Refused(format!("appproxy: {error:#}"));
        let clock = Clock::system();
        let target = self.target().map_err(usage)?;
        let authorities = self.authorities().map_err(usage)?;
        let trusted = Trusted::new(&certs::system_roots(), &authorities);
        let mut hosts = self.hosts.clone();
        let configured = match &self.config {
            Some(config) => Some(Configured::read(config, &clock)?),
            None => None,
        };
        hosts.extend(configured.iter().flat_map(Configured::uncovered));
        let (contents, how) = match &target {
            Target::File(path) => (self.files(path).map_err(usage)?, None),
            Target::Server(endpoint) => {
                let (contents, how) = ask(endpoint)?;
                if hosts.is_empty() {
                    hosts.push(HostPattern::Exact(endpoint.name.clone()));
                }
                (contents, how)
            }
        };
        let (lists, unread) = self.lists().map_err(usage)?;
        let asked = Asked {
            hosts: &hosts,
            trusted: &trusted,
            lists: &lists,
            now: clock.now(),
        };
        let mut examined = examine(&contents, &asked);
        let leaf = examined
            .chain
            .as_ref()
            .and_then(|chain| chain.order.first());
        let leaf = leaf.and_then(|&at| examined.certificates.get(at));
        let missed = leaf.and_then(|leaf| configured.as_ref()?.missed(leaf));
        examined.findings.extend(missed);
        told_of_lists(&mut examined, unread);
        let report = Report {
            target: &self.target,
            how: how.as_deref(),
            contents: &contents,
            examined: &examined,
            asked: &asked,
        };
        let text = match self.json {
            true => report.json(),
            false => report.text(),
        };
        io::stdout()
            .write_all(text.as_bytes())
            .map_err(|error| Exit::failed(format!("the report cannot be written: {error}")))?;
        let worst = examined
            .findings
            .iter()
            .map(|finding| finding.severity)
            .max();
        match worst {
            Some(worst) if worst >= self.fail_on => Err(Exit::Found),
            _ => Ok(()),
        }
    }

    fn target(&self) -> anyhow::Result<Target> {
        let path = Path::new(&self.target);
        if path.exists() {
            return Ok(Target::File(path.to_owned()));
        }
        let bare = self
            .target
            .strip_prefix("https://")
            .map(|rest| rest.split('/').next().unwrap_or(rest));
        let text = bare.unwrap_or(&self.target);
        let address = Address::parse(text).or_else(|error| match bare {
            Some(host) => Address::parse(&format!("{host}:443")),
            None => Err(error),
        });
        let Ok(address) = address else {
            bail!(
                "`{}` is neither a file that is there nor a server as host:port, such as wiki.example.com:443",
                self.target
            );
        };
        let named = self.hosts.iter().find_map(|pattern| match pattern {
            HostPattern::Exact(host @ Host::Name(_)) => Some(host.clone()),
            _ => None,
        });
        let name = named.unwrap_or_else(|| address.host.clone());
        Ok(Target::Server(Endpoint { address, name }))
    }

    fn authorities(&self) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let Some(path) = &self.ca else {
            return Ok(Vec::new());
        };
        let contents = contents::read(&read(path)?, path, None);
        if contents.certificates.is_empty() {
            bail!(
                "there is no certificate of an authority in {}",
                path.display()
            );
        }
        Ok(contents
            .certificates
            .into_iter()
            .map(|held| held.der)
            .collect())
    }

    /// The lists of revoked certificates, and what cannot be read of them.
    fn lists(&self) -> anyhow::Result<(Vec<RevocationList>, Vec<Finding>)> {
        let (mut all, mut unread) = (Vec::new(), Vec::new());
        for path in &self.lists {
            let octets = read_within(path, LONGEST_LIST, "a revocation list has some MiB")?;
            let (lists, found) = contents::revocation_lists(&octets, path);
            all.extend(lists);
            unread.extend(found);
        }
        Ok((all, unread))
    }

    fn files(&self, path: &Path) -> anyhow::Result<Contents> {
        let given = self.password()?;
        let mut contents = self.file(path, given.as_ref())?;
        if let Some(key) = &self.key {
            let form = contents.form;
            contents.join(self.file(key, given.as_ref())?);
            contents.form = form;
        }
        Ok(contents)
    }

    /// Reads one file; where it has a password and none is given, somebody at a terminal is asked.
    fn file(&self, path: &Path, given: Option<&SecretString>) -> anyhow::Result<Contents> {
        let octets = read(path)?;
        let password = given.map(|secret| secret.expose_secret());
        let contents = contents::read(&octets, path, password);
        if !contents.needs_password() || !io::stdin().is_terminal() {
            return Ok(contents);
        }
        let what = format!("Password of {}", path.display());
        let secret = secret_from_standard_input(&what, &mut io::stderr())?;
        let text = secret.expose_secret();
        let text = text.strip_suffix('\n').unwrap_or(text);
        Ok(contents::read(&octets, path, Some(text)))
    }

    fn password(&self) -> anyhow::Result<Option<SecretString>> {
        if let Some(file) = &self.password_file {
            return Ok(Some(SecretSource::File(file.clone()).read()?));
        }
        match std::env::var_os(PASSWORD) {
            Some(_) => Ok(Some(SecretSource::Env(PASSWORD.to_owned()).read()?)),
            None => Ok(None),
        }
    }
}

/// Adds what is wrong with files of lists, the worst of all first.
fn told_of_lists(examined: &mut Examined, unread: Vec<Finding>) {
    examined.findings.extend(unread);
    let all = &mut examined.findings;
    all.sort_by_key(|one| std::cmp::Reverse(one.severity));
}

fn read(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let usual = "a file with a certificate has some thousand";
    read_within(path, LONGEST_FILE, usual)
}

/// Reads a file, of which its length need not be known: it may be a pipe.
fn read_within(path: &Path, most: usize, usual: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let reading = || format!("cannot read {}", path.display());
    let one_more = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let file = File::open(path).with_context(reading)?;
    let mut octets = Zeroizing::new(Vec::new());
    file.take(one_more)
        .read_to_end(&mut octets)
        .with_context(reading)?;
    if octets.len() > most {
        bail!(
            "{} has more than {most} octets, and {usual}",
            path.display()
        );
    }
    Ok(octets)
}

/// What a server presents.
fn ask(endpoint: &Endpoint) -> Result<(Contents, Option<String>), Exit> {
    let resolver = Resolver::new(&[], Default::default());
    let looked = super::runtime(None)?.block_on(look(endpoint, resolver));
    let place = Place {
        file: endpoint.address.to_string().into(),
        ..Place::default()
    };
    let mut contents = Contents::default();
    match looked {
        Ok(presented) => {
            contents.certificates = presented
                .chain
                .into_iter()
                .map(|der| Held {
                    der,
                    friendly_name: None,
                })
                .collect();
            if presented.how.is_none() {
                contents.findings.push(
                    Finding::warning(
                        "tls_unfinished",
                        "it presents a certificate, and then ends the handshake: it may demand a client certificate, or have a key that clients do not take",
                        "see the log of the server",
                    )
                    .at(place),
                );
            }
            Ok((contents, presented.how))
        }
        Err(finding) => {
            contents.findings.push(finding.at(place));
            Ok((contents, None))
        }
    }
}
