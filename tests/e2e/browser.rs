//! The demo in headless Chromium, as a person uses it.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Value, json};

use crate::harness::{Demo, Trap, at, browse, names, run, temporary};

/// The SHA-256 of the public key that the demo's certificate is for.
fn key_of(demo: &std::path::Path) -> String {
    let own = names(demo).remove(0);
    let pem = std::fs::read(demo.join(own).join("demo.pem")).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    let key = pem.parse_x509().unwrap().public_key().raw.to_owned();
    BASE64.encode(digest::digest(&digest::SHA256, &key))
}

fn nothing() -> Value {
    json!([])
}

#[tokio::test]
async fn a_person_uses_the_demo() {
    let folder = temporary();
    let demo = Demo::start(folder.path(), &["--port", "0"]).await;
    let url = demo.url();
    let internal = demo.word("http://").trim_end_matches(',').to_owned();
    let page = |path: &str| format!("{url}{path}");
    let steps = json!([
        { "goto": url },
        { "click": "a[href=redirect]" },
        { "wait": "pre", "text": "GET /request?from=redirect HTTP/1.1" },
        { "where": true },
        { "goto": page("cookie") },
        { "read": ".big" },
        { "click": "a.button" },
        { "wait": ".big", "text": "Visit 2" },
        { "goto": page("form") },
        { "fill": "#text", "with": "<b>grüß</b> & more" },
        { "click": "button" },
        { "wait": "#said", "text": "<b>grüß</b> & more" },
        { "where": true },
        { "goto": page("upload") },
        { "file": "#file", "with": "abc" },
        { "click": "button" },
        { "wait": "#sha256", "text": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "read": ".big" },
        { "goto": page("ws-page") },
        { "wait": "#log", "text": "← hello from the page" },
        { "fill": "#message", "with": "second" },
        { "click": "button" },
        { "wait": "#log", "text": "← second" },
        { "read": "#state" },
        { "goto": page("events-page") },
        { "wait": "#events", "text": "2 20" },
        { "read": "#state" },
        { "goto": page("request") },
        { "read": "pre" },
        { "wait": "tr", "text": "x-forwarded-host" },
        { "goto": url },
        { "click": "a[href='./']" },
        { "where": true },
    ]);
    let seen = browse(&[&key_of(folder.path())], &[], &steps).await;
    let step = |at: usize| &seen["steps"][at];
    assert_eq!(seen["steps"].as_array().unwrap().len(), 33, "{seen}");
    // Nothing is wrong, and no policy is violated.
    assert_eq!(seen["console"], json!([]), "{seen}");
    // The page of events is left while its stream is open.
    assert_eq!(
        seen["failed"],
        json!([format!("{url}events: net::ERR_ABORTED")]),
        "{seen}"
    );
    let host = format!("demo.localhost:{}", demo.port());
    assert_eq!(seen["hosts"], json!([host]), "{seen}");

    assert_eq!(step(0)["status"], 200);
    assert_eq!(step(0)["title"], "Welcome to the intranet · Corp intranet");
    assert_eq!(step(3)["url"], page("request?from=redirect"));
    assert_eq!(step(5)["text"], "Visit 1");
    assert_eq!(
        step(12)["url"],
        page("form?said=%3Cb%3Egr%C3%BC%C3%9F%3C%2Fb%3E+%26+more")
    );
    assert_eq!(step(17)["text"], "3 octets");
    assert_eq!(step(23)["text"], "open");
    let events = step(25)["text"].as_str().unwrap();
    assert!(
        events.starts_with("2  20"),
        "the second is on top: {events}"
    );
    assert_eq!(step(26)["text"], "open");
    assert_eq!(step(28)["text"], "GET /request HTTP/1.1");
    assert_eq!(step(29)["text"], format!("x-forwarded-host\t{host}"));
    assert_eq!(step(32)["url"], url);
    assert!(
        internal.starts_with("http://demo.corp.internal:"),
        "{internal}"
    );
}

