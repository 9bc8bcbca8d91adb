//! The attacks that were published on other proxies, row by row: 4A, skipping authentication, and 4B,
//! forging who somebody is. [`ROWS`] names the tests that prove each; those that stand nowhere else are
//! here, named after their row.

mod forging;
mod posing;
mod sayer;
mod skipping;

use std::fs;
use std::path::Path;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;

use crate::harness::{Answer, Client, Recorder, Reply, Running, Stand, Talk};
use crate::sign_in::{Browser, provider, with_sign_in};

const SKIPPING: &str = "tests/e2e/advisories/skipping.rs";
const POSING: &str = "tests/e2e/advisories/posing.rs";
const FORGING: &str = "tests/e2e/advisories/forging.rs";

/// Row, what it is, the file, and the test in it. A row may have several.
const ROWS: &[(&str, &str, &str, &str)] = &[
    (
        "A1",
        "a pattern of the path is found in the query",
        SKIPPING,
        "a01_a_pattern_in_the_query_opens_nothing",
    ),
    (
        "A2",
        "a field says that another path was asked for",
        SKIPPING,
        "a02_no_field_says_which_path_was_asked_for",
    ),
    (
        "A3",
        "a fragment widens what opens",
        SKIPPING,
        "a03_a_fragment_is_refused_and_an_encoded_one_is_data",
    ),
    (
        "A4",
        "whoever looks like a health check is let in",
        POSING,
        "a04_whoever_looks_like_a_health_check_is_anybody",
    ),
    (
        "A5",
        "another spelling of a path gets another decision",
        SKIPPING,
        "a05_every_spelling_gets_the_decision_of_its_path_or_none",
    ),
    (
        "A6",
        "a path is repaired, and applications break",
        SKIPPING,
        "a06_a_path_that_is_allowed_arrives_octet_for_octet",
    ),
    (
        "A7",
        "a prefix ends in the middle of a segment",
        "tests/e2e/machines.rs",
        "paths_have_guards_of_their_own",
    ),
    (
        "A7",
        "the same where rules deny",
        "tests/e2e/access.rs",
        "rules_are_judged_on_every_request",
    ),
    (
        "A8",
        "another spelling of a host gets another decision",
        SKIPPING,
        "a08_every_spelling_of_a_host_gets_the_same_decision",
    ),
    (
        "A9",
        "what cannot be read as a target passes",
        SKIPPING,
        "a09_a_target_that_cannot_be_read_is_refused",
    ),
    (
        "A10",
        "a corrupt cookie lets in",
        "tests/e2e/sign_in_failures.rs",
        "a_corrupt_cookie_is_a_sign_in_anew_wherever_it_broke",
    ),
    (
        "A10",
        "a store that fails lets in",
        "tests/e2e/sign_in_failures.rs",
        "without_its_store_a_gateway_serves_whom_it_remembers_and_sends_nobody_in_a_circle",
    ),
    (
        "A10",
        "an empty secret lets in",
        "tests/e2e/start.rs",
        "the_wrong_store_key_is_a_finding_and_the_right_one_opens",
    ),
    (
        "A11",
        "a field says where somebody is",
        POSING,
        "a11_no_field_says_where_somebody_is",
    ),
    (
        "A11",
        "a header in front of TLS says it",
        "tests/e2e/passed_on.rs",
        "rule_4_a_stranger_who_sends_a_header_is_not_believed",
    ),
    (
        "A12",
        "whoever left a group is still let in",
        "tests/e2e/signed_in.rs",
        "groups_and_people_are_those_the_provider_says_when_it_is_asked_again",
    ),
    (
        "A12",
        "a rule is asked once and not for each request",
        "tests/e2e/access.rs",
        "rules_are_judged_on_every_request",
    ),
    (
        "A13",
        "an address of two domains passes for one of the other",
        POSING,
        "a13_an_address_is_of_the_domain_behind_its_only_at_sign",
    ),
    (
        "A14",
        "any token of the issuer is taken",
        POSING,
        "a14_a_token_for_somebody_else_opens_nothing",
    ),
    (
        "A14",
        "the same with a provider of the world",
        "tests/e2e/machines.rs",
        "a_program_comes_in_with_an_access_token_of_the_provider",
    ),
    (
        "A15",
        "one field routes and another authenticates",
        POSING,
        "a15_one_field_shows_who_a_program_is",
    ),
    (
        "A17",
        "parameters of ours are made up, or come twice",
        "tests/e2e/attacks/sign_in/codes.rs",
        "c5_what_comes_back_is_of_the_sign_in_the_provider_and_the_application_that_asked",
    ),
    (
        "A17",
        "anything at all stands in each of them",
        "tests/e2e/attacks/redirects.rs",
        "c1_whatever_is_written_into_a_parameter_leads_nowhere_else",
    ),
    (
        "A18",
        "a certificate below another, or of the authority itself, opens a tunnel",
        POSING,
        "a18_no_certificate_makes_another_one_good",
    ),
    (
        "A18",
        "another authority's, another role's, an ended one",
        "tests/e2e/enrolment.rs",
        "a_certificate_that_is_no_connectors_gets_no_tunnel",
    ),
    (
        "A18",
        "one that was removed",
        "tests/e2e/removal.rs",
        "a_removed_connector_is_cut_within_a_second_and_cannot_come_back",
    ),
    (
        "B1",
        "another spelling of a field arrives as the field",
        "tests/e2e/beds/folding.rs",
        "rule_05_no_spelling_tells_an_application_who_it_is",
    ),
    (
        "B2",
        "a field is forged where nobody signs in: a path of the application",
        "tests/e2e/beds/folding.rs",
        "rule_05_no_spelling_tells_an_application_who_it_is",
    ),
    (
        "B2",
        "and another application that is the same program",
        "tests/e2e/sign_on.rs",
        "an_application_is_told_who_it_is_by_the_gateway_alone",
    ),
    (
        "B3",
        "where there is nothing to say the client's word stays",
        "tests/e2e/sign_on.rs",
        "an_application_is_told_who_it_is_by_the_gateway_alone",
    ),
    (
        "B4",
        "`Connection` takes our fields away",
        FORGING,
        "b04_connection_cannot_name_our_fields",
    ),
    (
        "B5",
        "of two fields one is judged and the other one counts",
        FORGING,
        "b05_of_two_fields_neither_counts",
    ),
    (
        "B6",
        "a client says which host a redirect leads to",
        FORGING,
        "b06_no_field_says_where_a_redirect_leads",
    ),
    (
        "B7",
        "an application is asked past the gateway: it can verify a signed word",
        "tests/e2e/sign_on.rs",
        "rule_05_an_application_verifies_whose_word_it_is_and_nobody_else_gives_it",
    ),
    (
        "B7",
        "and demand the connector's certificate",
        "tests/e2e/backends/tls.rs",
        "an_application_is_known_as_its_operator_says_and_not_otherwise",
    ),
    (
        "B8",
        "a claim or a value ends a line",
        FORGING,
        "b08_no_claim_and_no_value_begins_another_field",
    ),
    (
        "B9",
        "a script of the application reads a page of ours",
        FORGING,
        "b09_no_page_of_ours_tells_a_secret",
    ),
    (
        "B9",
        "and acts by it",
        "tests/e2e/attacks/sign_in/mod.rs",
        "c7_no_page_elsewhere_signs_anybody_out_or_acts_for_them",
    ),
];

