//! The settings of a configuration, each with its values.

use std::sync::Arc;

use super::backend::spoken;
use super::rules::{certified, guarded, guarded_paths, told};
use super::{EVERYBODY, EXTERNAL_URLS, INTERNAL_URLS, Opens, Setting, Settings};
use crate::config::{GatewayConfig, IdentityProvider};
use crate::model::{
    Application, Brand, Cors, HostHeader, LinkTranslation, LogFormat, LogTarget, Maintenance, Mode,
    RequestLimit,
};

/// Puts settings together; one without a value is not there.
pub(super) struct Writing(Settings);

impl Writing {
    pub(super) fn put<V: ToString>(
        &mut self,
        key: &str,
        opens: Opens,
        values: impl IntoIterator<Item = V>,
    ) -> &mut Self {
        let values: Vec<_> = values.into_iter().map(|v| v.to_string()).collect();
        if !values.is_empty() {
            self.0.insert(key.to_owned(), Setting { values, opens });
        }
        self
    }

    /// What lets nobody in, whatever it is.
    pub(super) fn say<V: ToString>(
        &mut self,
        key: &str,
        values: impl IntoIterator<Item = V>,
    ) -> &mut Self {
        self.put(key, Opens::Never, values)
    }
}

pub(super) fn gateway(config: &GatewayConfig) -> Settings {
    let GatewayConfig {
        // The same wherever it lies, and compared as text where it matters.
        file: _,
        // The applications name them.
        client_authorities: _,
        places: _,
        sources: _,
        reload,
        log,
        listen,
        store,
        // A secret's place is no secret, and a start's matter.
        store_key: _,
        certificates,
        // See `people`.
        identity_providers: _,
        sign_in: _,
        session: _,
        // See `limits`.
        connector_certificates: _,
        stream_window: _,
        congestion: _,
        drain: _,
        requests_per_address: _,
        requests_per_session: _,
        requests_total: _,
        rate_per_address: _,
        connections: _,
        connections_are_written: _,
        workers: _,
        // See `brand`.
        brand: _,
        // Each is described by itself.
        applications: _,
    } = config;
    let mut settings = Writing(Settings::new());
    let certificates = certificates.iter().map(|files| match files.is_one_file() {
        true => files.chain.display().to_string(),
        false => format!("{} with {}", files.chain.display(), files.key.display()),
    });
    settings
        .put("listen.https", Opens::More, &listen.https)
        .put("listen.http", Opens::More, &listen.http)
        .put("listen.tunnel", Opens::More, &listen.tunnel)
        .put("listen.metrics", Opens::More, listen.metrics)
        .say("listen.admin", listen.admin.iter().map(|p| p.display()))
        .say("listen.public", &listen.public)
        .put("listen.proxy_protocol", Opens::More, &listen.proxy_protocol)
        .say("reload", [reload.as_str()])
        .say("log.person", [log.person.as_str()])
        .say("log.level", log.level.as_deref())
        .say("log.format", log.format.map(LogFormat::as_str))
        .say("log.to", [target(&log.to)])
        .put("audit.to", Opens::Any, log.audit.as_ref().map(target))
        .put("store", Opens::Any, [store.display()])
        .say("certificates", certificates);
    people(&mut settings, config);
    limits(&mut settings, config);
    brand(&mut settings, &config.brand);
    settings.0
}

fn target(target: &LogTarget) -> String {
    match target {
        LogTarget::Stderr => "stderr".to_owned(),
        LogTarget::Stdout => "stdout".to_owned(),
        LogTarget::File(path) => format!("file {}", path.display()),
        LogTarget::Syslog(path) => format!("syslog {}", path.display()),
    }
}

