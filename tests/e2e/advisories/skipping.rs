//! 4A: requests that were read in one way and decided on in another.

use serde_json::json;

use super::{
    BAD, DENIED, Guarded, NOBODY, both, cookie_of, get, head, outcome, outcome_of, target,
};
use crate::harness::{Answer, Recorder, Stand, Talk};
use crate::sign_in::{provider, with_sign_in};

/// Paths that are closed, with words behind them that open others.
const IN_THE_QUERY: [&str; 12] = [
    "/admin?x=/public/",
    "/admin?/public/",
    "/admin/?/public/x",
    "/admin/users?next=%2Fpublic%2F",
    "/admin??/public/",
    "/admin?x=/public/&y=/public/z",
    "/admin?x=..%2f..%2fpublic%2f",
    "/admin;?/public/",
    "/admin/x?y;/public/",
    "/admin?%2fpublic%2f",
    "/admin?x=y/../../public/",
    "//admin?/public/",
];

#[tokio::test]
async fn a01_a_pattern_in_the_query_opens_nothing() {
    let wiki = Guarded::start().await;
    let bob = cookie_of(&wiki.stand, "bob").await;
    let (mut refused, mut served) = (0, 0);
    for client in both(&wiki.stand) {
        for path in IN_THE_QUERY {
            let answer = wiki.ask(&client, path, &[]).await;
            assert_eq!(outcome(&answer), NOBODY, "{path}");
            let answer = wiki.ask(&client, path, &[("cookie", &bob)]).await;
            assert_eq!(outcome(&answer), DENIED, "{path}");
            assert_eq!(wiki.inside.taken(), "", "{path}");
            refused += 2;
        }
        // Nor does it close anything.
        for path in ["/public/x?/admin/", "/public/?next=/admin/x"] {
            let answer = wiki.ask(&client, path, &[]).await;
            assert_eq!(outcome(&answer), (200, ""), "{path}");
            assert_eq!(target(&wiki.inside.taken()), path);
            served += 1;
        }
    }
    assert_eq!((refused, served), (48, 4));
}

/// Fields by which proxies, frameworks and authorization services tell one another what was asked for.
const OTHER_PATHS: [&str; 26] = [
    "x-forwarded-uri",
    "x-forwarded-url",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-original-url",
    "x-original-uri",
    "x-original-path",
    "x-rewrite-url",
    "x-rewrite-uri",
    "x-envoy-original-path",
    "x-envoy-decorator-operation",
    "x-replaced-path",
    "x-override-url",
    "x-http-destinationurl",
    "x-http-path-override",
    "x-auth-request-redirect",
    "x-proxy-url",
    "x-request-uri",
    "request-uri",
    "x-path",
    "x-uri",
    "x-url",
    "uri",
    "url",
    "base-url",
    "referer",
];

/// And how.
const OTHER_METHODS: [&str; 6] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-forwarded-method",
    "x-original-method",
    "x-auth-request-method",
];

#[tokio::test]
async fn a02_no_field_says_which_path_was_asked_for() {
    let wiki = Guarded::start().await;
    let bob = cookie_of(&wiki.stand, "bob").await;
    let open = wiki.stand.url("wiki", "/public/x");
    let open = open.as_str();
    let (mut refused, mut served) = (0, 0);
    for client in both(&wiki.stand) {
        for name in OTHER_PATHS {
            for name in [name.to_owned(), name.replace('-', "_")] {
                let name = name.as_str();
                let said = [(name, "/public/x"), (name, open), (name, "/public/x")];
                for said in [&said[..1], &said[1..2], &said[..]] {
                    let answer = wiki.ask(&client, "/admin/x", said).await;
                    assert_eq!(outcome(&answer), NOBODY, "{said:?}");
                    refused += 1;
                }
                let answer = wiki
                    .ask(&client, "/admin/x", &[said[0], ("cookie", &bob)])
                    .await;
                assert_eq!(outcome(&answer), DENIED, "{name}");
                assert_eq!(wiki.inside.taken(), "", "{name}");
                // What is open stays what it is, and its target the one that was decided on.
                let answer = wiki.ask(&client, "/public/x", &[(name, "/admin/x")]).await;
                assert_eq!(outcome(&answer), (200, ""), "{name}");
                assert_eq!(target(&wiki.inside.taken()), "/public/x", "{name}");
                served += 1;
            }
        }
        for name in OTHER_METHODS {
            for method in ["OPTIONS", "HEAD", "CONNECT"] {
                let answer = wiki.ask(&client, "/admin/x", &[(name, method)]).await;
                assert_eq!(outcome(&answer), NOBODY, "{name}: {method}");
                assert_eq!(wiki.inside.taken(), "", "{name}");
                let answer = wiki.ask(&client, "/public/x", &[(name, method)]).await;
                assert_eq!(outcome(&answer), (200, ""), "{name}: {method}");
                let seen = wiki.inside.taken();
                assert!(seen.starts_with("GET /public/x "), "{name}: {seen}");
                refused += 1;
                served += 1;
            }
        }
    }
    assert_eq!(
        (refused, served),
        (2 * (26 * 2 * 3 + 18), 2 * (26 * 2 + 18))
    );
}

