//! Applications that know nothing but their internal URL, in a browser that cannot go there: everything
//! leads through the gateway, and what is written is written as inside.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::applications::{Visit, deploy, install, list, mediawiki, node_red, sign_in_to_wiki};
use crate::harness::{Backend, Stand, Trap, at, browse, run, temporary};

/// Asks an application itself.
async fn ask(port: u16, path: &str) -> String {
    let url = format!("http://127.0.0.1:{port}{path}");
    let arguments = [
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "25",
        &url,
    ];
    run("curl", &arguments, &[], "").await.success()
}

/// What the browser complains of through the gateway and did not inside.
fn new(proxied: &[String], direct: &[String]) -> Vec<String> {
    let is_new = |line: &&String| !direct.contains(line);
    proxied.iter().filter(is_new).cloned().collect()
}

fn words(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

const LOGO: &str = "resources/assets/poweredby_mediawiki_88x31.png";

/// Settings with which the wiki shows pictures that are named by their URL.
fn know_oneself(folder: &Path, internal: &str) {
    let settings = fs::OpenOptions::new()
        .append(true)
        .open(folder.join("LocalSettings.php"));
    let lines = format!(
        "$wgCanonicalServer = $wgServer;\n$wgEnableCanonicalServerLink = true;\n\
         $wgAllowExternalImagesFrom = '{internal}';\n"
    );
    settings.unwrap().write_all(lines.as_bytes()).unwrap();
}

/// Writes a page with these words, goes where it leads, changes it in the form and by a script.
fn write_thrice(url: &str, title: &str, wikitext: &str) -> Value {
    let edit = format!("{url}index.php?title={title}&action=edit");
    let by_hand = "const form = document.querySelector('#wpTextbox1');
        const was = form.value.trimEnd();
        form.value = was + '\\n\\nBy hand.';
        was";
    // As scripts of the wiki do it: they wait in a queue until its own have come.
    let by_script = format!(
        "(async () => {{
            await new Promise((come) => (window.RLQ ||= []).push(come));
            await mw.loader.using('mediawiki.api');
            let was;
            await new mw.Api().edit('{title}', ({{ content }}) => {{
                was = content;
                return {{ text: content + '\\n\\nBy a script.' }};
            }});
            return was;
        }})()"
    );
    let configuration =
        "new Promise((come) => (window.RLQ ||= []).push(() => come(mw.config.get('wgServer'))))";
    let pictures = "Promise.all([...document.querySelectorAll('#mw-content-text img')].map(
        async (picture) => {
            await picture.decode();
            return { src: picture.src, width: picture.naturalWidth };
        }))";
    let writing = json!([
        { "goto": edit },
        { "fill": "#wpTextbox1", "with": wikitext },
        { "click": "#wpSave" },
        { "wait": "#mw-content-text", "text": "Home is here." },
        { "run": pictures, "as": "pictures" },
        { "click": "#mw-content-text a.external" },
        { "arrive": format!("{url}index.php/Main_Page") },
        { "wait": "#mw-content-text", "text": "MediaWiki has been installed" },
        { "goto": edit },
        { "run": by_hand, "as": "by hand" },
        { "click": "#wpSave" },
        { "wait": "#mw-content-text", "text": "By hand." },
        { "run": by_script, "as": "by script" },
        { "goto": format!("{url}index.php/{title}") },
        { "wait": "#mw-content-text", "text": "By a script." },
        { "run": "document.querySelector('link[rel=canonical]').href", "as": "canonical" },
        { "run": configuration, "as": "configuration" },
        { "fetch": "/api.php?action=query&format=json&meta=siteinfo", "as": "JSON" },
        { "fetch": "/opensearch_desc.php", "as": "XML" },
    ]);
    [sign_in_to_wiki(url), list(&writing)].concat().into()
}

const WIKI_STEPS: usize = 26;

#[tokio::test]
async fn mediawiki_that_knows_its_internal_url_alone() {
    let folder = temporary();
    let wiki = folder.path().join("wiki");
    let (_php, port) = mediawiki(&wiki).await;
    let internal = format!("http://wiki.corp.internal:{port}/");
    install(&wiki, &internal).await;
    know_oneself(&wiki, &internal);
    let wikitext = format!("Home is [{internal}index.php/Main_Page here].\n\n{internal}{LOGO}");

    let steps = write_thrice(&internal, "Inside", &wikitext);
    let seen = browse(&[], &["wiki.corp.internal"], &steps).await;
    let direct = Visit::new(&seen, internal.trim_end_matches('/'));
    assert_eq!(direct.steps.len(), WIKI_STEPS, "{:?}", direct.steps);

    let translation = json!({
        "body": ["html", "css", "json", "javascript", "xml"],
        "round_trip": true,
    });
    let stand = Stand::new()
        .application_with(
            "wiki",
            &Backend::elsewhere(port),
            json!({ "link_translation": translation }),
        )
        .start()
        .await;
    let trap = Trap::new().await;
    let url = stand.url("wiki", "/");
    let steps = write_thrice(&url, "Outside", &wikitext);
    let seen = stand.browse(&[&trap.rule()], &steps).await;
    let host = format!("wiki.localhost:{}", stand.address().port());
    trap.assert_empty(&seen, &host).await;
    let proxied = Visit::new(&seen, url.trim_end_matches('/'));
    assert_eq!(proxied.steps.len(), WIKI_STEPS, "{:?}", proxied.steps);
    assert_eq!(new(&proxied.console, &direct.console), [""; 0]);
    assert_eq!(new(&proxied.failed, &direct.failed), [""; 0]);

    let at = |name| at(&steps, &seen, name);
    let pictures = &at("pictures")["value"];
    assert_eq!(
        pictures,
        &json!([{ "src": format!("{url}{LOGO}"), "width": 88 }])
    );
    let canonical = format!("{url}index.php/Outside");
    assert_eq!(at("canonical")["value"], canonical);
    assert_eq!(at("configuration")["value"], url.trim_end_matches('/'));
    for name in ["JSON", "XML"] {
        let answer = words(&at(name)["text"]);
        assert!(
            answer.contains(&url) && !answer.contains(&internal),
            "{answer}"
        );
    }

    // What people edit is what is stored; a script sees it translated, and it comes back as it was.
    assert_eq!(at("by hand")["value"], wikitext);
    let outside = wikitext.replace(&internal, &url);
    assert_eq!(at("by script")["value"], format!("{outside}\n\nBy hand."));
    for title in ["Inside", "Outside"] {
        let stored = ask(port, &format!("/index.php?title={title}&action=raw")).await;
        assert_eq!(
            stored,
            format!("{wikitext}\n\nBy hand.\n\nBy a script."),
            "{title}"
        );
    }
}

