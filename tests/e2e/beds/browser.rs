//! Applications that people use, in a browser: through the proxy under their external URL, and without
//! it.

use std::fs;

use serde_json::{Value, json};

use super::applications::{Visit, deploy, install, list, mediawiki, node_red, sign_in_to_wiki};
use crate::harness::{Backend, Stand, browse, temporary};

/// Reads a page, signs in, writes a page, reads it, finds it in three ways.
fn write_a_page(url: &str) -> Value {
    let wikitext = "Written in '''the browser''': grüß & <nowiki><b></nowiki>";
    let writing = json!([
        { "goto": format!("{url}index.php?title=Through_the_proxy&action=edit") },
        { "fill": "#wpTextbox1", "with": wikitext },
        { "click": "#wpSave" },
        { "wait": "#mw-content-text", "text": "Written in the browser: grüß & <b>" },
        { "where": true },
        { "goto": format!("{url}index.php/Special:AllPages") },
        { "wait": "#mw-content-text", "text": "Through the proxy" },
        { "fetch": "/api.php?action=query&format=json&list=allpages" },
        { "fill": "#searchInput", "with": "Through" },
        { "wait": ".suggestions-results", "text": "Through the proxy" },
    ]);
    [sign_in_to_wiki(url), list(&writing)].concat().into()
}

const WIKI_STEPS: usize = 17;

#[tokio::test]
async fn a_page_of_mediawiki_is_written_and_read() {
    let folder = temporary();
    let (direct, proxied) = (folder.path().join("direct"), folder.path().join("proxied"));
    let (_php, port) = mediawiki(&direct).await;
    let straight = format!("http://localhost:{port}/");
    install(&direct, &straight).await;
    let seen = browse(&[], &[], &write_a_page(&straight)).await;
    let direct = Visit::new(&seen, straight.trim_end_matches('/'));

    let (_php, port) = mediawiki(&proxied).await;
    let stand = Stand::new()
        .application("wiki", &Backend::elsewhere(port))
        .start()
        .await;
    let url = stand.url("wiki", "/");
    install(&proxied, &url).await;
    let seen = stand.browse(&[], &write_a_page(&url)).await;
    let proxied = Visit::new(&seen, url.trim_end_matches('/'));

    assert_eq!(direct.steps.len(), WIKI_STEPS, "{:?}", direct.steps);
    assert_eq!(proxied.steps.len(), WIKI_STEPS, "{:?}", proxied.steps);
    for (at, (direct, proxied)) in direct.steps.iter().zip(&proxied.steps).enumerate() {
        assert_eq!(direct["status"], proxied["status"], "step {at}");
        assert_eq!(direct["title"], proxied["title"], "step {at}");
        assert_eq!(proxied["error"], Value::Null, "step {at}");
    }
    assert_eq!(
        proxied.steps[11]["url"],
        format!("{url}index.php/Through_the_proxy")
    );
    let pages = proxied.steps[14]["text"].as_str().unwrap();
    assert!(pages.contains("Through the proxy"), "{pages}");
    assert_eq!(direct.console, proxied.console);
    assert_eq!(direct.failed, proxied.failed);
    let host = format!("wiki.localhost:{}", stand.address().port());
    assert_eq!(proxied.hosts, json!([host]));
}

/// Opens the editor, brings in a flow, deploys it, asks it something, and sees that in the editor's
/// own window, where a WebSocket brings it.
fn deploy_a_flow(url: &str) -> Value {
    let flow = json!([
        { "id": "t1", "type": "tab", "label": "Through" },
        { "id": "i", "type": "http in", "z": "t1", "url": "/hello", "method": "get",
          "x": 140, "y": 80, "wires": [["o", "d"]] },
        { "id": "o", "type": "http response", "z": "t1", "x": 340, "y": 80, "wires": [] },
        { "id": "d", "type": "debug", "z": "t1", "name": "seen", "active": true, "tosidebar": true,
          "complete": "payload", "targetType": "msg", "x": 340, "y": 140, "wires": [] },
    ]);
    let asking = json!([
        { "fetch": "/hello?told=through" },
        { "press": "Control+g" },
        { "press": "d" },
        { "wait": ".red-ui-debug-content", "text": "told" },
    ]);
    [deploy(url, &flow), list(&asking)].concat().into()
}

const EDITOR_STEPS: usize = 14;

#[tokio::test]
async fn a_flow_of_node_red_is_deployed() {
    let folder = temporary();
    let (direct, proxied) = (folder.path().join("direct"), folder.path().join("proxied"));
    fs::create_dir(&direct).unwrap();
    fs::create_dir(&proxied).unwrap();
    let ((_first, first), (_second, second)) = tokio::join!(node_red(&direct), node_red(&proxied));

    let straight = format!("http://localhost:{first}/");
    let seen = browse(&[], &[], &deploy_a_flow(&straight)).await;
    let direct = Visit::new(&seen, straight.trim_end_matches('/'));

    let stand = Stand::new()
        .application("flows", &Backend::elsewhere(second))
        .start()
        .await;
    let url = stand.url("flows", "/");
    let seen = stand.browse(&[], &deploy_a_flow(&url)).await;
    let proxied = Visit::new(&seen, url.trim_end_matches('/'));

    assert_eq!(direct.steps.len(), EDITOR_STEPS, "{:?}", direct.steps);
    assert_eq!(proxied.steps.len(), EDITOR_STEPS, "{:?}", proxied.steps);
    for (at, (direct, proxied)) in direct.steps.iter().zip(&proxied.steps).enumerate() {
        assert_eq!(direct["status"], proxied["status"], "step {at}");
        assert_eq!(proxied["error"], Value::Null, "step {at}");
    }
    let host = format!("flows.localhost:{}", stand.address().port());
    assert_eq!(proxied.steps[2]["url"], format!("wss://{host}/comms"));
    assert_eq!(proxied.steps[10]["text"], r#"{"told":"through"}"#);
    assert_eq!(direct.console, proxied.console);
    assert_eq!(direct.failed, proxied.failed);
    assert_eq!(proxied.hosts, json!([host]));
}
