//! `examples/monitoring`: every name in it is a metric of the program, and Prometheus takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use appproxy::telemetry::metrics::{self, Kind};
use serde_json::Value;

use crate::run;

const FOLDER: &str = "examples/monitoring";

/// What Prometheus itself puts beside the labels of every series.
const TARGET: [&str; 2] = ["job", "instance"];

fn text(name: &str) -> String {
    fs::read_to_string(format!("{FOLDER}/{name}")).expect(name)
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&text(name)).expect(name)
}

fn dashboard() -> Value {
    serde_json::from_str(&text("dashboard.json")).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The series that may exist, and the labels that each has.
fn series() -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut all = BTreeMap::new();
    for metric in metrics::ALL {
        let mut labels: BTreeSet<_> = metric.labels.iter().copied().chain(TARGET).collect();
        if metric.kind == Kind::Histogram {
            for end in ["_sum", "_count"] {
                all.insert(format!("{}{end}", metric.name), labels.clone());
            }
            labels.insert("le");
            all.insert(format!("{}_bucket", metric.name), labels);
        } else {
            all.insert(metric.name.to_owned(), labels);
        }
    }
    all
}

/// The series of ours in an expression, each with the names of the labels that it is chosen by.
fn used(expression: &str) -> Vec<(String, Vec<String>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut used = Vec::new();
    for (at, _) in expression.match_indices("appproxy_") {
        let rest = &expression[at..];
        let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
        let chosen = rest[name.len()..].strip_prefix('{');
        let chosen = chosen.map_or("", |chosen| chosen.split('}').next().unwrap());
        // No value has a comma in it.
        let labels = chosen.split(',').filter_map(|one| {
            let label: String = one.trim().chars().take_while(|c| is_name(*c)).collect();
            (!label.is_empty()).then_some(label)
        });
        used.push((name, labels.collect()));
    }
    used
}

/// What is wrong with the series of an expression.
fn unknown(expression: &str) -> Vec<String> {
    let series = series();
    let mut wrong = Vec::new();
    for (name, labels) in used(expression) {
        match series.get(&name) {
            None => wrong.push(name),
            Some(known) => {
                let labels = labels.into_iter();
                let strange = labels.filter(|label| !known.contains(label.as_str()));
                wrong.extend(strange.map(|label| format!("{name}: {label}")));
            }
        }
    }
    wrong
}

fn rules() -> Vec<Value> {
    let alerts = yaml("alerts.yaml");
    let groups = list(&alerts["groups"]).iter();
    groups
        .flat_map(|group| list(&group["rules"]).to_vec())
        .collect()
}

fn panels() -> Vec<Value> {
    let dashboard = dashboard();
    let panels = list(&dashboard["panels"]).iter();
    panels
        .filter(|panel| panel["type"] != "row")
        .cloned()
        .collect()
}

#[test]
fn a_series_that_is_none_is_noticed() {
    let good = "sum by (le) (rate(appproxy_request_duration_seconds_bucket{application=~\"$a\",job=\"x\"}[5m]))";
    assert_eq!(unknown(good), Vec::<String>::new());
    for (wrong, what) in [
        ("appproxy_request_total > 1", "appproxy_request_total"),
        (
            "rate(appproxy_request_duration_seconds[5m])",
            "appproxy_request_duration_seconds",
        ),
        ("appproxy_tunnels{gruppe=\"a\"}", "appproxy_tunnels: gruppe"),
    ] {
        assert_eq!(unknown(wrong), [what]);
    }
}

#[test]
fn every_series_in_the_alerts_and_in_the_dashboard_is_one_of_the_program() {
    let mut seen = BTreeSet::new();
    let alerts = rules()
        .into_iter()
        .map(|rule| rule["expr"].as_str().unwrap().to_owned());
    let dashboard = panels().into_iter().flat_map(|panel| {
        let targets = list(&panel["targets"]).to_vec().into_iter();
        targets.map(|target| target["expr"].as_str().unwrap().to_owned())
    });
    for expression in alerts.chain(dashboard) {
        assert_eq!(unknown(&expression), Vec::<String>::new(), "{expression}");
        seen.extend(used(&expression).into_iter().map(|(name, _)| name));
    }
    // What nobody looks at would not have to be counted.
    let left: Vec<_> = metrics::ALL
        .iter()
        .map(|metric| metric.name)
        .filter(|name| !seen.iter().any(|seen| seen.starts_with(name)))
        .collect();
    let known = [
        "appproxy_tunnel_rtt_seconds",
        "appproxy_connector_dials_total",
        "appproxy_connector_backend_informational_total",
    ];
    assert_eq!(left, known, "metrics that neither alerts nor dashboard use");
}

