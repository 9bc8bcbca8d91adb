//! How an application is spoken with, in words.

use super::words::Writing;
use crate::model::{Affinity, Application, BackendProtocol, ProxyProtocol};

/// How connectors speak with it.
pub(super) fn spoken(settings: &mut Writing, application: &Application) {
    let Application {
        backend_protocol,
        connection_authentication,
        proxy_protocol,
        affinity,
        health_check,
        ..
    } = application;
    settings
        .say(
            "backend_protocol",
            [match backend_protocol {
                BackendProtocol::Http1 => "http1",
                BackendProtocol::Http2 => "http2",
            }],
        )
        .say("connection_authentication", [connection_authentication])
        .say(
            "proxy_protocol",
            proxy_protocol.map(|version| match version {
                ProxyProtocol::V1 => "v1",
                ProxyProtocol::V2 => "v2",
            }),
        )
        .say(
            "affinity",
            affinity.map(|by| match by {
                Affinity::Cookie => "cookie",
                Affinity::Address => "address",
            }),
        )
        .say(
            "health_check",
            health_check.as_ref().map(|check| {
                let path = check.path.as_deref().unwrap_or("connection");
                let good = match check.status.as_slice() {
                    [] => "below 500".to_owned(),
                    good => format!("{good:?}"),
                };
                let (interval, timeout) = (check.interval, check.timeout);
                format!("{path} every {interval:?} within {timeout:?}, good is {good}")
            }),
        );
}
