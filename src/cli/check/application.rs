//! One application, from the gateway through its connectors: `appproxy check --app`.

use std::collections::HashMap;

use http::Method;
use url::form_urlencoded;

use super::super::orders::{self, Told, Unheard, paths};
use crate::check::application::{Helped, Looked};
use crate::check::{Area, Line, PATIENCE, links};
use crate::clock::Clock;
use crate::config::GatewayConfig;
use crate::model::{Application, BodyKind, Finding};
use crate::store::ConnectorRecord;
use crate::tunnel::{Seen, Viewed};

/// The configuration with this application alone.
///
/// # Errors
/// Where there is none of this name.
pub(super) fn only(config: &GatewayConfig, name: &str) -> Result<GatewayConfig, Box<Finding>> {
    let mut config = config.clone();
    let all = config.applications.iter().map(|one| one.name.to_string());
    let all: Vec<_> = all.collect();
    config.applications.retain(|one| one.name.as_str() == name);
    match config.applications.is_empty() {
        false => Ok(config),
        true => Err(Box::new(Finding::error(
            "app_unknown",
            format!("{} has no application `{name}`", config.file.display()),
            format!("write one of its names: {}", all.join(", ")),
        ))),
    }
}

/// What the running gateway found through its connectors, or `None` where none runs.
pub(super) fn ask(config: &GatewayConfig, name: &str, pages: u8) -> Result<Option<Told>, Unheard> {
    let query: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("application", name)
        .append_pair("pages", &pages.to_string())
        .finish();
    let path = format!("{}?{query}", paths::INSPECT);
    orders::ask(config, Method::GET, &path, PATIENCE)
}

/// What it comes to.
pub(super) fn lines(
    application: &Application,
    told: Option<&Told>,
    connectors: &[ConnectorRecord],
    clock: &Clock,
) -> Vec<Line> {
    let name = application.name.as_str();
    let Some(Told { viewed, crawled }) = told else {
        let finding = Finding::error(
            "gateway_not_running",
            "no gateway runs here with this configuration, and its connectors alone reach the application",
            "start it: `systemctl enable --now appproxy-gateway`, or `appproxy gateway --config FILE`",
        );
        return vec![Line::found(Area::Applications, name, finding)];
    };
    if viewed.is_empty() {
        let why = match application
            .internal
            .all()
            .iter()
            .all(|url| url.host_for(None).is_none())
        {
            true => "its internal URL has a wildcard: there is one for each name that people use",
            false => {
                "no connector of its groups has a tunnel to this gateway, and they alone reach it"
            }
        };
        return vec![Line::skip(Area::Applications, name, why)];
    }
    let names: HashMap<_, _> = connectors
        .iter()
        .map(|one| (one.id.as_str(), one.name.to_string()))
        .collect();
    let each = viewed.iter().flat_map(|one| {
        let id = one.connector.as_str();
        let via = names.get(id).map_or(id, String::as_str);
        of_one(one, via, application, clock)
    });
    each.chain(links::lines(name, crawled)).collect()
}

fn of_one(viewed: &Viewed, via: &str, application: &Application, clock: &Clock) -> Vec<Line> {
    let Viewed { served, seen, .. } = viewed;
    let subject = format!("{} ({}) via {via}", served.name, served.internal);
    match seen {
        Seen::Found(found) => {
            let looked = Looked {
                served,
                found,
                via: Some(via),
                helped: Some(Helped {
                    translates: application.link_translation.body.contains(&BodyKind::Html),
                    signs_connections_in: application.connection_authentication,
                    signs_on: application.sign_on.tells(),
                }),
            };
            looked.lines(clock.now())
        }
        Seen::Unable => {
            let why = "this connector is older than the question";
            vec![Line::skip(Area::Applications, subject, why)]
        }
        Seen::Silent => {
            let finding = Finding::warning(
                "connector_silent",
                "the connector has a tunnel and did not answer in time",
                "see on its host whether it is overloaded: `appproxy connector status`",
            );
            vec![Line::found(Area::Applications, subject, finding)]
        }
    }
}
