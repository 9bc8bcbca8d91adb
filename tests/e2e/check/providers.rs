//! What is wrong with an identity provider, as far as one tells without a sign-in: a provider with a fault for each
//! of its names, which is put right.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::change;
use crate::beds::check::{Report, changed, check_with};
use crate::beds::sign_in::{Corp, SECRET};
use crate::harness::{Authority, Backend, ResponseBody, Stand, body};

/// The fault of each name, and the code by which it is found.
const FAULTS: [(&str, &str); 12] = [
    ("status", "provider_status"),
    ("moved", "provider_redirects"),
    ("long", "provider_answer_too_large"),
    ("words", "provider_bad_answer"),
    ("other", "issuer_mismatch"),
    ("lacking", "endpoint_missing"),
    ("strange", "endpoint_refused"),
    ("methods", "client_authentication_unsupported"),
    ("late", "provider_timeout"),
    ("clock", "clock_wrong"),
    ("secret", "client_secret_wrong"),
    ("ended", "client_secret_expired"),
];

/// Answers as the provider of this name, which has its fault unless it is put right.
async fn answer(request: Request<Incoming>, is_right: bool) -> Response<ResponseBody> {
    let path = request.uri().path().trim_start_matches('/');
    let host = request.headers()["host"].to_str().unwrap();
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    let fault = if is_right { "" } else { name };
    let issuer = format!("http://{host}/{name}");
    let mut metadata = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
    });
    let mut response = Response::new(body("<form>"));
    if fault == "clock" {
        let date = HeaderValue::from_static("Tue, 01 Dec 2020 12:00:00 GMT");
        response.headers_mut().insert("date", date);
    }
    match rest {
        "authorize" => return response,
        "keys" => {
            *response.body_mut() = body(json!({ "keys": [] }).to_string());
            return response;
        }
        "token" => {
            let number = match fault {
                "secret" => "AADSTS7000215",
                "ended" => "AADSTS7000222",
                _ => "",
            };
            let error = if number.is_empty() {
                "invalid_grant"
            } else {
                "invalid_client"
            };
            let said = json!({ "error": error, "error_description": format!("{number}: no") });
            *response.status_mut() = StatusCode::BAD_REQUEST;
            *response.body_mut() = body(said.to_string());
            return response;
        }
        "" => return response,
        _ => {}
    }
    match fault {
        "status" => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
        "moved" => {
            *response.status_mut() = StatusCode::FOUND;
            let to = HeaderValue::from_static("https://elsewhere.example.com/");
            response.headers_mut().insert("location", to);
        }
        "long" => {
            *response.body_mut() = body(Bytes::from(vec![b' '; 4 << 20]));
            return response;
        }
        "words" => return response,
        "other" => metadata["issuer"] = json!("https://other.example.com/"),
        "lacking" => drop(metadata.as_object_mut().unwrap().remove("token_endpoint")),
        "strange" => metadata["token_endpoint"] = json!("ftp://x.example.com/"),
        "methods" => {
            metadata["token_endpoint_auth_methods_supported"] = json!(["tls_client_auth"]);
        }
        "late" => std::future::pending().await,
        _ => {}
    }
    *response.body_mut() = body(metadata.to_string());
    response
}

