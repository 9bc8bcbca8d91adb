//! The settings of a configuration, each with its values.

use super::{EVERYBODY, EXTERNAL_URLS, INTERNAL_URLS, Opens, Setting, Settings};
use crate::config::GatewayConfig;
use crate::model::{
    Affinity, Application, BackendProtocol, HostHeader, LogFormat, LogTarget, Maintenance,
    ProxyProtocol, RequestLimit,
};

/// Puts settings together; one without a value is not there.
struct Writing(Settings);

impl Writing {
    fn put<V: ToString>(
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
}

pub(super) fn gateway(config: &GatewayConfig) -> Settings {
    let GatewayConfig {
        // The same wherever it lies, and compared as text where it matters.
        file: _,
        places: _,
        sources: _,
        reload,
        log,
        listen,
        store,
        // A secret's place is no secret, and a start's matter.
        store_key: _,
        certificates,
        connector_certificates,
        stream_window,
        congestion,
        drain,
        requests_per_address,
        requests_total,
        rate_per_address,
        connections,
        connections_are_written,
        applications: _,
        workers,
    } = config;
    let mut settings = Writing(Settings::new());
    let certificates = certificates
        .iter()
        .map(|files| format!("{} with {}", files.chain.display(), files.key.display()));
    settings
        .put("listen.https", Opens::More, &listen.https)
        .put("listen.http", Opens::More, &listen.http)
        .put("listen.tunnel", Opens::More, &listen.tunnel)
        .put("listen.metrics", Opens::More, listen.metrics)
        .put(
            "listen.admin",
            Opens::Never,
            listen.admin.iter().map(|p| p.display()),
        )
        .put("listen.public", Opens::Never, &listen.public)
        .put("listen.proxy_protocol", Opens::More, &listen.proxy_protocol)
        .put("reload", Opens::Never, [reload.as_str()])
        .put("log.level", Opens::Never, log.level.as_deref())
        .put(
            "log.format",
            Opens::Never,
            log.format.map(LogFormat::as_str),
        )
        .put(
            "log.to",
            Opens::Never,
            [match &log.to {
                LogTarget::Stderr => "stderr".to_owned(),
                LogTarget::Stdout => "stdout".to_owned(),
                LogTarget::File(path) => format!("file {}", path.display()),
                LogTarget::Syslog(path) => format!("syslog {}", path.display()),
            }],
        )
        .put("store", Opens::Any, [store.display()])
        .put("certificates", Opens::Never, certificates)
        .put(
            "tunnel.certificate_life",
            Opens::Never,
            [format!("{:?}", connector_certificates.life)],
        )
        .put(
            "tunnel.renewal_grace",
            Opens::Never,
            [format!("{:?}", connector_certificates.renewal_grace)],
        )
        .put(
            "tunnel.stream_window",
            Opens::Never,
            [stream_window.octets()],
        )
        .put(
            "congestion",
            Opens::Never,
            congestion.as_ref().map(|c| c.as_str()),
        )
        .put(
            "drain.notice",
            Opens::Never,
            [format!("{:?}", drain.notice)],
        )
        .put(
            "drain.deadline",
            Opens::Never,
            [format!("{:?}", drain.deadline)],
        )
        .put(
            "limits.requests_per_address",
            Opens::Never,
            [requests_per_address],
        )
        .put("limits.requests_total", Opens::Never, [requests_total])
        .put("limits.rate_per_address", Opens::Never, rate_per_address)
        .put(
            "limits.connections",
            Opens::Never,
            [match connections_are_written {
                true => connections.total.to_string(),
                false => format!("{} by default", connections.total),
            }],
        )
        .put(
            "limits.connections_per_address",
            Opens::Never,
            [connections.per_address],
        )
        .put("workers", Opens::Never, workers);
    settings.0
}

pub(super) fn application(application: &Application) -> Settings {
    let Application {
        name: _,
        external: _,
        alternates: _,
        internal,
        connectors,
        pre_authentication,
        host_header,
        link_translation,
        timeouts,
        backend_protocol,
        connection_authentication,
        proxy_protocol,
        affinity,
        health_check,
        limits,
        front,
    } = application;
    let mut settings = Writing(Settings::new());
    settings
        .put(EXTERNAL_URLS, Opens::More, application.external_urls())
        .put(INTERNAL_URLS, Opens::More, internal.all())
        .put("connector_groups", Opens::More, connectors.groups())
        .put("pre_authentication", Opens::Any, pre_authentication)
        .put(
            "open_for",
            Opens::More,
            open_for(front.maintenance.as_deref()),
        )
        .put(
            "maintenance.message",
            Opens::Never,
            front
                .maintenance
                .iter()
                .flat_map(|closed| closed.message.as_deref()),
        )
        .put(
            "maintenance.retry_after",
            Opens::Never,
            front
                .maintenance
                .iter()
                .flat_map(|closed| closed.retry_after.map(|after| format!("{after:?}"))),
        )
        .put("host_header", Opens::Any, [host(host_header)])
        .put(
            "link_translation.headers",
            Opens::Never,
            [link_translation.headers],
        )
        .put(
            "link_translation.cookie_domains",
            Opens::Never,
            &link_translation.cookie_domains,
        )
        .put(
            "timeouts.connect",
            Opens::Never,
            [format!("{:?}", timeouts.connect)],
        )
        .put(
            "timeouts.first_byte",
            Opens::Never,
            [format!("{:?}", timeouts.first_byte)],
        )
        .put(
            "timeouts.idle",
            Opens::Never,
            [format!("{:?}", timeouts.idle)],
        )
        .put(
            "backend_protocol",
            Opens::Never,
            [match backend_protocol {
                BackendProtocol::Http1 => "http1",
                BackendProtocol::Http2 => "http2",
            }],
        )
        .put(
            "connection_authentication",
            Opens::Never,
            [connection_authentication],
        )
        .put(
            "proxy_protocol",
            Opens::Never,
            proxy_protocol.map(|version| match version {
                ProxyProtocol::V1 => "v1",
                ProxyProtocol::V2 => "v2",
            }),
        )
        .put(
            "affinity",
            Opens::Never,
            affinity.map(|by| match by {
                Affinity::Cookie => "cookie",
                Affinity::Address => "address",
            }),
        )
        .put(
            "health_check",
            Opens::Never,
            health_check.as_ref().map(|check| {
                let path = check.path.as_deref().unwrap_or("connection");
                let good = match check.status.as_slice() {
                    [] => "below 500".to_owned(),
                    good => format!("{good:?}"),
                };
                let (interval, timeout) = (check.interval, check.timeout);
                format!("{path} every {interval:?} within {timeout:?}, good is {good}")
            }),
        )
        .put(
            "limits.requests",
            Opens::Never,
            [match limits.requests {
                RequestLimit::Share(share) => format!("{share}%"),
                RequestLimit::Count(count) => count.to_string(),
            }],
        )
        .put(
            "limits.requests_per_address",
            Opens::Never,
            limits.per_address,
        )
        .put("limits.rate", Opens::Never, limits.rate)
        .put(
            "limits.rate_per_address",
            Opens::Never,
            limits.rate_per_address,
        )
        .put("limits.body", Opens::Never, limits.body)
        .put("hsts", Opens::Never, front.hsts.map(|hsts| hsts.value()))
        .put(
            "robots",
            Opens::Never,
            front.denies_robots.then_some("deny"),
        )
        .put("home_path", Opens::Never, front.home.as_deref())
        .put(
            "clear_site_data",
            Opens::Never,
            front.clears_site_data.then_some("true"),
        );
    settings.0
}

fn open_for(maintenance: Option<&Maintenance>) -> Vec<String> {
    match maintenance {
        None => vec![EVERYBODY.to_owned()],
        Some(closed) => {
            let some = closed.allow.iter().map(ToString::to_string);
            // Closed is not the same as not written.
            std::iter::once("nobody".to_owned()).chain(some).collect()
        }
    }
}

fn host(header: &HostHeader) -> String {
    match header {
        HostHeader::Internal => "internal".to_owned(),
        HostHeader::External => "external".to_owned(),
        HostHeader::Fixed(name) => name.to_string(),
    }
}
