//! Names in the DNS: whether they have addresses, whether something answers there, and whether it is this
//! gateway.

use futures_util::future::join_all;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::{Known, Running, is_passed_through, opened};
use crate::certs::diagnose::{Certificate, covers};
use crate::check::endpoint::{Endpoint, look_at};
use crate::check::{Area, Line, Outcome, in_time};
use crate::model::{Endpoint as Address, Finding, Host, HostPattern, Scheme, Severity};
use crate::net::{Dialler, ResolveError, Resolver};

/// A name, and what it should be.
struct Wanted {
    subject: String,
    address: Address,
    /// Whether connectors dial it: their network may know other names than this host's.
    for_connectors: bool,
    /// Whether the certificate there should be one of the gateway's for people.
    ours: bool,
}

/// Looks at every host of an application, the sign-in host, and where connectors dial.
pub(super) async fn look(known: &Known<'_>, resolver: &Resolver, deadline: Instant) -> Vec<Line> {
    let looks = wanted(known).into_iter().map(|wanted| async move {
        let subject = wanted.subject.clone();
        let for_connectors = wanted.for_connectors;
        let look = of_name(wanted, known, resolver, deadline);
        let mut lines = in_time(deadline, Area::Names, &subject, look).await;
        if for_connectors {
            lines.iter_mut().for_each(lighten);
        }
        lines
    });
    join_all(looks).await.into_iter().flatten().collect()
}

/// What does not work from here may work from where connectors are.
fn lighten(line: &mut Line) {
    if let Outcome::Found(finding) = &mut line.outcome
        && finding.severity == Severity::Error
    {
        finding.severity = Severity::Warning;
        finding
            .what
            .push_str(". It has to work from the connectors' hosts");
    }
}

fn wanted(known: &Known<'_>) -> Vec<Wanted> {
    let config = known.config;
    let mut all = Vec::new();
    let all_opened = opened(config);
    for one in &all_opened {
        let (host, whose) = (one.host, &one.whose);
        let usual = match one.scheme {
            Scheme::Https => 443,
            Scheme::Http => 80,
        };
        let is_alone = all_opened.iter().filter(|other| other.host == host).count() == 1;
        let name = match is_alone || one.port == usual {
            true => host.to_string(),
            false => format!("{host}:{}", one.port),
        };
        let host_there = match host {
            HostPattern::Exact(host) => host.clone(),
            // Any name below it, which nobody has for something else.
            HostPattern::Wildcard { suffix } => {
                Host::Name(format!("appproxy-check.{suffix}").into())
            }
        };
        all.push(Wanted {
            subject: format!("{name} ({whose})"),
            address: Address {
                host: host_there,
                port: one.port,
            },
            for_connectors: false,
            ours: one.scheme == Scheme::Https && !is_passed_through(config, host),
        });
    }
    if let Some(sign_in) = &config.sign_in {
        all.push(Wanted {
            subject: format!("{} (where people sign in)", sign_in.host),
            address: Address {
                host: sign_in.host.clone(),
                port: sign_in.port,
            },
            for_connectors: false,
            ours: true,
        });
    }
    for address in &config.listen.public {
        all.push(Wanted {
            subject: format!("{address} (where connectors dial)"),
            address: address.clone(),
            for_connectors: true,
            ours: false,
        });
    }
    all
}

async fn of_name(
    wanted: Wanted,
    known: &Known<'_>,
    resolver: &Resolver,
    deadline: Instant,
) -> Vec<Line> {
    let subject = &wanted.subject;
    let addresses = match resolver.resolve(&wanted.address.host).await {
        Ok(addresses) => addresses,
        Err(error) => {
            let finding = match &wanted.address.host {
                Host::Name(name) => dangling(name, &error, resolver).await,
                Host::Address(_) => None,
            };
            let finding = finding.unwrap_or_else(|| unresolved(&error, &wanted));
            return vec![Line::found(Area::Names, subject, finding)];
        }
    };
    let text: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let text = text.join(", ");
    if matches!(known.running, Running::No) {
        return vec![
            Line::pass(Area::Names, subject, format!("has {text}")),
            Line::skip(
                Area::Names,
                format!("{subject}: leads here"),
                "no gateway runs here with this configuration: start it and check again",
            ),
        ];
    }
    let dialler = Dialler::new(resolver.clone());
    let stream = match dialler.connect_tunnel(&wanted.address, deadline).await {
        Ok(stream) => stream,
        Err(error) => {
            let finding = error.finding();
            return vec![Line::found(Area::Names, subject, finding)];
        }
    };
    let line = match wanted.ours {
        false => Line::pass(
            Area::Names,
            subject,
            format!("has {text}, and something answers there"),
        ),
        true => leads_here(&wanted, &text, known, stream, deadline).await,
    };
    vec![line]
}