#[tokio::test]
async fn each_fault_of_a_provider_is_told_until_it_is_put_right() {
    let is_right = Arc::new(AtomicBool::new(false));
    let right = Arc::clone(&is_right);
    let provider = Backend::answering(move |request| {
        let right = right.load(Ordering::Relaxed);
        async move { answer(request, right).await }
    })
    .await;
    let issuer = format!("http://{}", provider.address());
    // One whose certificate is of an authority that nobody told of.
    let authority = Authority::new();
    let tls = authority.server_config(&["localhost"], &["http/1.1"]);
    let secured = Backend::tls(tls, |_| async { Response::new(body("x")) }).await;

    let app = Backend::text("wiki").await;
    let stand = Stand::new().application("wiki", &app).start().await;
    let setting = |name: &str, issuer: String| {
        json!({
            "name": name,
            "display_name": name,
            "issuer": issuer,
            "client_id": "appproxy",
            "client_secrets": [{ "env": "A_SECRET" }],
        })
    };
    let all = FAULTS.map(|(name, _)| setting(name, format!("{issuer}/{name}")));
    let mut all: Vec<Value> = all.into();
    let tls = format!("https://localhost:{}/", secured.address().port());
    all.push(setting("tls", tls));
    let file = changed(&stand, |config| {
        config["sign_in"] =
            json!({ "url": format!("https://login.localhost:{}/", stand.address().port()) });
        config["identity_providers"] = json!(all);
    });
    let look = || check_with(&file, &[("A_SECRET", "x")]);
    let codes = |report: &Report, name: &str| -> Vec<String> {
        let subject = format!("provider {name}");
        let own = report.lines.iter().filter(|line| {
            let told = line["subject"].as_str().unwrap();
            told == subject || told.starts_with(&format!("{subject}:"))
        });
        own.filter_map(|line| Some(line["code"].as_str()?.to_owned()))
            .collect()
    };
    let wrong = look().await;
    for (name, code) in FAULTS.into_iter().chain([("tls", "provider_tls")]) {
        assert_eq!(codes(&wrong, name), [code], "{name}: {:#?}", wrong.lines);
    }

    // Put right at the provider, as all of the remedies have it; the authority is named in the file.
    is_right.store(true, Ordering::Relaxed);
    let ca = stand.folder().join("provider.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    change(&file, |config| {
        let last = FAULTS.len();
        config["identity_providers"][last]["extra_ca"] = json!(ca);
    });
    let after = look().await;
    for (name, _) in FAULTS {
        assert!(codes(&after, name).is_empty(), "{name}: {:#?}", after.lines);
    }
    assert!(!after.has("provider_tls"), "{:#?}", after.lines);
}

#[tokio::test]
async fn a_client_secret_that_ends_is_told_until_there_is_another() {
    let corp = Corp::new();
    let app = Backend::text("wiki").await;
    let stand = Stand::new()
        .application("wiki", &app)
        .gateway_setting(
            "sign_in",
            json!({ "url": "https://login.localhost:{https}/" }),
        )
        .gateway_setting("identity_providers", json!([corp.setting()]))
        .environment("CORP_SECRET", SECRET)
        .start()
        .await;
    let _provider = corp.start(&stand).await;
    let file = stand.gateway_file();
    let today = OffsetDateTime::now_utc().date();
    let ends = |days: i64| (today + time::Duration::days(days)).to_string();
    let secret = |variable: &str, days| json!({ "env": variable, "expires": ends(days) });
    let with = |secrets: Value| {
        move |config: &mut Value| config["identity_providers"][0]["client_secrets"] = secrets
    };
    let look = || check_with(&file, &[("CORP_SECRET", "old"), ("NEW_SECRET", SECRET)]);
    for (days, verb) in [(-1, "ended on"), (10, "ends on")] {
        change(&file, with(json!([secret("CORP_SECRET", days)])));
        let report = look().await;
        let line = report.found("client_secret_expires");
        let what = line["what"].as_str().unwrap();
        assert!(what.contains(&format!("{verb} {}", ends(days))), "{line}");
        let remedy = line["remedy"].as_str().unwrap();
        assert!(remedy.contains("put it first in the list"), "{line}");
    }
    // As the remedy has it: the new one first, and the old one as long as anybody may still want it.
    let both = json!([secret("NEW_SECRET", 365), secret("CORP_SECRET", 10)]);
    change(&file, with(both));
    let after = look().await;
    assert!(!after.has("client_refused"), "{:#?}", after.lines);
    after.passes("provider corp: client");
    // Without the old one nothing is left to be told.
    change(&file, with(json!([secret("NEW_SECRET", 365)])));
    let after = look().await;
    assert!(!after.has("client_secret_expires"), "{:#?}", after.lines);
}