/// Follows every link of the home page that is written with the internal name, and looks at its picture.
fn follow_bad_habits(url: &str) -> Vec<Value> {
    let pictures = "Promise.all([...document.images].map(async (picture) => {
        await picture.decode();
        return picture.src;
    }))";
    let links = "[...document.querySelectorAll('.absolute a')].map((link) => link.href)";
    let mut steps = json!([
        { "goto": url },
        { "run": pictures, "as": "pictures" },
        { "run": links, "as": "links" },
    ]);
    let all = steps.as_array_mut().unwrap();
    for (number, path) in BAD_HABITS.iter().enumerate() {
        let link = format!(".absolute li:nth-child({}) a", number + 1);
        // A page from which the first link leads somewhere else.
        all.push(json!({ "goto": format!("{url}?from=here") }));
        all.push(json!({ "click": link }));
        all.push(json!({ "arrive": format!("{url}{path}") }));
    }
    all.clone()
}

const BAD_HABITS: [&str; 3] = ["", "request", "form"];

#[tokio::test]
async fn links_with_the_internal_name_lead_through_the_gateway() {
    let folder = temporary();
    let demo = Demo::start(folder.path(), &["--port", "0"]).await;
    let key = key_of(folder.path());
    let internal = demo.word("http://").trim_end_matches(',').to_owned();
    let (_, application) = internal.trim_end_matches('/').rsplit_once(':').unwrap();
    let home = format!("http://127.0.0.1:{application}/");
    let home = run("curl", &["--silent", "--max-time", "25", &home], &[], "")
        .await
        .success();
    let habits = |attribute: &str| home.matches(&format!("{attribute}=\"{internal}")).count();
    assert_eq!(
        (habits("href"), habits("src")),
        (BAD_HABITS.len(), 1),
        "{home}"
    );

    let trap = Trap::new().await;
    let url = demo.url();
    let steps: Value = follow_bad_habits(url).into();
    let seen = browse(&[&key], &[&trap.rule()], &steps).await;
    trap.assert_empty(&seen, &format!("demo.localhost:{}", demo.port()))
        .await;
    assert_eq!(seen["steps"].as_array().unwrap().len(), 12, "{seen:#}");
    assert_eq!(seen["console"], nothing(), "{seen:#}");
    assert_eq!(seen["failed"], nothing(), "{seen:#}");
    let outside = BAD_HABITS.map(|path| format!("{url}{path}"));
    assert_eq!(at(&steps, &seen, "links")["value"], json!(outside));
    let pictures = at(&steps, &seen, "pictures")["value"].as_array().unwrap();
    assert_eq!(pictures.len(), 1, "{pictures:?}");
    assert!(
        pictures[0].as_str().unwrap().starts_with(url),
        "{pictures:?}"
    );

    // The same application under another name: its links stay there.
    let staff = format!("https://staff.localhost:{}/", demo.port());
    let sign_in = json!([{ "goto": staff }, { "click": "#alice" }, { "arrive": staff }]);
    let steps = [
        sign_in.as_array().unwrap().clone(),
        follow_bad_habits(&staff),
    ]
    .concat();
    let seen = browse(&[&key], &[&trap.rule()], &steps.into()).await;
    let done = seen["steps"].as_array().unwrap();
    assert_eq!(done.len(), 15, "{seen:#}");
    assert_eq!(done[14]["url"], format!("{staff}form"), "{seen:#}");
    assert_eq!(trap.caught().await, 0, "{seen:#}");
}