/// A flow that names its own application, in a field and inside of JSON in a text.
fn flow(internal: &str) -> Value {
    let answer = json!({ "self": format!("{internal}where") });
    json!([
        { "id": "t1", "type": "tab", "label": "Through" },
        { "id": "i", "type": "http in", "z": "t1", "url": "/where", "method": "get",
          "x": 140, "y": 80, "wires": [["c"]] },
        { "id": "c", "type": "change", "z": "t1", "x": 340, "y": 80, "wires": [["o"]], "rules": [
            { "t": "set", "p": "payload", "pt": "msg", "to": answer.to_string(), "tot": "json" }] },
        { "id": "o", "type": "http response", "z": "t1", "x": 540, "y": 80, "wires": [] },
        { "id": "r", "type": "http request", "z": "t1", "name": "asks", "method": "GET", "ret": "txt",
          "url": format!("{internal}where"), "x": 340, "y": 140, "wires": [[]] },
    ])
}

/// Opens the editor again, looks at the node that has the URL, gives it another name and deploys that.
fn rename(url: &str) -> Value {
    json!([
        { "goto": url },
        { "socket": "/comms", "as": "socket" },
        { "wait": "#red-ui-workspace-tabs", "text": "Through" },
        { "run": "RED.editor.edit(RED.nodes.filterNodes({ type: 'http request' })[0])" },
        { "fill": "#node-input-name", "with": "asks itself" },
        { "run": "document.querySelector('#node-input-url').value", "as": "editor" },
        { "click": "#node-dialog-ok" },
        { "click": "#red-ui-header-button-deploy" },
        { "wait": "#red-ui-notifications", "text": "Successfully deployed" },
        { "fetch": "/where", "as": "asked" },
    ])
}

const DEPLOY_STEPS: usize = 10;

#[tokio::test]
async fn node_red_that_has_its_internal_url_in_a_flow() {
    let folder = temporary();
    let (_node_red, port) = node_red(folder.path()).await;
    let translation = json!({ "body": ["html", "css", "json", "javascript"], "round_trip": true });
    let stand = Stand::new()
        .application_with(
            "flows",
            &Backend::elsewhere(port),
            json!({ "link_translation": translation }),
        )
        .start()
        .await;
    let trap = Trap::new().await;
    let url = stand.url("flows", "/");
    let host = format!("flows.localhost:{}", stand.address().port());
    let internal = format!("http://flows.corp.internal:{port}/");
    let flow = flow(&internal);
    let first = deploy(&url, &flow).into();
    let second = rename(&url);
    let (mut seen, mut visits) = (Value::Null, 0);
    for steps in [&first, &second] {
        seen = stand.browse(&[&trap.rule()], steps).await;
        trap.assert_empty(&seen, &host).await;
        let visit = Visit::new(&seen, url.trim_end_matches('/'));
        assert_eq!(visit.steps.len(), DEPLOY_STEPS, "{:?}", visit.steps);
        // Nothing at all, hence nothing that is new.
        assert_eq!(visit.console, [""; 0]);
        assert_eq!(visit.failed, [""; 0]);

        let stored = ask(port, "/flows").await;
        assert!(!stored.contains(&host), "{stored}");
        assert_eq!(node(&stored, "http request")["url"], flow[4]["url"]);
        assert_eq!(node(&stored, "change")["rules"], flow[2]["rules"]);
        visits += 1;
    }
    assert_eq!(visits, 2);

    // People see the external URL, and what they change keeps the internal one.
    let at = |name| at(&second, &seen, name);
    assert_eq!(at("socket")["url"], format!("wss://{host}/comms"));
    assert_eq!(at("editor")["value"], format!("{url}where"));
    let stored = ask(port, "/flows").await;
    assert_eq!(node(&stored, "http request")["name"], "asks itself");
    for (answer, place) in [
        (words(&at("asked")["text"]), &url),
        (&ask(port, "/where").await, &internal),
    ] {
        let answer: Value = serde_json::from_str(answer).unwrap();
        assert_eq!(answer, json!({ "self": format!("{place}where") }));
    }
}

/// The node of this type among those that are stored.
fn node(stored: &str, kind: &str) -> Value {
    let stored: Vec<Value> = serde_json::from_str(stored).unwrap();
    let found = stored.into_iter().find(|node| node["type"] == kind);
    found.unwrap_or_else(|| panic!("there is no {kind}"))
}
