//! `gateway explain` and `gateway log-level`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use comfy_table::Table;
use http::Method;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Map;
use url::form_urlencoded::Serializer;

use super::link::{person_named, provider_named};
use super::orders::{self, paths};
use super::{Exit, GatewayFile};
use crate::auth::provider::person_of;
use crate::certs;
use crate::clock::Clock;
use crate::config::GatewayConfig;
use crate::gateway::{Explanation, Question, Visitor};
use crate::model::{ClientCertificate, Person};

/// The longest file of claims: it goes to the gateway in the address of a question.
const LONGEST_CLAIMS: usize = 16 * 1024;

/// The address of a stranger: nobody's (RFC 5737).
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// `gateway explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// What a browser would ask for
    #[arg(long, value_name = "URL")]
    url: String,
    /// Of which method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: Method,
    /// From which address; a stranger's where it is absent
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// From somebody who has signed in: what their provider calls them for good (`sub`)
    #[arg(long, value_name = "SUBJECT", conflicts_with = "claims")]
    user: Option<String>,
    /// A group they are in; may be repeated
    #[arg(long = "group", value_name = "GROUP", requires = "user")]
    groups: Vec<String>,
    /// From whoever an ID token with these claims would be of: a file with a JSON object
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// From a program with the service token of this name, for the application and path
    #[arg(long, value_name = "NAME", conflicts_with_all = ["user", "claims"])]
    token: Option<String>,
    /// From a client that shows this certificate, PEM, taken for one that counts
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The identity provider that says so, where there are several
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: GatewayFile,
}

/// `gateway log-level`.
#[derive(Debug, clap::Args)]
pub(super) struct LogLevel {
    /// error, warn, info, debug or trace, or directives such as `info,access=off`; without it, what
    /// the configuration says
    #[arg(value_name = "LEVEL")]
    level: Option<String>,
    #[command(flatten)]
    config: GatewayFile,
}

impl Explain {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let config = GatewayConfig::load(&self.config.config).map_err(Exit::Findings)?;
        let client = self.ip.unwrap_or(STRANGER);
        let usage = |text: String| Exit::Refused(format!("appproxy: {text}"));
        let visitor = self
            .visitor(&config)
            .map_err(|error| usage(format!("{error:#}")))?;
        let mut query = Serializer::new(String::new());
        query
            .append_pair("url", &self.url)
            .append_pair("method", self.method.as_str())
            .append_pair("ip", &client.to_string());
        if let Some(person) = &visitor.person {
            let text = serde_json::to_string(person).unwrap_or_default();
            query.append_pair("person", &text);
        }
        if let Some(name) = &visitor.service_token {
            query.append_pair("token", name);
        }
        if let Some(certificate) = &visitor.certificate {
            query.append_pair("certificate", &BASE64.encode(&certificate.der));
        }
        let query = query.finish();
        let question = Question::new(&self.url, self.method.clone(), client, visitor);
        let question = question.map_err(|error| usage(error.to_string()))?;
        let path = format!("{}?{query}", paths::EXPLAIN);
        let told: Option<Explanation> = orders::order(&config, Method::GET, &path)?;
        let is_running = told.is_some();
        let told =
            told.unwrap_or_else(|| Explanation::under(&config, &question, Clock::system().now()));
        if self.json {
            let text = serde_json::to_string_pretty(&told).unwrap_or_default();
            return print(&format!("{text}\n"));
        }
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["DECISION", "VALUE", "OUTCOME"]);
        for step in &told.steps {
            table.add_row([&step.stage, &step.value, &step.decision]);
        }
        let mut text = format!("{table}\n");
        let verdict = match (&told.code, told.reaches) {
            (_, true) => "allowed",
            (Some(_), false) => "refused",
            (None, false) => "answered by the gateway",
        };
        let _ = writeln!(text, "{verdict}: {}", told.answer);
        if self.ip.is_none() {
            let _ = writeln!(
                text,
                "(asked from {STRANGER}, a stranger; --ip ADDRESS asks for another)"
            );
        }
        if !is_running {
            let _ = writeln!(
                text,
                "(no gateway runs: this is by {})",
                config.file.display()
            );
        }
        print(&text)
    }
}

impl Explain {
    /// Whose request it would be.
    fn visitor(&self, config: &GatewayConfig) -> anyhow::Result<Visitor> {
        let certificate = self.certificate.as_deref().map(certificate);
        Ok(Visitor {
            person: self.person(config)?,
            service_token: self.token.clone(),
            certificate: certificate.transpose()?,
        })
    }

    /// Who it would be from.
    fn person(&self, config: &GatewayConfig) -> anyhow::Result<Option<Person>> {
        if self.user.is_none() && self.claims.is_none() {
            return Ok(None);
        }
        let provider = provider_named(config, self.provider.as_deref())?;
        if let Some(user) = &self.user {
            return Ok(Some(person_named(provider, user, &self.groups, Map::new())));
        }
        let Some(file) = &self.claims else {
            return Ok(None);
        };
        let shown = file.display();
        let text = std::fs::read(file).with_context(|| format!("cannot read {shown}"))?;
        if text.len() > LONGEST_CLAIMS {
            bail!("{shown} is longer than {} KiB", LONGEST_CLAIMS / 1024);
        }
        let claims = serde_json::from_slice(&text);
        let claims = claims.with_context(|| format!("{shown} is no JSON object"))?;
        let person = person_of(provider, claims);
        person
            .map(Some)
            .with_context(|| format!("{shown} describes nobody"))
    }
}

/// The first certificate of a file.
fn certificate(file: &Path) -> anyhow::Result<ClientCertificate> {
    let shown = file.display();
    let read = CertificateDer::from_pem_file(file);
    let der = read.with_context(|| format!("{shown} holds no certificate in PEM"))?;
    let read = certs::read_client_certificate(&[der]);
    read.with_context(|| format!("the certificate in {shown} cannot be used"))
}

impl LogLevel {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let config = GatewayConfig::load(&self.config.config).map_err(Exit::Findings)?;
        let query = match &self.level {
            None => String::new(),
            Some(level) => Serializer::new(String::new())
                .append_pair("level", level)
                .finish(),
        };
        let path = format!("{}?{query}", paths::LOG_LEVEL);
        let level: Option<String> = orders::order(&config, Method::POST, &path)?;
        let level = level.ok_or_else(|| orders::not_running(&config))?;
        print(&format!(
            "the gateway logs from `{level}` on, until it reads its configuration again\n"
        ))
    }
}

fn print(text: &str) -> Result<(), Exit> {
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|error| Exit::failed(format!("cannot write: {error}")))
}