/// Who signs in where, and for how long.
fn people(settings: &mut Writing, config: &GatewayConfig) {
    let GatewayConfig {
        identity_providers,
        sign_in,
        session,
        ..
    } = config;
    settings
        .put(
            "identity_providers",
            Opens::Any,
            identity_providers
                .iter()
                .map(|provider| self::provider(provider)),
        )
        .put(
            "sign_in.url",
            Opens::Any,
            sign_in.iter().map(|own| own.origin()),
        )
        .say(
            "sign_in.fragment",
            sign_in
                .iter()
                .map(|own| if own.keeps_fragment { "keep" } else { "off" }),
        )
        .say(
            "sign_in.forms",
            sign_in
                .iter()
                .map(|own| if own.keeps_forms { "keep" } else { "off" }),
        )
        .put("session.idle", Opens::Any, [format!("{:?}", session.idle)])
        .put(
            "session.lifetime",
            Opens::Any,
            [format!("{:?}", session.lifetime)],
        );
}

/// What of a provider decides who somebody is.
fn provider(provider: &IdentityProvider) -> String {
    let names = |values: &[Arc<str>]| values.join("|");
    let algorithms = provider.allowed_algorithms.iter().map(|one| one.as_str());
    let claims = &provider.claims;
    format!(
        "{}: {} as {} preset {} tenants [{}] scopes [{}] claims {}, {}, {} trust_email {} algorithms [{}] max_age {:?} prompt {:?} acr_values [{}] userinfo {:?} recheck {:?} timeout {:?} shown as {}",
        provider.name,
        provider.issuer,
        provider.client_id,
        provider.preset.map_or("none", |preset| preset.as_str()),
        names(&provider.tenants),
        names(&provider.scopes),
        claims.groups,
        claims.email,
        claims.name,
        provider.trust_email,
        algorithms.collect::<Vec<_>>().join("|"),
        provider.max_age,
        provider.prompt,
        names(&provider.acr_values),
        provider.userinfo,
        provider.recheck,
        provider.timeout,
        provider.display_name,
    )
}

/// Of our own pages.
fn brand(settings: &mut Writing, brand: &Brand) {
    let logo = brand.logo.iter().map(|logo| logo.path.display());
    settings
        .say("brand.name", brand.name.as_deref())
        .say("brand.logo", logo)
        .say("brand.colour", brand.colour)
        .say("brand.support", brand.support.iter().map(|s| s.as_str()));
}

/// Of tunnels, a stop, and what people may have.
fn limits(settings: &mut Writing, config: &GatewayConfig) {
    let lives = &config.connector_certificates;
    settings
        .say("tunnel.certificate_life", [format!("{:?}", lives.life)])
        .say(
            "tunnel.renewal_grace",
            [format!("{:?}", lives.renewal_grace)],
        )
        .say("tunnel.stream_window", [config.stream_window.octets()])
        .say("congestion", config.congestion.as_ref().map(|c| c.as_str()))
        .say("drain.notice", [format!("{:?}", config.drain.notice)])
        .say("drain.deadline", [format!("{:?}", config.drain.deadline)])
        .say("limits.requests_per_address", [config.requests_per_address])
        .say("limits.requests_per_session", [config.requests_per_session])
        .say("limits.requests_total", [config.requests_total])
        .say("limits.rate_per_address", config.rate_per_address)
        .say(
            "limits.connections",
            [match config.connections_are_written {
                true => config.connections.total.to_string(),
                false => format!("{} by default", config.connections.total),
            }],
        )
        .say(
            "limits.connections_per_address",
            [config.connections.per_address],
        )
        .say("workers", config.workers);
}

fn translated(settings: &mut Writing, translation: &LinkTranslation) {
    settings
        .say("link_translation.headers", [translation.headers])
        .say("link_translation.body", &translation.body)
        .say("link_translation.round_trip", [translation.round_trip])
        .say("link_translation.attributes", &translation.attributes)
        .say("link_translation.replacements", &translation.replacements)
        .say("link_translation.exclude", &translation.exclude)
        .put("link_translation.report", Opens::More, &translation.report)
        .say(
            "link_translation.cookie_domains",
            &translation.cookie_domains,
        );
}

