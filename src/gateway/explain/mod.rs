//! What would become of a request, decision by decision, each by what decides it in earnest.

mod people;

use super::published::Published;
use super::question::{Explanation, Question, Step};
use super::respond::Failure;
use super::route::{Candidates, Found, Match, RouteTable};
use super::tunnels::Tunnels;
use super::{Gateway, front, pipeline};
use crate::auth::{self, Asker, Credentials, ShownCertificate};
use crate::clock::Timestamp;
use crate::config::GatewayConfig;
use crate::http::{self as rules, RequestHost};
use crate::model::{ErrorCode, Host, Mode, RequestId, Scheme, SignIn};
use crate::translate::UrlMap;

impl Gateway {
    /// What would become of a request under the configuration in force, and with the connectors that
    /// are there.
    #[must_use]
    pub fn explain(&self, question: &Question) -> Explanation {
        let current = self.current();
        let sign_in = current.config.sign_in.as_ref();
        let now = self.clock.now();
        Telling::of(question, Some(&self.tunnels), sign_in, now).tell(&current.table)
    }
}

impl Explanation {
    /// What would become of a request under a configuration that nobody runs.
    #[must_use]
    pub fn under(config: &GatewayConfig, question: &Question, now: Timestamp) -> Self {
        let table = RouteTable::after(None, &config.applications);
        Telling::of(question, None, config.sign_in.as_ref(), now).tell(&table)
    }
}

/// An explanation as it comes to be.
struct Telling<'q> {
    question: &'q Question,
    tunnels: Option<&'q Tunnels>,
    sign_in: Option<&'q SignIn>,
    now: Timestamp,
    steps: Vec<Step>,
}