#[tokio::test]
async fn a03_a_fragment_is_refused_and_an_encoded_one_is_data() {
    let wiki = Guarded::start().await;
    let alice = cookie_of(&wiki.stand, "alice").await;
    let bob = cookie_of(&wiki.stand, "bob").await;
    let (alice, bob) = (format!("Cookie: {alice}\r\n"), format!("Cookie: {bob}\r\n"));
    let mut talk = wiki.talk();
    let mut seen = 0;
    for raw in [
        "/admin#/public/",
        "/admin/x#/../public/",
        "/public/#",
        "/public/x#y",
        "/public#/../admin",
        "/public/x?y#/admin",
        "/#/public/",
        "/admin?x#/public/",
        "#/public/",
    ] {
        for cookie in ["", alice.as_str()] {
            let reply = wiki.tell(&mut talk, raw.as_bytes(), cookie).await;
            assert_eq!(outcome_of(&reply), BAD, "{raw}");
            assert_eq!(wiki.inside.taken(), "", "{raw}");
            seen += 1;
        }
    }
    // What would be one, were it decoded, opens nothing for nobody and for bob.
    for (path, of_nobody, of_bob) in [
        ("/admin%23/public/", NOBODY, DENIED),
        ("/admin%23", NOBODY, DENIED),
        ("/admin%2523/public/", NOBODY, DENIED),
        ("/admin/%23/public/", NOBODY, DENIED),
        ("/admin/%23/../public/", BAD, BAD),
        ("/public%23/../admin", BAD, BAD),
        ("/public/..%23/admin", BAD, BAD),
        ("/public/%23/%2e%2e/admin", BAD, BAD),
        ("/public%23/admin", NOBODY, (200, "")),
        ("/%23/public/", NOBODY, (200, "")),
    ] {
        let reply = wiki.tell(&mut talk, path.as_bytes(), "").await;
        assert_eq!(outcome_of(&reply), of_nobody, "{path}");
        assert_eq!(wiki.inside.taken(), "", "{path}");
        let reply = wiki.tell(&mut talk, path.as_bytes(), &bob).await;
        assert_eq!(outcome_of(&reply), of_bob, "{path}");
        let expected = if of_bob.0 == 200 { path } else { "" };
        assert_eq!(target(&wiki.inside.taken()), expected);
        seen += 2;
    }
    // It is data, where it may be.
    for (path, cookie) in [
        ("/public/a%23b", ""),
        ("/public/%23/b%23", ""),
        ("/files/c%23/%23d?e%23f", alice.as_str()),
        ("/admin/%23", alice.as_str()),
    ] {
        let reply = wiki.tell(&mut talk, path.as_bytes(), cookie).await;
        assert_eq!(outcome_of(&reply), (200, ""), "{path}");
        assert_eq!(target(&wiki.inside.taken()), path);
        seen += 1;
    }
    assert_eq!(seen, 18 + 20 + 4);
}