#[tokio::test]
async fn an_error_page_is_good_to_read_by_day_by_night_and_on_a_telephone() {
    let folder = temporary();
    let mut demo = Demo::start(folder.path(), &["--port", "0"]).await;
    let key = key_of(folder.path());
    demo.press(b"k");
    demo.shows("Here: k\n").await;
    let shots = folder.path().join("shots");
    std::fs::create_dir(&shots).unwrap();
    let light = "rgb(246, 247, 249)";
    let dark = "rgb(15, 18, 22)";
    let mut seen_cases = 0;
    for (scheme, width, ground) in [
        ("light", 1280, light),
        ("dark", 1280, dark),
        ("light", 360, light),
        ("dark", 360, dark),
    ] {
        let shot = shots.join(format!("{scheme}-{width}.png"));
        let steps = json!([
            { "view": scheme, "width": width },
            { "goto": demo.url() },
            { "read": "h1" },
            { "look": "body" },
            { "read": "main" },
            { "screenshot": shot },
        ]);
        let seen = browse(&[&key], &[], &steps).await;
        let step = |at: usize| &seen["steps"][at];
        assert_eq!(step(1)["status"], 503, "{seen}");
        assert_eq!(
            step(2)["text"],
            "This application cannot be reached at the moment."
        );
        assert_eq!(step(3)["ground"], ground, "{seen}");
        assert_eq!(step(3)["content"], width, "no scrolling sideways: {seen}");
        let text = step(4)["text"].as_str().unwrap();
        for word in ["503 no_connector", "Reference", "Where"] {
            assert!(text.contains(word), "{text}");
        }
        // Chromium says this of any page with such a status; a violated policy would be said too.
        assert_eq!(
            seen["console"],
            json!([format!(
                "{}: Failed to load resource: the server responded with a status of 503 ()",
                demo.url()
            )]),
            "{seen}"
        );
        assert_eq!(seen["failed"], nothing(), "{seen}");
        seen_cases += 1;
    }
    assert_eq!(seen_cases, 4);
    assert_eq!(names(&shots).len(), 4);
}

#[tokio::test]
async fn a_person_signs_in_keeps_the_fragment_and_signs_out() {
    let folder = temporary();
    let demo = Demo::start(folder.path(), &["--port", "0"]).await;
    let port = demo.port();
    let staff = |path: &str| format!("https://staff.localhost:{port}/{path}");
    let login = format!("https://login.localhost:{port}/");
    let steps = json!([
        // Somebody asks who one is, and the page comes back with what stood behind the #.
        { "goto": staff("request?x=1#part") },
        { "wait": "h1", "text": "Who are you?" },
        { "click": "#alice" },
        { "wait": "pre", "text": "GET /request?x=1 HTTP/1.1" },
        { "where": true },
        { "goto": staff("ws-page") },
        { "wait": "#log", "text": "← hello from the page" },
        // The launcher knows her, and leads to the application.
        { "goto": login },
        { "wait": "body", "text": "Alice Example" },
        { "wait": "a", "text": "staff" },
        // Signing out goes by way of the provider, and ends it everywhere.
        { "click": "form button" },
        { "wait": "h1", "text": "signed out" },
        { "where": true },
        { "goto": staff("request#again") },
        { "wait": "h1", "text": "Who are you?" },
        // Bob may sign in, and may not come in.
        { "click": "#bob" },
        { "wait": "h1", "text": "You do not have access to this page." },
        { "where": true },
    ]);
    let seen = browse(&[&key_of(folder.path())], &[], &steps).await;
    let step = |at: usize| &seen["steps"][at];
    assert_eq!(seen["steps"].as_array().unwrap().len(), 18, "{seen}");
    assert_eq!(step(4)["url"], staff("request?x=1#part"), "{seen}");
    assert!(
        step(12)["url"].as_str().unwrap().starts_with(&login),
        "{seen}"
    );
    assert_eq!(step(17)["url"], staff("request#again"), "{seen}");
    // The pages of sign-in are 401 and 403 by their nature, which the console says; no policy is
    // violated and no script fails.
    for line in seen["console"].as_array().unwrap() {
        let line = line.as_str().unwrap();
        assert!(
            line.contains("the server responded with a status of 40"),
            "{line}"
        );
    }
}
