//! The gateway's file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;

use super::access;
use super::application::{self, Common};
use super::applications;
use super::certificate;
use super::drain;
use super::field::Field;
use super::file::{self, Kind};
use super::findings::Findings;
use super::front;
use super::limits;
use super::log;
use super::section::Section;
use super::sign_in::People;
use super::sign_on;
use super::tunnel;
use super::{
    CertificateFiles, GatewayConfig, GatewayPlaces, GatewayReading, Listen, Reload, Sources,
};
use crate::model::{ApplicationLimits, Finding, Host};

/// Keys the documents describe, not built yet.
const LATER: &[&str] = &["trusted_proxies", "store_grace", "metrics", "admin"];

const LATER_CERTIFICATE: &[&str] = &["acme"];

impl GatewayConfig {
    /// Reads and checks a gateway's file and the files it includes. Nothing is opened beyond
    /// these: certificates, keys and the store are their owners' to read.
    ///
    /// # Errors
    /// Every problem found, sorted by place; never an empty list.
    pub fn load(path: &Path) -> Result<Self, Vec<Finding>> {
        Self::read(path).config
    }

    /// As [`GatewayConfig::load`], and tells which certificates are named even where something
    /// else is wrong.
    #[must_use]
    pub fn read(path: &Path) -> GatewayReading {
        match file::read_main(path) {
            Ok(text) => Self::reading(path, &text),
            Err(found) => GatewayReading {
                config: Err(found),
                certificates: Vec::new(),
            },
        }
    }

    /// Checks the text of a gateway's file; `file` names it in findings, and its folder is where
    /// relative paths start.
    ///
    /// # Errors
    /// Every problem found, sorted by place; never an empty list.
    pub fn from_text(file: &Path, text: &str) -> Result<Self, Vec<Finding>> {
        Self::reading(file, text).config
    }

    fn reading(file: &Path, text: &str) -> GatewayReading {
        let findings = Findings::default();
        let mut named = Vec::new();
        let config = file::read_root(file, text, Kind::Gateway, &findings, LATER, |root| {
            read(root, file, &findings, &mut named)
        });
        GatewayReading {
            config: findings.conclude(file, config),
            certificates: named,
        }
    }
}

/// What applications take from the rest of the file, and whether all of it could be read.
fn common(
    root: &Section<'_>,
    people: &People,
    limits: ApplicationLimits,
    serves_http: bool,
    folder: &Path,
) -> (Common, bool) {
    let mut defaults = root
        .optional("defaults")
        .and_then(application::defaults)
        .unwrap_or_default();
    let closed = root.optional("maintenance").map(front::maintenance);
    defaults.front.maintenance = closed.flatten().flatten();
    let asked = people.asked();
    let countries = root.optional("country_database");
    let countries = countries.map(|field| access::countries(field, folder));
    let no_countries = matches!(countries, Some(None));
    let rules = access::named_rules(root.optional("access_rules"), &asked, countries);
    let are_read = rules.is_some() && !no_countries;
    let common = Common {
        domain: root.optional("default_domain").map(domain),
        defaults,
        limits,
        serves_http,
        sign_in: asked,
        rules: rules.unwrap_or_default(),
        folder: folder.to_owned(),
    };
    (common, are_read)
}