/// What some server or other takes for `/admin` or something below it.
const SPELLINGS: &[&str] = &[
    "/admin",
    "/admin/",
    "/admin/x",
    "//admin",
    "///admin//x",
    "/Admin",
    "/ADMIN/x",
    "/%61dmin",
    "/%41dmin/x",
    "/a%64min",
    "/%2561dmin",
    "/%25%36%31dmin",
    "/admin;x=1/y",
    "/admin;/public/",
    "/;x/admin",
    "/admin%3Bx/y",
    "/admin%20",
    "/admin.",
    "/admin./x",
    "/admin%2e",
    "/admin%23",
    "/admin%3f",
    "/admin%3Fx/../public",
    "/%2Fadmin",
    "/%2fadmin/x",
    "/%252fadmin",
    "/%5Cadmin",
    "/%5cadmin/x",
    "/\\admin",
    "/admin%2fx",
    "/admin%5cx",
    "/admin\\x",
    "/admin%00",
    "/admin%00.png",
    "/admin%0a",
    "/admin%0d%0ax",
    "/admin%09",
    "/admin/.",
    "/admin/../admin",
    "/./admin",
    "/x/../admin",
    "/x/..;/admin",
    "/public/../admin",
    "/public/..%2fadmin",
    "/public/..%2Fadmin",
    "/public%2f..%2fadmin",
    "/public/%2e%2e/admin",
    "/public/%2E%2E/admin",
    "/public/.%2e/admin",
    "/public/%2e./admin",
    "/public/..;/admin",
    "/public/..;x=1/admin",
    "/public/%2e%2e;/admin",
    "/public/..%3b/admin",
    "/public/..%5cadmin",
    "/public/..\\admin",
    "/public\\..\\admin",
    "/public/%252e%252e/admin",
    "/public/..%252fadmin",
    "/public/..%255cadmin",
    "/public/%25252e./admin",
    "/public/..%20/admin",
    "/public/..%00/admin",
    "/public/..%c0%afadmin",
    "/public/%c0%ae%c0%ae/admin",
    "/public/%e0%80%ae./admin",
    "/public/..%u002fadmin",
    "/public/%%32%65%%32%65/admin",
    "/public//../admin",
    "/public/./../admin",
    "/public/x/../../admin",
    "/public/..%3fx/admin",
];

#[tokio::test]
async fn a05_every_spelling_gets_the_decision_of_its_path_or_none() {
    let wiki = Guarded::start().await;
    let alice = cookie_of(&wiki.stand, "alice").await;
    let bob = cookie_of(&wiki.stand, "bob").await;
    let (alice, bob) = (format!("Cookie: {alice}\r\n"), format!("Cookie: {bob}\r\n"));
    let mut talk = wiki.talk();
    let (mut refused, mut decided) = (0, 0);
    for path in SPELLINGS {
        let reply = wiki.tell(&mut talk, path.as_bytes(), "").await;
        let of_nobody = outcome_of(&reply);
        let reply = wiki.tell(&mut talk, path.as_bytes(), &bob).await;
        let of_bob = outcome_of(&reply);
        assert_eq!(wiki.inside.taken(), "", "{path}");
        let reply = wiki.tell(&mut talk, path.as_bytes(), &alice).await;
        let of_alice = outcome_of(&reply);
        // The octets that were decided on are those that arrive.
        let arrived = wiki.inside.taken();
        if of_alice == BAD {
            assert_eq!((of_nobody, of_bob), (BAD, BAD), "{path}");
            assert_eq!(arrived, "", "{path}");
            refused += 1;
        } else {
            assert_eq!(of_alice, (200, ""), "{path}");
            assert_eq!((of_nobody, of_bob), (NOBODY, DENIED), "{path}");
            assert_eq!(target(&arrived), *path);
            decided += 1;
        }
    }
    assert_eq!(refused + decided, 72);
    assert!(refused >= 40 && decided >= 18, "{refused} {decided}");
    // What is open is so in its own spelling alone.
    for (path, expected) in [
        ("/public/x", (200, "")),
        ("/public", (200, "")),
        ("/Public/x", NOBODY),
        ("//public/x", NOBODY),
        ("/%70ublic/x", NOBODY),
        ("/public;x/y", NOBODY),
    ] {
        let reply = wiki.tell(&mut talk, path.as_bytes(), "").await;
        assert_eq!(outcome_of(&reply), expected, "{path}");
        let arrived = if expected.0 == 200 { path } else { "" };
        assert_eq!(target(&wiki.inside.taken()), arrived);
    }
}