/// What the gateway answers whoever is not signed in, is not let in, or says what cannot be read.
const NOBODY: (u16, &str) = (401, "sign_in_required");
const DENIED: (u16, &str) = (403, "denied");
const BAD: (u16, &str) = (400, "bad_request");

/// A test that is renamed is missed here, and so is a row without any.
#[test]
fn every_row_has_its_tests_by_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut rows: Vec<&str> = Vec::new();
    for (row, what, file, test) in ROWS {
        let text = fs::read_to_string(root.join(file));
        let text = text.unwrap_or_else(|e| panic!("{row}, {what}: {file}: {e}"));
        let at = text.find(&format!("fn {test}("));
        let at = at.unwrap_or_else(|| panic!("{row}, {what}: no {test} in {file}"));
        // What stands above it up to an empty line says that it is run.
        let above = text[..at].rsplit("\n\n").next().unwrap_or_default();
        assert!(above.contains("test]"), "{row}: {test} is no test: {above}");
        if rows.last() != Some(row) {
            rows.push(row);
        }
    }
    // A16 is about changing things through an interface that there is not yet.
    let expected = (1..=18)
        .filter(|row| *row != 16)
        .map(|row| format!("A{row}"));
    let expected = expected.chain((1..=9).map(|row| format!("B{row}")));
    let expected: Vec<String> = expected.collect();
    assert_eq!(rows, expected);
    assert_eq!(rows.len(), 26);
}