/// Reads every key before the first `?`, so that each has its say.
#[expect(clippy::too_many_lines, reason = "one key after the other")]
fn read(
    root: &Section<'_>,
    path: &Path,
    findings: &Findings,
    named: &mut Vec<CertificateFiles>,
) -> Option<GatewayConfig> {
    let folder = file::folder(path);
    let at_listen = root.required("listen", "{ https: [\"[::]:443\"] }");
    let listen = at_listen.and_then(|field| listen(field, folder));
    let at_store = root.required("store", "sqlite:/var/lib/appproxy/gateway.db");
    let store = at_store.and_then(|field| store(field, folder));
    let at_store_key = root.optional("store_key");
    let store_key = at_store_key.map(|field| field.secret(folder));
    let certificates = certificates(root, folder, named);
    let workers = file::workers(root);
    let reload = root.optional("reload").map(reload);
    let at_log = root.optional("log");
    let log = log::of_gateway(at_log, root.optional("audit"), folder);
    let tunnel = root.optional("tunnel").map(tunnel::gateway);
    let congestion = root.optional("congestion").map(tunnel::congestion);
    let drain = root.optional("drain").map(drain::gateway);
    let people = People::read(root, folder);
    let limits = root.optional("limits").map(limits::gateway);
    let limits_of_applications = limits.flatten().unwrap_or_default().usual;
    let serves_http = listen.as_ref().is_none_or(|l| l.serves_http);
    let (common, rules_are_read) =
        common(root, &people, limits_of_applications, serves_http, folder);
    let tunnel = tunnel.unwrap_or_else(|| Some(Default::default()));
    let mut sources = Sources {
        files: vec![path.to_owned()],
        pattern: None,
    };
    let mut read = applications::read(root, folder, &common, findings, &mut sources);
    if let Some(read) = &mut read {
        sign_on::complete(
            &mut read.applications,
            people.host.as_ref().and_then(Option::as_ref),
        );
    }

    people.check(root, read.as_ref().map(|read| &*read.applications));
    if !rules_are_read {
        return None;
    }
    let applications::Read {
        applications,
        authorities,
    } = read?;
    let limits = limits.unwrap_or_else(|| Some(Default::default()))?;
    let tunnel::OfGateway {
        connectors,
        stream_window,
    } = tunnel?;
    Some(GatewayConfig {
        file: path.to_owned(),
        reload: reload.unwrap_or_else(|| Some(Default::default()))?,
        places: GatewayPlaces {
            listen: at_listen?.place().clone(),
            log: at_log
                .map(|field| field.place().clone())
                .unwrap_or_default(),
            store: at_store?.place().clone(),
            store_key: at_store_key.or(at_store)?.place().clone(),
        },
        sources,
        log: log?,
        listen: listen?.listen,
        store: store?,
        store_key: store_key.map_or(Some(None), |read| read.map(Some))?,
        certificates: certificates?,
        connector_certificates: connectors,
        stream_window,
        congestion: match congestion {
            Some(read) => Some(read?),
            None => None,
        },
        drain: drain.unwrap_or_else(|| Some(Default::default()))?,
        requests_per_address: limits.requests_per_address,
        requests_per_session: limits.requests_per_session,
        requests_total: limits.requests_total,
        rate_per_address: limits.rate_per_address,
        connections: limits.connections,
        connections_are_written: limits.connections_are_written,
        identity_providers: people.providers.unwrap_or_else(|| Some(Vec::new()))?,
        sign_in: people.host.map_or(Some(None), |read| read.map(Some))?,
        session: people.session.unwrap_or_else(|| Some(Default::default()))?,
        brand: people.brand.unwrap_or_else(|| Some(Default::default()))?,
        client_authorities: authorities,
        applications: applications.into_iter().map(Arc::new).collect(),
        workers,
    })
}

/// The listeners; `serves_http` also where the http listener's own value is refused, since then
/// that is what is to be said, and not that it is missing.
struct Listeners {
    listen: Listen,
    serves_http: bool,
}

fn listen(field: Field<'_>, folder: &Path) -> Option<Listeners> {
    field.section(&[], |section| {
        let addresses = |name| section.optional(name).map(|f| f.distinct(Field::listener));
        let (https, http) = (addresses("https"), addresses("http"));
        let tunnel = addresses("tunnel");
        let public = section
            .optional("public")
            .map(|f| f.distinct(Field::endpoint));
        let proxy_protocol = section
            .optional("proxy_protocol")
            .map(|f| f.distinct(balancer));
        let metrics = section.optional("metrics").map(Field::metrics_listener);
        let admin = section.optional("admin").map(|field| admin(field, folder));
        if https.is_none() {
            section.error_at_key(
                "https",
                "no_listener",
                "there is no https listener: people and connectors have nowhere to connect to",
                "add it, such as `https: [\"[::]:443\"]`",
            );
        }
        for (name, these, other, those) in [
            ("http", &http, "https", &https),
            ("tunnel", &tunnel, "https", &https),
            ("tunnel", &tunnel, "http", &http),
        ] {
            if let (Some(Some(these)), Some(Some(those))) = (these, those)
                && let Some(both) = those.iter().find(|address| these.contains(address))
            {
                let what = format!("`{both}` is also under `{other}`");
                let remedy = "give each its own port";
                section.error_at_key(name, "duplicate_value", &what, remedy);
            }
        }
        if let Some(Some(metrics)) = &metrics
            && let Some((key, _)) = [("https", &https), ("http", &http), ("tunnel", &tunnel)]
                .into_iter()
                .find(|(_, those)| matches!(those, Some(Some(those)) if those.contains(metrics)))
        {
            let what = format!("`{metrics}` is also under `{key}`");
            let remedy = "give each its own port";
            section.error_at_key("metrics", "duplicate_value", &what, remedy);
        }
        Listeners {
            serves_http: http.is_some(),
            listen: Listen {
                https: https.flatten().unwrap_or_default(),
                http: http.flatten().unwrap_or_default(),
                tunnel: tunnel.flatten().unwrap_or_default(),
                proxy_protocol: proxy_protocol.flatten().unwrap_or_default(),
                public: public.flatten().unwrap_or_default(),
                metrics: metrics.flatten(),
                admin: admin.flatten(),
            },
        }
    })
}