#[tokio::test]
async fn a06_a_path_that_is_allowed_arrives_octet_for_octet() {
    let issuer = provider().await;
    let inside = Recorder::start().await;
    let everybody = json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": ["anyone_signed_in"] },
    });
    let stand = Stand::new().application_with("wiki", &inside.backend, everybody);
    let stand = with_sign_in(stand, &issuer).start().await;
    let alice = cookie_of(&stand, "alice").await;
    let host = format!("wiki.localhost:{}", stand.address().port());
    let mut talk = Talk::with(stand.client(), "wiki.localhost");
    let mut seen = 0;
    for path in [
        "/",
        "/a",
        "/a/",
        "/a//",
        "/a//b/",
        "//a",
        "///",
        "/a%2Fb",
        "/a%2fb/c%2F",
        "/group%2Fproject/-/raw?ref=x%2Fy",
        "/a/./b",
        "/a/../b/",
        "/a%5cb",
        "/a;b=c/d;",
        "/%7Euser/~user",
        "/A%c3%bc%C3%BC",
        "/a%20b+c",
        "/a%23b%3Fc",
        "/100%25",
        "/a?",
        "/a??",
        "/a/?b=c//d/../e&f=%2f",
    ] {
        let cookie = format!("Cookie: {alice}\r\n");
        let reply = talk
            .ask(&head("GET", path.as_bytes(), &host, &cookie))
            .await;
        assert_eq!(outcome_of(&reply), (200, ""), "{path}");
        assert_eq!(target(&inside.taken()), path);
        let request = get(&stand.url("wiki", path), &[("cookie", &alice)]);
        let answer = Answer::read(stand.client().http2().send(request).await).await;
        assert_eq!(outcome(&answer), (200, ""), "{path}");
        assert_eq!(target(&inside.taken()), path);
        // Whoever is not signed in is not told apart by it.
        let reply = talk.ask(&head("GET", path.as_bytes(), &host, "")).await;
        assert_eq!(outcome_of(&reply), NOBODY, "{path}");
        assert_eq!(inside.taken(), "", "{path}");
        seen += 1;
    }
    assert_eq!(seen, 22);
}

#[tokio::test]
async fn a08_every_spelling_of_a_host_gets_the_same_decision() {
    let issuer = provider().await;
    let inside = Recorder::start().await;
    let guard = json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": [{ "group": "staff" }] },
    });
    let mut wide = guard.clone();
    wide["external_url"] = json!("https://b\u{fc}cher.localhost:{https}/");
    let stand = Stand::new()
        .application_with("wiki", &inside.backend, guard)
        .application_with("idn", &inside.backend, wide)
        .application("open", &inside.backend);
    let stand = with_sign_in(stand, &issuer).start().await;
    let alice = cookie_of(&stand, "alice").await;
    let bob = cookie_of(&stand, "bob").await;
    let (alice, bob) = (format!("Cookie: {alice}\r\n"), format!("Cookie: {bob}\r\n"));
    let port = stand.address().port().to_string();
    let mut talk = Talk::with(stand.client(), "wiki.localhost");
    let mut seen = 0;
    for (host, target) in [
        ("wiki.localhost:P", "/x"),
        ("WIKI.localhost:P", "/x"),
        ("Wiki.LocalHost:P", "/x"),
        ("wiki.localhost.:P", "/x"),
        ("WIKI.LOCALHOST.:P", "/x"),
        ("wiki.localhost:P", "https://WIKI.localhost.:P/x"),
        ("WIKI.localhost.:P", "https://wiki.localhost:P/x"),
        ("wiki.localhost:P", "http://wiki.localhost:P/x"),
    ] {
        let (host, target) = (
            host.replace('P', &port),
            target.replace(":P", &format!(":{port}")),
        );
        for (cookie, expected) in [("", NOBODY), (&*bob, DENIED), (&*alice, (200, ""))] {
            let reply = talk
                .ask(&head("GET", target.as_bytes(), &host, cookie))
                .await;
            assert_eq!(outcome_of(&reply), expected, "{host} {target}");
            let arrived = inside.taken();
            let expected = if expected.0 == 200 { "/x" } else { "" };
            assert_eq!(super::target(&arrived), expected, "{host} {target}");
            seen += 1;
        }
    }
    assert_eq!(seen, 24);
    // A name beyond ASCII has one spelling that is sent.
    for (host, expected) in [
        ("xn--bcher-kva.localhost:P", NOBODY),
        ("XN--BCHER-KVA.LOCALHOST.:P", NOBODY),
        ("b\u{fc}cher.localhost:P", BAD),
        ("b\u{75}\u{308}cher.localhost:P", BAD),
    ] {
        let host = host.replace(":P", &format!(":{port}"));
        for cookie in ["", &*alice] {
            let reply = talk.ask(&head("GET", b"/x", &host, cookie)).await;
            assert_eq!(outcome_of(&reply), expected, "{host}");
            assert_eq!(inside.taken(), "", "{host}");
        }
    }
    // What is no spelling of it is nobody's, also for whoever is signed in.
    let mut refused = 0;
    for host in [
        "wiki.localhost",
        "wiki.localhost:",
        "wiki.localhost:0",
        "wiki.localhost:+P",
        "wiki.localhost:P:P",
        "wiki.localhost..:P",
        ".wiki.localhost:P",
        "wiki..localhost:P",
        "wiki%2elocalhost:P",
        "wiki.localhost%00:P",
        "wiki\u{3002}localhost:P",
        "\u{ff57}iki.localhost:P",
        "wiki.localhost:P, open.localhost:P",
        "open.localhost:P, wiki.localhost:P",
        "open.localhost:P@wiki.localhost:P",
        "wiki.localhost:P/",
        "wiki.localhost:P#open.localhost:P",
        "wiki_localhost:P",
        "[wiki.localhost]:P",
    ] {
        let host = host.replace('P', &port);
        for cookie in ["", &*alice] {
            let reply = talk.ask(&head("GET", b"/x", &host, cookie)).await;
            let is_refused = matches!(outcome_of(&reply), BAD | (404, "no_route"));
            assert!(is_refused, "{host}: {reply:?}");
            assert_eq!(inside.taken(), "", "{host}");
            refused += 1;
        }
    }
    assert_eq!(refused, 38);
    let url = format!("https://open.localhost:{port}/x");
    let reply = talk
        .ask(&head(
            "GET",
            url.as_bytes(),
            &format!("wiki.localhost:{port}"),
            &alice,
        ))
        .await;
    assert_eq!(outcome_of(&reply), BAD);
    assert_eq!(inside.taken(), "");
}