pub(super) fn application(application: &Application) -> Settings {
    let Application {
        name: _,
        mode,
        external: _,
        alternates: _,
        internal,
        connectors,
        guard,
        // See `guarded`.
        paths: _,
        bearer: _,
        client_certificates,
        sign_on,
        description,
        host_header,
        link_translation,
        timeouts,
        // See `spoken`.
        backend_protocol: _,
        connection_authentication: _,
        proxy_protocol: _,
        affinity: _,
        health_check: _,
        // See `fronted`.
        limits: _,
        front,
    } = application;
    let mut settings = Writing(Settings::new());
    guarded(&mut settings, "", guard);
    settings
        .put(
            "mode",
            Opens::Any,
            (*mode == Mode::TlsPassthrough).then_some("tls_passthrough"),
        )
        .put(EXTERNAL_URLS, Opens::More, application.external_urls())
        .put(INTERNAL_URLS, Opens::More, internal.all())
        .put("connector_groups", Opens::More, connectors.groups())
        .say("description", description.as_deref())
        .put(
            "open_for",
            Opens::More,
            open_for(front.maintenance.as_deref()),
        )
        .say(
            "maintenance.message",
            front
                .maintenance
                .iter()
                .flat_map(|closed| closed.message.as_deref()),
        )
        .say(
            "maintenance.retry_after",
            front
                .maintenance
                .iter()
                .flat_map(|closed| closed.retry_after.map(|after| format!("{after:?}"))),
        )
        .put("host_header", Opens::Any, [host(host_header)])
        .say("timeouts.connect", [format!("{:?}", timeouts.connect)])
        .say(
            "timeouts.first_byte",
            [format!("{:?}", timeouts.first_byte)],
        )
        .say("timeouts.idle", [format!("{:?}", timeouts.idle)]);
    translated(&mut settings, link_translation);
    guarded_paths(&mut settings, application);
    certified(&mut settings, client_certificates.as_deref());
    told(&mut settings, sign_on);
    spoken(&mut settings, application);
    fronted(&mut settings, application);
    settings.0
}

/// What the gateway does for it, and lets through.
fn fronted(settings: &mut Writing, application: &Application) {
    let Application { limits, front, .. } = application;
    settings
        .say(
            "limits.requests",
            [match limits.requests {
                RequestLimit::Share(share) => format!("{share}%"),
                RequestLimit::Count(count) => count.to_string(),
            }],
        )
        .say("limits.requests_per_address", limits.per_address)
        .say("limits.rate", limits.rate)
        .say("limits.rate_per_address", limits.rate_per_address)
        .say("limits.body", limits.body)
        .say("hsts", front.hsts.map(|hsts| hsts.value()))
        .say("robots", front.denies_robots.then_some("deny"))
        .say("home_path", front.home.as_deref())
        .say("clear_site_data", front.clears_site_data.then_some("true"))
        .put(
            "cache",
            Opens::More,
            front.is_cached_for_all.then_some("application"),
        )
        .say("icon", front.icon.iter().map(|icon| icon.path.display()))
        .say("hidden", front.is_hidden.then_some("true"));
    let cors = front.cors.as_ref();
    let words = |list: fn(&Cors) -> &[Arc<str>]| {
        let all = cors.into_iter().flat_map(move |cors| list(cors));
        all.map(|word| word.to_string())
    };
    settings
        .put("cors.origins", Opens::More, words(|cors| &cors.origins))
        .put("cors.methods", Opens::More, words(|cors| &cors.methods))
        .put("cors.headers", Opens::More, words(|cors| &cors.headers))
        .put("cors.expose", Opens::More, words(|cors| &cors.expose))
        .put(
            "cors.credentials",
            Opens::More,
            cors.and_then(|cors| cors.credentials.then_some("true")),
        )
        .say(
            "cors.max_age",
            cors.map(|cors| format!("{:?}", cors.max_age)),
        );
}

fn open_for(maintenance: Option<&Maintenance>) -> Vec<String> {
    match maintenance {
        None => vec![EVERYBODY.to_owned()],
        // Closed is not the same as not written.
        Some(closed) => (std::iter::once("nobody".to_owned()))
            .chain(closed.allow.iter().map(ToString::to_string))
            .collect(),
    }
}

fn host(header: &HostHeader) -> String {
    match header {
        HostHeader::Internal => "internal".to_owned(),
        HostHeader::External => "external".to_owned(),
        HostHeader::Fixed(name) => name.to_string(),
    }
}