/// When the configuration is read again.
fn reload(field: Field<'_>) -> Option<Reload> {
    let known = [Reload::Manual, Reload::Watch];
    field.parse("bad_value", "write `watch` or `manual`", |text| {
        let same = known.into_iter().find(|reload| reload.as_str() == text);
        same.ok_or_else(|| format!("`{text}` is no way to reload"))
    })
}

/// The longest path of a socket file (unix(7): 108 octets with the one at the end, and a name of our
/// own meanwhile).
const SOCKET_PATH: usize = 90;

/// A socket file.
fn admin(field: Field<'_>, folder: &Path) -> Option<PathBuf> {
    const FORM: &str = "write `unix:` and the path of a socket file, such as \
                        `unix:/run/appproxy/admin.sock`";
    let text = field.text()?;
    let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) else {
        return field.refuse("bad_socket", format!("`{text}` is no socket file"), FORM);
    };
    let path = folder.join(path);
    if path.as_os_str().len() > SOCKET_PATH {
        let what = format!("the path has more than {SOCKET_PATH} octets");
        return field.refuse("bad_socket", what, "choose a shorter one");
    }
    Some(path)
}

/// Who passes connections on, and is believed about whose they are.
fn balancer(field: Field<'_>) -> Option<IpNet> {
    let network = front::network(field)?;
    if network.prefix_len() == 0 {
        return field.refuse(
            "bad_network",
            format!("`{network}` is everybody, who could then give themselves any address"),
            "write the addresses of the load balancers",
        );
    }
    Some(network)
}

fn store(field: Field<'_>, folder: &Path) -> Option<PathBuf> {
    const FORM: &str = "write `sqlite:` and the path of a file, such as \
                        `sqlite:/var/lib/appproxy/gateway.db`";
    let text = field.text()?;
    if text.starts_with("postgres:") || text.starts_with("postgresql:") {
        return field.not_built("postgres");
    }
    // Not repeated in the message: the address of a database may hold a password.
    let Some(path) = text.strip_prefix("sqlite:") else {
        return field.refuse("bad_store", "this is no kind of store", FORM);
    };
    let odd = path.contains(|c: char| c == '?' || c.is_control());
    if path.is_empty() || path.starts_with("//") || path.starts_with(':') || odd {
        return field.refuse("bad_store", "`sqlite:` is not followed by a path", FORM);
    }
    Some(folder.join(path))
}

/// Every certificate, or none; `named` gets those that can be looked at.
fn certificates(
    root: &Section<'_>,
    folder: &Path,
    named: &mut Vec<CertificateFiles>,
) -> Option<Vec<CertificateFiles>> {
    let Some(field) = root.optional("certificates") else {
        root.error_at_key(
            "certificates",
            "no_certificates",
            "`listen.https` needs a certificate, and there is none",
            "add `certificates: [ { chain: /etc/appproxy/tls.pem, key: /etc/appproxy/tls.key } ]`",
        );
        return None;
    };
    let read = |item: Field<'_>| {
        item.section(LATER_CERTIFICATE, |section| {
            if LATER_CERTIFICATE.iter().any(|name| section.has(name)) {
                for name in ["chain", "key", "pfx", "password"] {
                    section.optional(name);
                }
                return None;
            }
            certificate::files(section, folder)
        })?
    };
    // Read every one before any is missed.
    let files: Vec<_> = field.list()?.into_iter().map(read).collect();
    named.extend(files.iter().flatten().cloned());
    files.into_iter().collect()
}

/// The domain that applications without an external URL are published under.
fn domain(field: Field<'_>) -> Option<Host> {
    let example = "write a domain, such as `apps.example.com`";
    let host = field.parse_host(example, Host::parse)?;
    if host.name().is_none() {
        return field.refuse("bad_host", "an address is not a domain", example);
    }
    Some(host)
}