/// A gateway before an application of which `/public/` is everybody's and `/admin/` of admins, and the
/// rest of whoever is signed in.
struct Guarded {
    stand: Running,
    inside: Recorder,
    /// As `Host` has it.
    host: String,
}

impl Guarded {
    async fn start() -> Self {
        Self::on(Stand::new()).await
    }

    async fn on(stand: Stand) -> Self {
        let issuer = provider().await;
        let inside = Recorder::start().await;
        let guard = json!({
            "pre_authentication": ["oidc"],
            "access": {
                "allow": ["anyone_signed_in"],
                "deny": [{ "path": "/admin/", "not": { "group": "admins" } }],
            },
            "paths": [{ "path": "/public/", "pre_authentication": ["passthrough"] }],
        });
        let stand = stand.application_with("wiki", &inside.backend, guard);
        let stand = with_sign_in(stand, &issuer).start().await;
        let host = format!("wiki.localhost:{}", stand.address().port());
        Self {
            stand,
            inside,
            host,
        }
    }

    async fn ask(&self, client: &Client, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = get(&self.stand.url("wiki", path), fields);
        Answer::read(client.send(request).await).await
    }

    fn talk(&self) -> Talk {
        Talk::with(self.stand.client(), "wiki.localhost")
    }

    /// Sends a target as it is written here, with whatever fields.
    async fn tell(&self, talk: &mut Talk, target: &[u8], fields: &str) -> Reply {
        talk.ask(&head("GET", target, &self.host, fields)).await
    }
}

/// The cookies with which somebody is signed in at the application.
async fn cookie_of(stand: &Running, name: &str) -> String {
    let mut browser = Browser::new(stand);
    browser.sign_in(&stand.url("wiki", "/"), name).await;
    browser.cookie("wiki.localhost")
}

fn both(stand: &Running) -> [Client; 2] {
    [stand.client().clone(), stand.client().http2()]
}

fn get(url: &str, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::get(url);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Full::default()).unwrap()
}

/// A request head, octet for octet as no client would send it.
fn head(method: &str, target: &[u8], host: &str, fields: &str) -> Vec<u8> {
    let rest = format!(" HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
    [method.as_bytes(), b" ", target, rest.as_bytes()].concat()
}

/// Status and code of an answer of the gateway's; without a code where another made it.
fn outcome(answer: &Answer) -> (u16, &str) {
    (
        answer.status.as_u16(),
        code(answer.header("appproxy-answer")),
    )
}

/// The same of a raw answer.
fn outcome_of(reply: &Reply) -> (u16, &str) {
    (reply.status, code(reply.field("appproxy-answer")))
}

fn code(said: &str) -> &str {
    said.strip_prefix("gateway;error=").unwrap_or_default()
}

/// The target that the application received.
fn target(seen: &str) -> &str {
    let line = seen.lines().next().unwrap_or_default();
    line.split(' ').nth(1).unwrap_or_default()
}

/// Every field that the application received.
fn fields(seen: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = seen.lines().skip(1).take_while(|line| !line.is_empty());
    lines.filter_map(|line| {
        line.split_once(':')
            .map(|(name, value)| (name, value.trim()))
    })
}

/// All values that the application received under this very name.
fn all<'a>(seen: &'a str, name: &str) -> Vec<&'a str> {
    let own = fields(seen).filter(|(own, _)| own.eq_ignore_ascii_case(name));
    own.map(|(_, value)| value).collect()
}

#[test]
fn what_an_application_received_is_taken_apart() {
    let seen = "GET /a?b HTTP/1.1\r\nX-A: 1\r\nx-a: 2: 3\r\nX_A:\r\n\r\nX-A: body";
    assert_eq!(target(seen), "/a?b");
    assert_eq!(all(seen, "x-a"), ["1", "2: 3"]);
    assert_eq!(all(seen, "x_a"), [""]);
    assert_eq!(fields(seen).count(), 3);
    assert_eq!((target(""), all("", "x-a").len()), ("", 0));
}
