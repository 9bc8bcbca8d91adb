//! Every metric: its name, what it says, and its labels. Nothing is counted under a name that does
//! not stand here, and `docs/metrics.md` has a row for each.
//!
//! The values of labels are bounded: names of the configuration, connectors of the store, words of
//! closed lists. Never a path, a stranger's host or a text.
//!
//! Counters and histograms count on the way; handles are made once where a request would otherwise
//! pay for looking them up. Gauges are read from the state they tell of when somebody asks
//! ([`Page`]), so they cannot drift away from it.

use std::fmt::Write as _;

use metrics::{Counter, Histogram, Key, Label, Level, Metadata};

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from the start of the process.
    Counter,
    /// It is so at the moment.
    Gauge,
    /// How observations are spread, in buckets.
    Histogram,
}

impl Kind {
    /// The word of the text format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name, with its unit at the end.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// What it says.
    pub help: &'static str,
    /// The names of its labels, in the order in which their values are given.
    pub labels: &'static [&'static str],
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                help: $help,
                labels: &[$($label),*],
            };
        )*

        /// Every metric, in the order of the documents.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

catalogue! {
    // The gateway: requests.
    REQUESTS = Counter "appproxy_requests_total" ["application", "status", "code"]
        "Requests that ended, by the class of the status that was sent (none where the client went away before) and by error code (none where an application answered).";
    REQUEST_DURATION = Histogram "appproxy_request_duration_seconds" ["application"]
        "From a request's head to the end of its answer; WebSockets are not in it.";
    REQUEST_PARTS = Histogram "appproxy_request_part_duration_seconds" ["application", "part"]
        "How long the head of an answer took, by where: gateway until a tunnel was chosen, tunnel on the way and back, backend at the application as its connector says.";
    REQUEST_OCTETS = Counter "appproxy_request_octets_total" ["application", "direction"]
        "Octets of bodies and WebSockets, in from clients and out to them; counted when a request has ended.";
    REQUESTS_IN_FLIGHT = Gauge "appproxy_requests_in_flight" ["application"]
        "Requests whose answer has not ended, WebSockets included.";
    WEBSOCKETS_OPEN = Gauge "appproxy_websockets_open" []
        "WebSockets that are open through this gateway.";
    RETRIES = Counter "appproxy_retries_total" ["outcome"]
        "Further attempts of requests that were sent again, by outcome: answered or failed.";
    FAILOVERS = Counter "appproxy_failovers_total" ["application"]
        "Times a further connector group began to stand in for the ones before it.";
    EJECTIONS = Counter "appproxy_ejections_total" ["application"]
        "Times a connector was left alone because it did not reach an application.";
    RETURNS = Counter "appproxy_returns_total" ["application"]
        "Times a connector that was left alone reached the application again.";

    TRANSLATED = Counter "appproxy_translated_bodies_total" ["application", "outcome"]
        "Answers of applications whose bodies are looked through for links, by outcome: translated, or why not; and forms with files that could not be (multipart).";
    TRANSLATED_LINKS = Counter "appproxy_translated_links_total" ["application"]
        "Links that were changed in bodies.";
    TRANSLATED_OCTETS = Counter "appproxy_translated_octets_total" ["application"]
        "Octets of bodies that were looked through, as the applications sent them.";
    TRANSLATION_SECONDS = Histogram "appproxy_translation_seconds" ["application"]
        "How long it took to look a body through, without the time that was waited for it.";

    // The gateway: connections and tunnels.
    CONNECTIONS_ACCEPTED = Counter "appproxy_connections_accepted_total" ["listener"]
        "Connections that were accepted, whoever opened them.";
    CONNECTIONS_OPEN = Gauge "appproxy_connections_open" []
        "Connections of people, and those of which it is not known yet whose they are.";
    CONNECTIONS_EVICTED = Counter "appproxy_connections_evicted_total" ["reason"]
        "Idle connections that made room for others, by the limit that was reached: total, address, or header, of those that wait for their PROXY header.";
    CONNECTIONS_REFUSED = Counter "appproxy_connections_refused_total" ["reason"]
        "Connections of people that were closed at once because none was idle, by the limit that was reached: total or address.";
    HANDSHAKE_FAILURES = Counter "appproxy_handshake_failures_total" []
        "TLS handshakes that did not come to their end.";
    PROXY_HEADER_FAILURES = Counter "appproxy_proxy_header_failures_total" []
        "Connections of sources of listen.proxy_protocol that were closed because their PROXY header was none.";
    TUNNELS = Gauge "appproxy_tunnels" ["group", "connector"]
        "Open tunnels of each enrolled connector.";
    TUNNEL_RTT = Gauge "appproxy_tunnel_rtt_seconds" ["group", "connector"]
        "How long a word takes to a connector and back over the control stream of its tunnel, the quickest of them.";
    TUNNEL_STREAMS = Gauge "appproxy_tunnel_streams" ["group", "connector"]
        "Requests that hold a place in the tunnels of a connector.";
    TUNNEL_PLACES = Gauge "appproxy_tunnel_places" ["group", "connector"]
        "Places that the tunnels of a connector have, taken or free.";
    GROUP_CONNECTORS = Gauge "appproxy_group_connectors" ["group"]
        "Connectors of a group that have a tunnel to this gateway.";
    TUNNELS_OPENED = Counter "appproxy_tunnels_opened_total" ["group"]
        "Tunnels that were taken into service.";
    TUNNELS_CLOSED = Counter "appproxy_tunnels_closed_total" ["group", "reason"]
        "Tunnels that ended, by reason.";
    TUNNELS_REFUSED = Counter "appproxy_tunnels_refused_total" ["reason"]
        "Connections for the tunnel that never became one, by reason.";
    CONNECTORS = Gauge "appproxy_connectors" ["group", "state"]
        "Enrolled connectors by state: connected (here), away, inactive (lost for 15 minutes), hidden (for 10 days).";
    LAST_SEEN = Gauge "appproxy_connectors_last_seen_seconds" ["group", "connector"]
        "How long ago a connector was connected to any gateway on this store; 0 while it is.";
    ENROLMENTS = Counter "appproxy_enrolments_total" ["outcome"]
        "Conversations of enrolment by outcome: enrolled, renewed_late, or the code of a refusal.";
    RENEWALS = Counter "appproxy_renewals_total" ["outcome"]
        "Requests over a tunnel for another certificate: renewed or refused.";

    // The gateway: itself.
    STORE_ERRORS = Counter "appproxy_store_errors_total" []
        "Times the store gave no answer.";
    LOG_LINES_LOST = Counter "appproxy_log_lines_lost_total" []
        "Lines of the log that could not be written where they belong.";
    CONFIG_GENERATION = Gauge "appproxy_config_generation" []
        "The number of the configuration in force: 1 is that of the start, and each reload adds one.";
    CONFIG_CURRENT = Gauge "appproxy_config_last_reload_successful" []
        "0 while the configuration in force is not the last one that was read, because that was refused.";
    CONFIG_RELOADS = Counter "appproxy_config_reloads_total" ["outcome"]
        "Times a configuration or certificates were read again, by outcome: done or refused.";
    DRAINING = Gauge "appproxy_draining" []
        "1 while the process stops and takes nothing new.";

    // Both ends.
    CERTIFICATE_EXPIRY = Gauge "appproxy_certificate_expiry_seconds" ["use", "name"]
        "How long a certificate is still good: for people, of the gateway's tunnel, or a connector's; below 0 once it has ended.";
    BUILD_INFO = Gauge "appproxy_build_info" ["version"]
        "Always 1; the version is in the label.";

    // The connector.
    CONNECTOR_TUNNELS = Gauge "appproxy_connector_tunnels" ["gateway"]
        "Open tunnels to each gateway that is dialled.";
    CONNECTOR_DIALS = Counter "appproxy_connector_dials_total" ["gateway"]
        "Attempts to open a tunnel.";
    CONNECTOR_DIAL_FAILURES = Counter "appproxy_connector_dial_failures_total" ["gateway", "reason"]
        "Attempts that failed and tunnels that were lost, by reason.";
    CONNECTOR_STREAMS = Gauge "appproxy_connector_streams" []
        "Requests and WebSockets in flight through this connector.";
    BACKEND_REQUESTS = Counter "appproxy_connector_backend_requests_total" ["application", "code"]
        "Requests for applications, by error code; none where the application answered.";
    BACKEND_CONNECT = Histogram "appproxy_connector_backend_connect_seconds" []
        "How long a connection to an application took, look-up and TLS included.";
    BACKEND_FIRST_BYTE = Histogram "appproxy_connector_backend_first_byte_seconds" []
        "From a request's arrival at the connector to the head of the application's answer.";
    BACKEND_IDLE = Gauge "appproxy_connector_backend_idle_connections" []
        "Idle connections to applications that wait for the next request.";
    BACKEND_INFORMATIONAL = Counter "appproxy_connector_backend_informational_total" []
        "Informational answers (1xx) of applications over HTTP/1.1; they are not passed on.";
    DNS_FAILURES = Counter "appproxy_connector_dns_failures_total" []
        "Names of applications that did not resolve.";
    CLOCK_SKEW = Gauge "appproxy_connector_clock_skew_seconds" []
        "How far this host's clock is ahead of a gateway's, as measured last.";
}

