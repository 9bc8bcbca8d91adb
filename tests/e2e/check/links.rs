//! Links in an application's pages that are dead for people outside.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::{change, check, order};
use crate::beds::check::Report;
use crate::harness::{Backend, Running, Stand, body};

/// What `check --app` says of an application's links, on so many pages.
async fn links_of(stand: &Running, name: &str, pages: &str) -> Report {
    let file = stand.gateway_file().display().to_string();
    let output = {
        let arguments = [
            "check", "--app", name, "--pages", pages, "--config", &file, "--json",
        ];
        let arguments: Vec<_> = arguments.iter().map(|&word| word.to_owned()).collect();
        stand.program(&arguments, "").await
    };
    let mut report = Report::of(&output);
    report.lines.retain(|line| line["area"] == "links");
    report
}

#[tokio::test]
async fn links_that_are_dead_for_people_outside_are_listed_and_mended() {
    let fine = Backend::text("fine").await;
    let port = fine.address().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let is_rewritten = Arc::new(AtomicBool::new(false));
    let rewritten = Arc::clone(&is_rewritten);
    let site = Backend::answering(move |request: Request<Incoming>| {
        let path = request.uri().path().to_owned();
        assert!(!request.headers().contains_key("cookie"));
        log.lock().unwrap().push(path.clone());
        let is_rewritten = rewritten.load(Ordering::Relaxed);
        async move {
            let text = match path.as_str() {
                // Its first page leads to the rest.
                "/" => "<a href=/wiki/>w</a><a href=http://intranet/>i</a>".to_owned(),
                "/wiki/" if is_rewritten => format!(
                    "<a href=\"http://intranet/news?id=1\">n</a><a href=/other>o</a>\
                     <script src=https://cdn.example.org/x.js></script>\
                     <a href=\"http://fine.corp.internal:{port}/a\">f</a><a href=next>next</a>"
                ),
                "/wiki/next" if is_rewritten => {
                    "<a href=http://printer.corp.internal/>p</a>".to_owned()
                }
                "/other" if is_rewritten => "o".to_owned(),
                "/wiki/" => format!(
                    "<a href=\"http://intranet/news?id=1\">n</a><a href=/other>o</a>\
                     <script src=http://cdn.example.org/x.js></script><a href=http://example.org/>e</a>\
                     <a href=\"http://fine.corp.internal:{port}/a\">f</a>\
                     <a href=admin/users>a</a><a href=next>next</a><a href=logout>out</a><a href=\"delete?id=1\">d</a>"
                ),
                "/wiki/next" => {
                    "<a href=http://printer.corp.internal/>p</a><a href=gone>g</a>".to_owned()
                }
                "/wiki/gone" => {
                    let mut response = Response::new(body("no"));
                    *response.status_mut() = StatusCode::NOT_FOUND;
                    return response;
                }
                other => panic!("{other} was asked for"),
            };
            let mut response = Response::new(body(text));
            let html = http::HeaderValue::from_static("text/html");
            response.headers_mut().insert("content-type", html);
            response
        }
    })
    .await;
    let stand = Stand::new()
        .application("fine", &fine)
        .application_with(
            "site",
            &site,
            json!({
                "external_url": "https://site.localhost:{https}/wiki/",
                "internal_url": "http://site.corp.internal:{backend}/wiki/",
                "paths": [{
                    "path": "/wiki/admin/",
                    "pre_authentication": ["passthrough"],
                    "access": { "allow": [{ "ip": ["127.0.0.0/8"] }] },
                }],
            }),
        )
        .start()
        .await;

    let one = links_of(&stand, "site", "1").await;
    let what = |code: &str| one.found(code)["what"].as_str().unwrap().to_owned();
    assert!(what("link_unpublished").contains("http://intranet/news ("));
    assert!(!what("link_unpublished").contains("printer"));
    assert!(what("link_out_of_path").contains("/other"));
    assert!(what("link_mixed_content").contains("http://cdn.example.org/x.js"));
    assert!(what("link_not_translated").contains(&format!("http://fine.corp.internal:{port}/a")));
    assert!(
        !one.lines
            .iter()
            .any(|line| line.to_string().contains("http://example.org/"))
    );
    one.passes("site: /wiki/");
    // Warnings are no failures, unless somebody says so.
    assert_eq!(one.code, 0, "{:#?}", one.lines);
    let file = stand.gateway_file().display().to_string();
    for (least, code) in [("error", 0), ("warning", 2), ("info", 2), ("nonsense", 64)] {
        let arguments = [
            "check",
            "--app",
            "site",
            "--config",
            &file,
            "--fail-on",
            least,
        ];
        let arguments = arguments.map(str::to_owned);
        let output = stand.program(&arguments, "").await;
        assert_eq!(
            output.status.code(),
            Some(code),
            "{least}: {}",
            output.stdout
        );
    }

    let more = links_of(&stand, "site", "5").await;
    let unpublished = more.found("link_unpublished")["what"].as_str().unwrap();
    assert!(
        unpublished.contains("printer.corp.internal"),
        "{unpublished}"
    );
    let asked: Vec<_> = asked
        .lock()
        .unwrap()
        .iter()
        .filter(|p| *p != "/wiki/")
        .cloned()
        .collect();
    assert_eq!(
        asked,
        ["/wiki/next", "/wiki/gone"],
        "what acts is left alone"
    );
    let gone = more.found("link_gone");
    assert!(
        gone["subject"].as_str().unwrap().ends_with("/wiki/gone"),
        "{gone}"
    );

    // As the remedies say: translate, and publish the whole of it.
    let file = stand.gateway_file();
    change(&file, |config| {
        let site = &mut config["applications"][1];
        site["link_translation"] = json!({ "body": ["html"] });
    });
    order(
        &stand,
        &["gateway", "reload", "--config", &file.display().to_string()],
    )
    .await;
    let mended = links_of(&stand, "site", "1").await;
    assert!(!mended.has("link_not_translated"), "{:#?}", mended.lines);
    assert!(mended.has("link_unpublished"));

    // From the connector's side: what its own group publishes is known there, and no more.
    let connector = stand.folder().join("connector-1.yaml");
    let from_there = check(&connector).await;
    let line = from_there.found("link_inside");
    let what = line["what"].as_str().unwrap();
    assert!(
        what.contains("intranet (1)") && !what.contains("fine."),
        "{what}"
    );
    let remedy = line["remedy"].as_str().unwrap();
    assert!(remedy.contains("`appproxy check --app site`"), "{remedy}");

    // The whole host is published, and the two hosts of the inside; what loads by http is rewritten at the application.
    is_rewritten.store(true, Ordering::Relaxed);
    change(&file, |config| {
        let site = &mut config["applications"][1];
        for key in ["external_url", "internal_url"] {
            let url = site[key].as_str().unwrap().trim_end_matches("wiki/");
            site[key] = json!(url);
        }
        for name in ["intranet", "printer.corp.internal"] {
            let label = name.split('.').next().unwrap();
            let mut more = config["applications"][0].clone();
            more["name"] = json!(label);
            let external = more["external_url"].as_str().unwrap();
            more["external_url"] = json!(external.replacen("fine.", &format!("{label}."), 1));
            more["internal_url"] = json!(format!("http://{name}/"));
            config["applications"].as_array_mut().unwrap().push(more);
        }
    });
    order(
        &stand,
        &["gateway", "reload", "--config", &file.display().to_string()],
    )
    .await;
    let mended = links_of(&stand, "site", "5").await;
    for code in [
        "link_unpublished",
        "link_out_of_path",
        "link_mixed_content",
        "link_gone",
    ] {
        assert!(!mended.has(code), "{code}: {:#?}", mended.lines);
    }
    let from_there = check(&connector).await;
    assert!(!from_there.has("link_inside"), "{:#?}", from_there.lines);
}