/// What ends an explanation before the application.
enum End {
    Refused(Failure),
    Own(String),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl<'q> Telling<'q> {
    fn of(
        question: &'q Question,
        tunnels: Option<&'q Tunnels>,
        sign_in: Option<&'q SignIn>,
        now: Timestamp,
    ) -> Self {
        Self {
            question,
            tunnels,
            sign_in,
            now,
            steps: Vec::new(),
        }
    }

    fn step(&mut self, stage: &str, value: impl Into<String>, decision: impl Into<String>) {
        self.steps.push(Step {
            stage: stage.to_owned(),
            value: value.into(),
            decision: decision.into(),
        });
    }

    fn tell(mut self, table: &RouteTable) -> Explanation {
        let end = self.go(table);
        let (reaches, code, answer) = match end {
            Ok(answer) => (true, None, answer),
            Err(End::Own(answer)) => (false, None, answer),
            Err(End::Refused(failure)) => {
                let code = failure.code().as_str();
                let answer = format!("{code}: {}", failure.detail());
                (false, Some(code.to_owned()), answer)
            }
        };
        Explanation {
            steps: self.steps,
            reaches,
            code,
            answer,
        }
    }

    fn go(&mut self, table: &RouteTable) -> Result<String, End> {
        let Question {
            request,
            scheme,
            client,
            ..
        } = self.question;
        let (scheme, client) = (*scheme, *client);
        let bad = |why: String| Failure::new(ErrorCode::BadRequest, why);
        rules::check_clear(request).map_err(|why| bad(why.to_string()))?;
        let target = rules::request_host(request).map_err(|why| bad(why.to_string()))?;
        self.at_sign_in_host(&target, scheme)?;
        let Some(candidates) = table.host(&target.host) else {
            self.step("host", target.host.to_string(), "no application has it");
            return Err(no_route("no application is published under this host").into());
        };
        self.step(
            "host",
            target.host.to_string(),
            "applications are published there",
        );
        let raw = request.uri().path();
        let sensitive = candidates.path_sensitive();
        let path = rules::canonical(raw, sensitive);
        let clear = path.map_err(|why| bad(why.to_string()))?;
        let path = clear.as_str();
        let how = match sensitive {
            true => "it decides, so it must be clear",
            false => "every path leads to the same application",
        };
        self.step("path", path, how);
        if pipeline::is_ours(path) {
            return Err(no_route("the gateway's own paths are on every host").into());
        }
        let port = target.port.unwrap_or_else(|| scheme.default_port());
        let found = self.route(&candidates, (scheme, port, path))?;
        let published = &found.published;
        let application = &published.application;
        let value = format!("{} ({})", application.name, application.external);
        self.step("application", value, "the longest path that fits");
        if application.mode == Mode::TlsPassthrough {
            let decision = "TLS ends at the application: of a connection the server name is seen, and no request";
            self.step("mode", "tls_passthrough", decision);
        }
        self.own(published, path)?;

        let facts = auth::Facts {
            client,
            method: request.method(),
            is_websocket: false,
            path: clear,
            query: request.uri().query(),
            now: self.now,
            fields: request.headers(),
            certificate: match application.client_certificates {
                Some(_) => &self.question.certificate,
                None => &ShownCertificate::None,
            },
            external: &application.external,
            host: &target.host,
        };
        let guard = self.guard(application, clear)?;
        let shown = auth::credentials(guard, &facts);
        let asker = match &shown {
            Ok(shown) => self.asker(guard, shown),
            Err(_) => self.asker(guard, &Credentials::Nothing),
        };
        if let Some(asker) = asker {
            self.of_asker(guard, asker, &facts)?;
            self.way(published)?;
            let inside = self.inside(&found, &target.host)?;
            return Ok(match asker {
                Asker::Certificate => format!(
                    "{inside}, if the certificate counts: authority and dates are not looked at here"
                ),
                _ => inside,
            });
        }
        self.unnamed(application, guard, shown, &facts)?;
        self.way(published)?;
        self.inside(&found, &target.host)
    }

    /// What is answered at the sign-in host, which is no application's.
    fn at_sign_in_host(&mut self, target: &RequestHost, scheme: Scheme) -> Result<(), End> {
        let Some(own) = self.sign_in.filter(|own| own.host == target.host) else {
            return Ok(());
        };
        self.step("host", target.host.to_string(), "`sign_in.url` is there");
        let port = target.port.unwrap_or_else(|| scheme.default_port());
        Err(match scheme {
            Scheme::Http => End::Own(format!("a redirect to {}", own.origin())),
            Scheme::Https if port == own.port => {
                End::Own("a page of the gateway's own: people sign in there".to_owned())
            }
            Scheme::Https => no_route("people sign in at another port of this host").into(),
        })
    }

    /// The application that is found, or what is answered where none is.
    fn route(
        &mut self,
        candidates: &Candidates<'_>,
        (scheme, port, path): (Scheme, u16, &str),
    ) -> Result<Match, End> {
        match candidates.find(scheme, port, path) {
            Found::Application(found) => return Ok(found),
            Found::Bare(found) => {
                let external = &found.published.application.external;
                let decision = "the slash at the end is missing";
                self.step("application", external.to_string(), decision);
                return Err(End::Own(format!("a redirect to {external}")));
            }
            Found::Nothing => {}
        }
        let value = format!("{} port {port}, {path}", scheme.as_str());
        self.step("application", value, "none is published there");
        if scheme == Scheme::Http
            && let Some(found) = candidates.secure(path)
        {
            let external = &found.published.application.external;
            return Err(End::Own(format!("a redirect to https, below {external}")));
        }
        let is_robots = path == front::ROBOTS && front::is_read(&self.question.request);
        if is_robots && candidates.denies_robots(scheme, port) {
            return Err(End::Own("our own robots.txt".to_owned()));
        }
        let what = "nothing is published under this scheme, port and path";
        Err(no_route(what).into())
    }

    /// Where the application finds it.
    fn inside(&mut self, found: &Match, host: &Host) -> Result<String, End> {
        let application = &found.published.application;
        let request = &self.question.request;
        let map = UrlMap::new(application, found.captured.as_ref(), host);
        let map = map.ok_or_else(|| Failure::internal("the internal URL has no host for it"))?;
        let path_and_query = request.uri().path_and_query();
        let inside = path_and_query.and_then(|path| {
            rules::map_path(
                &application.external.path,
                application.internal.path(),
                path,
            )
        });
        let inside =
            inside.ok_or_else(|| Failure::internal("the path leads out of the published one"))?;
        let urls = application.internal.all();
        let url = format!(
            "{}://{}{inside}",
            map.internal().scheme.as_str(),
            map.target()
        );
        self.step(
            "internal URL",
            format!("{url}, Host: {}", map.host_header()),
            match urls.len() {
                1 => "it is the only one".to_owned(),
                several => format!("or one of the {} other copies", several - 1),
            },
        );
        Ok(format!("it reaches {} at {url}", application.name))
    }

    /// What the gateway answers by itself, and what the application takes of a request at all.
    fn own(&mut self, published: &Published, path: &str) -> Result<(), End> {
        let Question {
            request, client, ..
        } = self.question;
        let settings = &published.application.front;
        if let Some(closed) = &settings.maintenance {
            let decision = match closed.is_open_for(*client) {
                true => "open for this address",
                false => "closed for this address",
            };
            self.step("maintenance", client.to_string(), decision);
        }
        // Nobody is answered, so the reference stands for nothing.
        let id = RequestId::from_random([0; 8]);
        if let Some(own) = front::before(published, *client, path, request, &id)? {
            let location = own.headers().get(http::header::LOCATION);
            let location = location.and_then(|value| value.to_str().ok());
            let (value, answer) = match location {
                Some(location) => ("home_path", format!("a redirect to {location}")),
                None => ("robots", "our own robots.txt".to_owned()),
            };
            self.step("own answer", value, "the application is not asked");
            return Err(End::Own(answer));
        }
        let limits = &published.application.limits;
        let bounds = [
            limits.rate.map(|rate| format!("rate {rate}")),
            limits
                .rate_per_address
                .map(|rate| format!("rate_per_address {rate}")),
            limits
                .per_address
                .map(|most| format!("requests_per_address {most}")),
            limits.body.map(|octets| format!("body {octets} octets")),
        ];
        let bounds: Vec<_> = bounds.into_iter().flatten().collect();
        if !bounds.is_empty() {
            self.step("limits", bounds.join(", "), "not counted for a question");
        }
        Ok(())
    }

    /// What the last decision was.
    fn conclude(&mut self, decision: String) {
        if let Some(step) = self.steps.last_mut() {
            step.decision = decision;
        }
    }

    /// Notes a decision that may be the last.
    fn decided<T>(
        &mut self,
        stage: &str,
        value: String,
        outcome: Result<T, Failure>,
    ) -> Result<T, End> {
        let decision = match &outcome {
            Ok(_) => String::new(),
            Err(failure) => format!("refused: {}", failure.detail()),
        };
        self.step(stage, value, decision);
        outcome.map_err(End::Refused)
    }

    /// The groups that may carry it.
    fn way(&mut self, published: &Published) -> Result<(), End> {
        let groups = published.application.connectors.groups();
        let Some(tunnels) = self.tunnels else {
            let names: Vec<_> = groups.iter().map(ToString::to_string).collect();
            self.step(
                "connector_groups",
                names.join(", "),
                "no gateway runs that could tell who is there",
            );
            return Ok(());
        };
        let by_group = tunnels.by_group();
        let mut all = 0;
        for group in groups {
            let there = by_group.get(group).map_or(0, |group| {
                let usable = group
                    .tunnels
                    .iter()
                    .filter(|tunnel| tunnel.usable() && tunnel.knows(&published.application));
                usable.count()
            });
            all += there;
            self.step(
                "connector group",
                group.to_string(),
                format!("tunnels: {there}"),
            );
        }
        match all {
            0 => Err(Failure::new(
                ErrorCode::NoConnector,
                "no connector of these groups is connected",
            )
            .into()),
            _ => Ok(()),
        }
    }
}

fn no_route(what: &str) -> Failure {
    Failure::new(ErrorCode::NoRoute, what)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use http::Method;

    use super::super::question::Visitor;
    use super::*;

    fn config() -> GatewayConfig {
        let text = "
version: 1
kind: gateway
listen: { https: ['[::]:443'], http: ['[::]:80'] }
store: sqlite:x
certificates: [{ chain: a, key: b }]
sign_in: { url: 'https://login.example.com/' }
identity_providers: [ { name: corp, issuer: 'https://sso.example.com/', client_id: x } ]
applications:
  - { name: wiki, external_url: 'https://w.example.com/', internal_url: 'http://wiki.corp:8080/', pre_authentication: [passthrough], home_path: /start }
  - { name: admin, external_url: 'https://w.example.com/admin/', internal_url: 'http://a.corp/x/', pre_authentication: [passthrough], maintenance: { allow: [192.0.2.0/24] }, limits: { rate: 5/s } }
  - { name: any, external_url: 'https://*.apps.example.com/', internal_url: 'https://*.corp.local/', pre_authentication: [passthrough], robots: deny }
";
        GatewayConfig::from_text(Path::new("gateway.yaml"), text).unwrap()
    }

    /// What is asked, from where, the code, and how the answer begins.
    const CASES: [(&str, &str, Option<&str>, &str); 15] = [
        (
            "https://login.example.com/anything",
            "203.0.113.1",
            None,
            "a page of the gateway's own",
        ),
        (
            "http://login.example.com/",
            "203.0.113.1",
            None,
            "a redirect to https://login.example.com",
        ),
        (
            "https://login.example.com:8443/",
            "203.0.113.1",
            Some("no_route"),
            "no_route: people sign in at another port",
        ),
        (
            "https://w.example.com/.appproxy/x",
            "203.0.113.1",
            Some("no_route"),
            "no_route: the gateway's own paths",
        ),
        (
            "https://w.example.com/a?b",
            "203.0.113.1",
            None,
            "it reaches wiki at http://wiki.corp:8080/a?b",
        ),
        (
            "https://w.example.com/",
            "203.0.113.1",
            None,
            "a redirect to /start",
        ),
        (
            "http://w.example.com/a",
            "203.0.113.1",
            None,
            "a redirect to https, below https://w.example.com/",
        ),
        (
            "https://w.example.com/admin",
            "203.0.113.1",
            None,
            "a redirect to https://w.example.com/admin/",
        ),
        (
            "https://w.example.com/admin/y",
            "192.0.2.9",
            None,
            "it reaches admin at http://a.corp:80/x/y",
        ),
        (
            "https://w.example.com/admin/y",
            "203.0.113.1",
            Some("maintenance"),
            "maintenance: `maintenance` is set for the application",
        ),
        (
            "https://w.example.com/a%2f../admin/",
            "203.0.113.1",
            Some("bad_request"),
            "bad_request: ",
        ),
        (
            "https://one.apps.example.com/",
            "203.0.113.1",
            None,
            "it reaches any at https://one.corp.local:443/",
        ),
        (
            "https://one.apps.example.com/robots.txt",
            "203.0.113.1",
            None,
            "our own robots.txt",
        ),
        (
            "https://w.example.com:8443/",
            "203.0.113.1",
            Some("no_route"),
            "no_route: nothing is published under this scheme",
        ),
        (
            "https://x.example.com/",
            "203.0.113.1",
            Some("no_route"),
            "no_route: no application is published under this host",
        ),
    ];

    #[test]
    fn each_decision_is_told_with_its_value() {
        let config = config();
        let ask = |url: &str, client: &str| {
            let question = Question::new(
                url,
                Method::GET,
                client.parse().unwrap(),
                Visitor::default(),
            )
            .unwrap();
            Explanation::under(&config, &question, Timestamp(0))
        };
        for (url, client, code, answer) in CASES {
            let told = ask(url, client);
            assert_eq!(told.code.as_deref(), code, "{url}: {told:?}");
            assert!(told.answer.starts_with(answer), "{url}: {}", told.answer);
            assert_eq!(told.reaches, answer.starts_with("it reaches"), "{url}");
        }
        let told = ask("https://w.example.com/admin/y", "192.0.2.9");
        let stages: Vec<_> = told.steps.iter().map(|step| step.stage.as_str()).collect();
        assert_eq!(
            stages,
            [
                "host",
                "path",
                "application",
                "maintenance",
                "limits",
                "pre_authentication",
                "access",
                "connector_groups",
                "internal URL"
            ]
        );
        assert!(
            told.steps.iter().all(|step| !step.decision.is_empty()),
            "{told:?}"
        );
        let access = told
            .steps
            .iter()
            .find(|step| step.stage == "access")
            .unwrap();
        assert_eq!(access.decision, "allowed by the rule passthrough");
        for bad in [
            "",
            "w.example.com",
            "ftp://w.example.com/",
            "https://",
            "https://a b/",
        ] {
            assert!(
                Question::new(bad, Method::GET, [192, 0, 2, 1].into(), Visitor::default()).is_err(),
                "{bad}"
            );
        }
    }
}