/// What targets are made of that somebody reads in a way of their own.
const PIECES: [&[u8]; 40] = [
    b"/",
    b"/",
    b"/",
    b"//",
    b"/public",
    b"/public/",
    b"/admin",
    b"/admin/",
    b"x",
    b"A",
    b"..",
    b".",
    b"/../",
    b"%2e",
    b"%2e%2e",
    b"%2f",
    b"%5c",
    b"\\",
    b";",
    b"..;",
    b"%",
    b"%zz",
    b"%25",
    b"%00",
    b"%c0%af",
    b"%u002f",
    b"#",
    b"?",
    b"*",
    b":",
    b"@",
    b"[",
    b"http://",
    b"https://",
    b" ",
    b"\t",
    b"\x00",
    b"\x7f",
    b"\xff",
    b"\xc3\xa9",
];

/// Where a path leads on a server that decodes so many times, takes `\` for `/` and passes over
/// parameters and empty segments.
fn resolved(path: &str, layers: usize) -> String {
    let mut octets = path.as_bytes().to_vec();
    for _ in 0..layers {
        let mut decoded = Vec::new();
        let mut rest = &octets[..];
        while let [first, after @ ..] = rest {
            let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
            let octet = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
            match octet.filter(|_| *first == b'%') {
                Some(octet) => {
                    decoded.push(octet);
                    rest = &after[2..];
                }
                None => {
                    decoded.push(*first);
                    rest = after;
                }
            }
        }
        octets = decoded;
    }
    let text = String::from_utf8_lossy(&octets).replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment
            .split([';', '?', '#'])
            .next()
            .unwrap_or_default()
            .trim_end()
        {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    format!("/{}/", segments.join("/"))
}

#[tokio::test]
async fn a09_a_target_that_cannot_be_read_is_refused() {
    let wiki = Guarded::start().await;
    let mut talk = wiki.talk();
    // The same ones each time: what fails once is to fail again.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from((state >> 11) % below).unwrap()
    };
    let (mut refused, mut asked, mut opened) = (0, 0, 0);
    for number in 0..600 {
        let mut sent: Vec<u8> = match number % 4 {
            0 => Vec::new(),
            1 => b"/public/".to_vec(),
            2 => b"/public".to_vec(),
            _ => b"/".to_vec(),
        };
        for _ in 0..=next(6) {
            sent.extend_from_slice(PIECES[next(40)]);
        }
        let shown = sent.escape_ascii().to_string();
        let reply = wiki.tell(&mut talk, &sent, "").await;
        let seen = wiki.inside.taken();
        match outcome_of(&reply) {
            (200, "") => {
                let arrived = target(&seen);
                assert_eq!(arrived.as_bytes(), sent, "{shown}");
                let path = arrived.split('?').next().unwrap();
                let is_open = path == "/public" || path.starts_with("/public/");
                assert!(is_open, "{shown}");
                for layers in 0..4 {
                    let led = resolved(path, layers);
                    assert!(led.starts_with("/public/"), "{shown} leads to {led}");
                }
                opened += 1;
            }
            outcome => {
                assert_eq!(seen, "", "{shown}");
                match outcome {
                    (400, _) => refused += 1,
                    NOBODY => asked += 1,
                    _ => panic!("{shown}: {reply:?}"),
                }
            }
        }
    }
    assert_eq!(refused + asked + opened, 600);
    let each = refused >= 200 && asked >= 5 && opened >= 5;
    assert!(each, "{refused} {asked} {opened}");
}
