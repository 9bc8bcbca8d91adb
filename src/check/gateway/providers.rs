//! Identity providers: whether people could sign in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::Known;
use crate::auth::provider::{Probed, Provider, ProviderError, Told};
use crate::check::{Area, Line, in_time};
use crate::config::IdentityProvider;
use crate::model::Finding;
use crate::net::{Dialler, Resolver};

/// Clocks that differ by more make tokens look too old, or too new.
const SKEW: i64 = 30;

/// For each question: there are two, one after the other, and a check has to end.
const ANSWER: Duration = Duration::from_secs(4);

/// Tries each provider.
pub(super) async fn look(known: &Known<'_>, deadline: Instant) -> Vec<Line> {
    let now = known.clock.now();
    let mut lines = Vec::new();
    for config in &known.config.identity_providers {
        let ending = config.ending_secrets(now).into_iter();
        lines.extend(ending.map(|finding| Line::found(Area::Providers, subject(config), finding)));
    }
    let all = known.config.identity_providers.iter();
    let all = join_all(all.map(|config| {
        let subject = subject(config);
        async move {
            in_time(
                deadline,
                Area::Providers,
                &subject,
                of_provider(config, known),
            )
            .await
        }
    }));
    lines.extend(all.await.into_iter().flatten());
    lines
}

fn subject(config: &IdentityProvider) -> String {
    format!("provider {}", config.name)
}

async fn of_provider(config: &Arc<IdentityProvider>, known: &Known<'_>) -> Vec<Line> {
    let subject = subject(config);
    let found = |findings: Vec<Finding>| {
        let lines = findings.into_iter();
        lines
            .map(|one| Line::found(Area::Providers, &subject, one))
            .collect()
    };
    let proxy = match config.proxy(|name| std::env::var(name).ok()) {
        Ok(proxy) => proxy,
        Err(findings) => return found(findings),
    };
    let dialler = Dialler::new(Resolver::new(&[], BTreeMap::new())).through(proxy);
    let hurried = IdentityProvider {
        timeout: config.timeout.min(ANSWER),
        ..IdentityProvider::clone(config)
    };
    let provider = match Provider::new(Arc::new(hurried), dialler, known.clock.clone()) {
        Ok(provider) => provider,
        Err(findings) => return found(findings),
    };
    let Some(redirect_uri) = &known.redirect_uri else {
        return vec![Line::skip(
            Area::Providers,
            &subject,
            "nobody signs in: there is no `sign_in`",
        )];
    };
    let probed = provider.probe(redirect_uri).await;
    told(&subject, config, redirect_uri, probed)
}

fn told(subject: &str, config: &IdentityProvider, redirect_uri: &str, probed: Probed) -> Vec<Line> {
    let failed = |what: &str, error: &ProviderError| {
        let finding = Finding::error(error.code(), error.to_string(), error.remedy());
        Line::found(Area::Providers, format!("{subject}: {what}"), finding)
    };
    let line = |what: &str, seen: &str, outcome: Option<Result<Told, ProviderError>>| match outcome
    {
        Some(Ok(Told::Right)) => Line::pass(Area::Providers, format!("{subject}: {what}"), seen),
        Some(Ok(_)) => Line::skip(
            Area::Providers,
            format!("{subject}: {what}"),
            "the provider does not tell without a sign-in",
        ),
        Some(Err(error)) => {
            let mut line = failed(what, &error);
            if let super::super::Outcome::Found(finding) = &mut line.outcome
                && finding.code == "redirect_uri_mismatch"
            {
                finding.remedy = format!(
                    "register this redirect URI for the client at the provider, to the letter: {redirect_uri}"
                );
            }
            line
        }
        None => Line::skip(
            Area::Providers,
            format!("{subject}: {what}"),
            "its metadata could not be read",
        ),
    };
    let mut lines = vec![match probed.metadata {
        Ok(()) => Line::pass(
            Area::Providers,
            format!("{subject}: metadata"),
            &*config.issuer,
        ),
        Err(error) => failed("metadata", &error),
    }];
    let keys = probed.keys.map(|keys| keys.map(|()| Told::Right));
    lines.push(line("keys", "they can be read", keys));
    lines.push(line(
        "client",
        "it takes the client ID and its proof",
        probed.client,
    ));
    lines.push(line("redirect URI", redirect_uri, probed.redirect));
    lines.push(clock(subject, probed.ahead));
    lines
}

fn clock(subject: &str, ahead: Option<i64>) -> Line {
    let subject = format!("{subject}: clock");
    match ahead {
        None => Line::skip(Area::Providers, subject, "it does not tell the time"),
        Some(ahead) if ahead.abs() > SKEW => {
            let side = if ahead > 0 { "behind" } else { "ahead of" };
            let finding = Finding::error(
                "clock_wrong",
                format!(
                    "this host's clock is {} s {side} the provider's: tokens look too old, or too new",
                    ahead.abs()
                ),
                "set this host's clock, for instance with `timedatectl set-ntp true`",
            );
            Line::found(Area::Providers, subject, finding)
        }
        Some(_) => Line::pass(
            Area::Providers,
            subject,
            "within some seconds of this host's",
        ),
    }
}