/// The word in a label where there is nothing to name.
pub const NONE: &str = "none";

/// The application label of requests that no application was found for. No application has it:
/// names begin with a letter or digit.
pub const NO_APPLICATION: &str = "-";

const METADATA: Metadata<'_> = Metadata::new("appproxy", Level::INFO, None);

impl Metric {
    /// A counter's handle for these values of its labels; to be kept where requests pass.
    pub fn counter(&self, values: &[&str]) -> Counter {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        metrics::with_recorder(|recorder| recorder.register_counter(&self.key(values), &METADATA))
    }

    /// A histogram's handle.
    pub fn histogram(&self, values: &[&str]) -> Histogram {
        debug_assert_eq!(self.kind, Kind::Histogram, "{}", self.name);
        metrics::with_recorder(|recorder| recorder.register_histogram(&self.key(values), &METADATA))
    }

    /// Counts one more of what happens seldom.
    pub fn count(&self, values: &[&str]) {
        self.counter(values).increment(1);
    }

    fn key(&self, values: &[&str]) -> Key {
        debug_assert_eq!(self.labels.len(), values.len(), "{}", self.name);
        let labels = self.labels.iter().zip(values);
        let labels = labels.map(|(&name, &value)| Label::new(name, value.to_owned()));
        Key::from_parts(self.name, labels.collect::<Vec<_>>())
    }
}