async fn leads_here(
    wanted: &Wanted,
    addresses: &str,
    known: &Known<'_>,
    stream: TcpStream,
    deadline: Instant,
) -> Line {
    let subject = &wanted.subject;
    let endpoint = Endpoint {
        address: wanted.address.clone(),
        name: wanted.address.host.clone(),
    };
    let presented = match timeout_at(deadline, look_at(&endpoint, stream)).await {
        Ok(Ok(presented)) => presented,
        Ok(Err(finding)) => return Line::found(Area::Names, subject, *finding),
        Err(_) => {
            let finding = Finding::error(
                "tls_silent",
                "it takes the connection and says nothing in the TLS handshake",
                "see what listens there, and whether a firewall stands between",
            );
            return Line::found(Area::Names, subject, finding);
        }
    };
    let leaf = presented.chain.first();
    let is_ours = |leaf: &CertificateDer<'_>| {
        let mut own = known.loaded.certificates.iter();
        own.any(|one| one.key.cert.first() == Some(leaf))
    };
    match leaf {
        Some(leaf) if is_ours(leaf) => Line::pass(
            Area::Names,
            subject,
            format!("has {addresses}, and leads to this gateway's certificate"),
        ),
        leaf => {
            let read = leaf.and_then(|der| Certificate::read(der.clone().into_owned()));
            Line::found(
                Area::Names,
                subject,
                elsewhere(wanted, addresses, read.as_ref()),
            )
        }
    }
}

fn elsewhere(wanted: &Wanted, addresses: &str, presented: Option<&Certificate>) -> Finding {
    let host = &wanted.address.host;
    let shown = presented.map_or_else(
        || "none".to_owned(),
        |one| format!("one for {} by {}", one.subject, one.issuer),
    );
    let fits = presented.is_some_and(|one| covers(one, &HostPattern::Exact(host.clone())));
    let what = format!(
        "{host} leads to {addresses}, where another certificate is shown than this gateway's: {shown}"
    );
    if fits {
        Finding::warning(
            "leads_elsewhere",
            format!("{what}. Another gateway, or something that ends TLS before this one"),
            "restart or reload this gateway where its certificate has changed; where a load balancer ends TLS, let it pass TCP on",
        )
    } else {
        Finding::error(
            "leads_elsewhere",
            what,
            format!("let the DNS record of {host} lead to this gateway: `dig {host}`"),
        )
    }
}

/// Where the name is an alias of one that is gone.
async fn dangling(name: &str, error: &ResolveError, resolver: &Resolver) -> Option<Finding> {
    if !matches!(
        error,
        ResolveError::NotFound { .. } | ResolveError::NoAddress { .. }
    ) {
        return None;
    }
    let to = resolver.alias(name).await?;
    Some(Finding::error(
        "dns_dangling",
        format!(
            "{name} is an alias (CNAME) of {to}, which leads nowhere: whoever gets hold of that name gets this one as well"
        ),
        format!(
            "let the CNAME of {name} lead to a name of this gateway, or replace it by A and AAAA records with its addresses"
        ),
    ))
}

fn unresolved(error: &ResolveError, wanted: &Wanted) -> Finding {
    let host = &wanted.address.host;
    match error {
        ResolveError::NotFound { .. } | ResolveError::NoAddress { .. } => Finding::error(
            "dns_missing",
            error.to_string(),
            format!(
                "make a record for {host} that leads to this gateway: A and AAAA with its addresses, or a CNAME to its name"
            ),
        ),
        ResolveError::NoServers { .. } => Finding::error(
            "dns_no_server",
            error.to_string(),
            "name a server in /etc/resolv.conf",
        ),
        _ => Finding::error(
            "dns_failed",
            error.to_string(),
            "see whether the name servers of this host answer: `dig NAME`, /etc/resolv.conf",
        ),
    }
}