#[test]
fn prometheus_takes_the_alerts_and_each_fires_when_it_should_and_only_then() {
    for (verb, file) in [
        (["check", "rules"], "alerts.yaml"),
        (["check", "config"], "prometheus.yaml"),
        (["test", "rules"], "alerts_test.yaml"),
    ] {
        let file = format!("{FOLDER}/{file}");
        let (good, said) = run("promtool", &[&verb[..], &[&file]].concat());
        assert!(good && said.contains("SUCCESS"), "{verb:?}: {said}");
    }
    let tests = yaml("alerts_test.yaml");
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for case in list(&tests["tests"])
        .iter()
        .flat_map(|test| list(&test["alert_rule_test"]))
    {
        let name = case["alertname"].as_str().unwrap().to_owned();
        if list(&case["exp_alerts"]).is_empty() {
            silent.insert(name);
        } else {
            fires.insert(name);
        }
    }
    let rules = rules();
    let names: BTreeSet<_> = rules
        .iter()
        .map(|r| r["alert"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        (names.len(), rules.len()),
        (29, 29),
        "alerts, each with a name of its own"
    );
    assert_eq!(fires, names);
    assert_eq!(silent, names);
    for rule in &rules {
        let severity = rule["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("critical" | "warning")), "{rule}");
        for text in ["summary", "description"] {
            let text = rule["annotations"][text].as_str();
            assert!(text.is_some_and(|text| text.len() > 20), "{rule}");
        }
    }
}

#[test]
fn every_panel_of_the_dashboard_has_a_title_a_unit_and_queries_that_prometheus_takes() {
    let panels = panels();
    let mut titles = BTreeSet::new();
    let mut queries = Vec::new();
    for panel in &panels {
        let title = panel["title"].as_str().unwrap();
        assert!(titles.insert(title), "{title} is there twice");
        for (key, place) in [
            ("description", &panel["description"]),
            ("unit", &panel["fieldConfig"]["defaults"]["unit"]),
            ("source", &panel["datasource"]["uid"]),
        ] {
            assert!(
                place.as_str().is_some_and(|text| !text.is_empty()),
                "{title}: no {key}"
            );
        }
        let targets = list(&panel["targets"]);
        assert!(!targets.is_empty(), "{title}: no query");
        for target in targets {
            assert!(
                target["legendFormat"]
                    .as_str()
                    .is_some_and(|l| !l.is_empty()),
                "{title}"
            );
            let query = target["expr"].as_str().unwrap();
            // As Grafana fills them in.
            let query = query.replace("$__rate_interval", "1m");
            let query = ["$gateway", "$application", "$group"]
                .iter()
                .fold(query, |query, variable| query.replace(variable, ".*"));
            assert!(!query.contains('$'), "{title}: {query}");
            queries.push(serde_json::json!({ "record": "a", "expr": query, "labels": { "n": queries.len().to_string() } }));
        }
    }
    assert_eq!(
        (panels.len(), queries.len()),
        (37, 63),
        "panels and their queries"
    );
    // Prometheus reads JSON as the YAML it is.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queries.yaml");
    let rules = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": queries }] });
    fs::write(&file, rules.to_string()).unwrap();
    let file = file.display().to_string();
    let (good, said) = run("promtool", &["check", "rules", &file]);
    assert!(good && said.contains("SUCCESS"), "{said}");
}

#[test]
fn the_jobs_are_the_same_everywhere() {
    let config = yaml("prometheus.yaml");
    let jobs = list(&config["scrape_configs"]).iter();
    let jobs: BTreeSet<_> = jobs
        .map(|job| job["job_name"].as_str().unwrap().to_owned())
        .collect();
    for name in ["alerts.yaml", "alerts_test.yaml", "dashboard.json"] {
        let text = text(name).replace('\\', "");
        let named: BTreeSet<_> = text
            .split("job=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect();
        assert_eq!(named, jobs, "{name}");
    }
}