/// What is read from the state at the moment somebody asks, in the text format of Prometheus.
#[derive(Debug, Default)]
pub struct Page(String);

/// The rows of one metric on a [`Page`].
#[derive(Debug)]
pub struct Rows<'p> {
    page: &'p mut String,
    metric: Metric,
}

impl Page {
    /// Begins a gauge.
    pub fn gauge(&mut self, metric: Metric) -> Rows<'_> {
        debug_assert_eq!(metric.kind, Kind::Gauge, "{}", metric.name);
        let Metric { name, help, .. } = metric;
        let _ = writeln!(
            self.0,
            "# HELP {name} {}\n# TYPE {name} gauge",
            escaped(help, false)
        );
        Rows {
            page: &mut self.0,
            metric,
        }
    }

    /// A gauge without labels.
    pub fn value(&mut self, metric: Metric, value: f64) {
        self.gauge(metric).row(&[], value);
    }

    /// The text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }
}

impl Rows<'_> {
    /// One row.
    pub fn row(&mut self, values: &[&str], value: f64) -> &mut Self {
        debug_assert_eq!(
            self.metric.labels.len(),
            values.len(),
            "{}",
            self.metric.name
        );
        self.page.push_str(self.metric.name);
        for (index, (name, value)) in self.metric.labels.iter().zip(values).enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.page, "{before}{name}=\"{}\"", escaped(value, true));
        }
        let after = if values.is_empty() { "" } else { "}" };
        let _ = writeln!(self.page, "{after} {value}");
        self
    }
}

/// As the text format has it; quotes count in labels only.
fn escaped(text: &str, quotes: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '"' if quotes => escaped.push_str("\\\""),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_say_their_unit() {
        let names: BTreeSet<&str> = ALL.iter().map(|m| m.name).collect();
        assert_eq!(names.len(), ALL.len());
        for Metric {
            name,
            kind,
            help,
            labels,
        } in ALL
        {
            let words = name.strip_prefix("appproxy_").unwrap();
            assert!(
                words.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name}"
            );
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(
                *kind != Kind::Histogram || name.ends_with("_seconds"),
                "{name}"
            );
            assert!(help.ends_with('.') && help.len() > 20, "{name}: {help}");
            let different: BTreeSet<_> = labels.iter().collect();
            assert_eq!(different.len(), labels.len(), "{name}");
        }
    }

    #[test]
    fn a_gauge_is_written_as_the_text_format_has_it() {
        let mut page = Page::default();
        page.gauge(TUNNELS)
            .row(&["hq", "c1"], 2.0)
            .row(&["a\"b\\c\nd", "c2"], 0.0);
        page.value(WEBSOCKETS_OPEN, 7.0);
        page.gauge(CERTIFICATE_EXPIRY)
            .row(&["people", "*.example.com"], -1.5);
        let expected = "\
# HELP appproxy_tunnels Open tunnels of each enrolled connector.
# TYPE appproxy_tunnels gauge
appproxy_tunnels{group=\"hq\",connector=\"c1\"} 2
appproxy_tunnels{group=\"a\\\"b\\\\c\\nd\",connector=\"c2\"} 0
# HELP appproxy_websockets_open WebSockets that are open through this gateway.
# TYPE appproxy_websockets_open gauge
appproxy_websockets_open 7
# HELP appproxy_certificate_expiry_seconds How long a certificate is still good: for people, of the gateway's tunnel, or a connector's; below 0 once it has ended.
# TYPE appproxy_certificate_expiry_seconds gauge
appproxy_certificate_expiry_seconds{use=\"people\",name=\"*.example.com\"} -1.5
";
        assert_eq!(page.into_text(), expected);
    }
}
