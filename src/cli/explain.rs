//! `gateway explain` and `gateway log-level`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};

use comfy_table::Table;
use http::Method;
use url::form_urlencoded::Serializer;

use super::orders::{self, paths};
use super::{Exit, GatewayFile};
use crate::config::GatewayConfig;
use crate::gateway::{Explanation, Question};

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
        let question = Question::new(&self.url, self.method.clone(), client);
        let question = question.map_err(|error| usage(error.to_string()))?;
        let query = Serializer::new(String::new())
            .append_pair("url", &self.url)
            .append_pair("method", self.method.as_str())
            .append_pair("ip", &client.to_string())
            .finish();
        let path = format!("{}?{query}", paths::EXPLAIN);
        let told: Option<Explanation> = orders::order(&config, Method::GET, &path)?;
        let is_running = told.is_some();
        let told = told.unwrap_or_else(|| Explanation::under(&config, &question));
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
