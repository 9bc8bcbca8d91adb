//! Open redirects, row C1 of the table of attacks on sign-in. `testdata/sign_in/redirects.txt` has
//! addresses that lead elsewhere: each is the page that somebody asks for, and each stands in every
//! parameter of ours. Where a browser ends is told by the parser that browsers have (WHATWG URL).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::json;
use tokio::net::TcpStream;
use url::{Origin, Url};

use crate::harness::{
    Backend, Client, Reply, Running, Stand, Talk, exchange, replies, within, words,
};
use crate::reload::{edit, reload};
use crate::sign_in::{Browser, of_staff, provider, with_sign_in};

const ROWS: &str = include_str!("../../../testdata/sign_in/redirects.txt");

/// How many there are: a runner that reads none finds nothing.
const COUNT: usize = 541;

/// The octets of each row.
fn rows() -> Vec<Vec<u8>> {
    let lines = ROWS.lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let rows: Vec<_> = lines.map(octets).collect();
    let distinct: BTreeSet<_> = rows.iter().collect();
    assert_eq!((rows.len(), distinct.len()), (COUNT, COUNT));
    rows
}

/// A row as it is sent: what stands in braces are octets, and how often.
fn octets(row: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = row;
    while let Some((plain, after)) = rest.split_once('{') {
        octets.extend_from_slice(plain.as_bytes());
        let (inside, after) = after.split_once('}').expect(row);
        let (digits, times) = inside.split_once('*').unwrap_or((inside, "1"));
        let part: Vec<_> = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect(row))
            .collect();
        octets.extend(part.repeat(times.parse().expect(row)));
        rest = after;
    }
    octets.extend_from_slice(rest.as_bytes());
    octets
}

/// A row as a person can read it.
fn shown(row: &[u8]) -> String {
    row[..row.len().min(200)].escape_ascii().to_string()
}

async fn stand(issuer: &str, wiki: &Backend) -> Running {
    with_sign_in(
        Stand::new()
            .application_with("wiki", wiki, of_staff())
            .redirects(),
        issuer,
    )
    .gateway_setting("limits", words::no_limits())
    .start()
    .await
}

/// Where people may be led.
struct Places {
    wiki: Url,
    login: Url,
    provider: Url,
}

impl Places {
    fn of(stand: &Running, issuer: &str) -> Self {
        let port = stand.address().port();
        let url = |text: &str| Url::parse(text).unwrap();
        Self {
            wiki: url(&stand.url("wiki", "/")),
            login: url(&format!("https://login.localhost:{port}/")),
            provider: url(issuer),
        }
    }

    fn origins(&self) -> [Origin; 3] {
        [&self.wiki, &self.login, &self.provider].map(Url::origin)
    }
}

/// A request head whose target is written as it is.
fn head(method: &str, target: &[u8], host: &Url, more: &str) -> Vec<u8> {
    let authority = host.authority();
    let rest = format!(
        " HTTP/1.1\r\nHost: {authority}\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n{more}\r\n"
    );
    [method.as_bytes(), b" ", target, rest.as_bytes()].concat()
}

/// What stands in the attributes of a page that lead somewhere.
fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in [
        " href=\"",
        " action=\"",
        " src=\"",
        " formaction=\"",
        " content=\"0;url=",
    ] {
        for rest in page.split(name).skip(1) {
            let value = rest.split('"').next().unwrap();
            let value = value.replace("&lt;", "<").replace("&gt;", ">");
            let value = value.replace("&quot;", "\"").replace("&#39;", "'");
            found.push(value.replace("&amp;", "&"));
        }
    }
    found
}

/// The way on from an answer of ours: of a redirect, or of a page with one link.
fn way_on(reply: &Reply, row: &[u8]) -> String {
    if reply.status == 303 {
        return reply.field("location").to_owned();
    }
    let main = reply.body.split("<main").nth(1);
    let mut links = links(main.unwrap_or_else(|| panic!("{}: {reply:?}", shown(row))));
    links.remove(0)
}

/// Asks for pages, with a person who is signed in at the sign-in host already.
struct Traveller {
    places: Places,
    wiki: Talk,
    login: Talk,
    /// The person's session at the sign-in host.
    session: String,
    client: Client,
    /// Rows that have signed in.
    count: u32,
}

impl Traveller {
    async fn new(stand: &Running, issuer: &str) -> Self {
        let mut alice = Browser::new(stand);
        alice.sign_in(&stand.url("wiki", "/"), "alice").await;
        Self {
            places: Places::of(stand, issuer),
            wiki: Talk::with(stand.client(), "wiki.localhost"),
            login: Talk::with(stand.client(), "login.localhost"),
            session: alice.cookie("login.localhost"),
            client: stand.client().clone(),
            count: 0,
        }
    }

    /// Asks for this page and signs in on the way; where that ends, and `None` where nobody is asked
    /// to sign in for such a request.
    async fn ends(&mut self, row: &[u8]) -> Option<String> {
        let reply = self
            .wiki
            .ask(&head("GET", row, &self.places.wiki, ""))
            .await;
        // A head with a line break in it may be two.
        if row.iter().any(|octet| !octet.is_ascii_graphic()) {
            self.wiki.hang_up();
        }
        let location = reply.field("location");
        let begins = format!("{}.appproxy/sign-in?request=", self.places.login);
        if reply.status != 401 && !location.starts_with(&begins) {
            let refused = matches!(reply.status, 400 | 404 | 414 | 431);
            let sign_out = format!("{}.appproxy/sign-out", self.places.login);
            assert!(
                refused && location.is_empty() || location == sign_out,
                "{}: {reply:?}",
                shown(row)
            );
            return None;
        }
        let to = way_on(&reply, row);
        assert!(to.starts_with(&begins), "{}: {to}", shown(row));
        let cookie = reply.all("set-cookie").next().unwrap();
        let cookie = cookie.split(';').next().unwrap();

        // One after the other from one place they would be a sign-in that never ends.
        self.count += 1;
        if self.count.is_multiple_of(3) {
            let source = Ipv4Addr::from(0x7f01_0000 + self.count);
            self.login = Talk::with(&self.client.at(source), "login.localhost");
        }
        let target = &to[self.places.login.as_str().len() - 1..];
        let session = format!("Cookie: {}\r\n", self.session);
        let request = head("GET", target.as_bytes(), &self.places.login, &session);
        let reply = self.login.ask(&request).await;
        let to = reply.field("location");
        let back = format!("{}.appproxy/session?id=", self.places.wiki);
        assert!(to.starts_with(&back), "{}: {reply:?}", shown(row));

        let target = &to[self.places.wiki.as_str().len() - 1..];
        let cookie = format!("Cookie: {cookie}\r\n");
        let request = head("GET", target.as_bytes(), &self.places.wiki, &cookie);
        let reply = self.wiki.ask(&request).await;
        assert!(
            matches!(reply.status, 200 | 303),
            "{}: {reply:?}",
            shown(row)
        );
        Some(way_on(&reply, row))
    }
}

#[tokio::test]
async fn c1_whatever_page_was_asked_for_a_sign_in_ends_at_its_own_origin() {
    let issuer = provider().await;
    let wiki = Backend::text("wiki").await;
    let stand = stand(&issuer, &wiki).await;
    let mut traveller = Traveller::new(&stand, &issuer).await;
    let from = traveller.places.wiki.join("/.appproxy/session").unwrap();
    // With the page that gives the fragment back, and with a redirect in its place.
    for fragment in ["keep", "off"] {
        edit(&stand.gateway_file(), |config| {
            config["sign_in"]["fragment"] = json!(fragment);
        });
        reload(&stand).await;
        let (mut ended, mut as_asked) = (0, 0);
        for row in rows() {
            let Some(target) = traveller.ends(&row).await else {
                continue;
            };
            ended += 1;
            as_asked += usize::from(target.as_bytes() == row);
            let to = from
                .join(&target)
                .unwrap_or_else(|e| panic!("{e}: {target}"));
            assert_eq!(to.origin(), from.origin(), "{}: {target}", shown(&row));
            // Nor to a reader that is less strict, or more helpful, than browsers are.
            let begin = target.as_bytes();
            let is_path = begin[0] == b'/' && !matches!(begin.get(1), Some(b'/' | b'\\'));
            assert!(is_path && !target.contains('\\'), "{target}");
            assert!(begin.iter().all(u8::is_ascii_graphic), "{target}");
        }
        assert!(ended >= 150 && as_asked >= 100, "{ended} {as_asked}");
        eprintln!("fragment {fragment}: {ended} of {COUNT} signed in, {as_asked} as asked for");
    }
}

/// Over plain HTTP both hosts lead to themselves over TLS, and nowhere else.
#[tokio::test]
async fn c1_whatever_page_was_asked_for_plain_http_leads_to_the_same_host() {
    let issuer = provider().await;
    let wiki = Backend::text("wiki").await;
    let stand = stand(&issuer, &wiki).await;
    let places = Places::of(&stand, &issuer);
    let mut led = 0;
    for row in rows() {
        for host in [&places.wiki, &places.login] {
            let mut plain = host.clone();
            let port = stand.plain_address().port();
            plain.set_scheme("http").unwrap();
            plain.set_port(Some(port)).unwrap();
            let stream = TcpStream::connect(stand.plain_address());
            let stream = within("a connection", stream).await.unwrap();
            let request = head("GET", &row, &plain, "Connection: close\r\n");
            let answers = replies(&exchange(stream, &request).await);
            assert!(!answers.is_empty(), "{}", shown(&row));
            for reply in answers {
                let location = reply.field("location");
                if location.is_empty() {
                    assert!(reply.status >= 400, "{}: {reply:?}", shown(&row));
                    continue;
                }
                led += 1;
                let to = plain.join(location).unwrap();
                assert_eq!(to.origin(), host.origin(), "{}: {location}", shown(&row));
            }
        }
    }
    assert!(led >= 300, "{led}");
}

/// What is written into parameters, and where; `V` is the row, `S` the state of a sign-in that is under
/// way in this browser, and `I` the issuer.
const SIGNED_OUT: [(&str, &str); 11] = [
    ("GET", "/.appproxy/sign-in?request=V"),
    ("GET", "/.appproxy/sign-in?provider=V&state=V&iss=V"),
    (
        "GET",
        "/.appproxy/sign-in?rd=V&next=V&redirect_uri=V&target=V",
    ),
    (
        "GET",
        "/.appproxy/callback?state=V&code=V&iss=V&id=V&error=V",
    ),
    (
        "GET",
        "/.appproxy/callback?state=S&code=x&iss=V&redirect_uri=V",
    ),
    ("GET", "/.appproxy/callback?state=S&code=V&iss=I"),
    (
        "GET",
        "/.appproxy/callback?state=S&error=V&error_description=V&error_uri=V&iss=I",
    ),
    (
        "GET",
        "/.appproxy/signed-out?state=V&id=V&code=V&iss=V&error=V&request=V",
    ),
    (
        "GET",
        "/.appproxy/sign-out?state=V&provider=V&post_logout_redirect_uri=V",
    ),
    ("POST", "/.appproxy/sign-out?token=V&state=V&id=V"),
    (
        "POST",
        "/.appproxy/confirm?request=V&token=V&answer=confirm",
    ),
];

const SIGNED_IN: [(&str, &str); 6] = [
    ("GET", "/?request=V&provider=V&state=V&next=V"),
    ("GET", "/.appproxy/sign-in?request=V"),
    ("GET", "/.appproxy/sign-in?provider=V&state=V&next=V&rd=V"),
    ("GET", "/.appproxy/sign-out?state=V&id_token_hint=V&next=V"),
    ("POST", "/.appproxy/sign-out?token=V&state=V&iss=V"),
    (
        "POST",
        "/.appproxy/confirm?request=V&token=V&answer=confirm",
    ),
];

/// `C` is the identifier of a sign-in that this browser has the cookie of.
const AT_AN_APPLICATION: [(&str, &str); 4] = [
    ("GET", "/.appproxy/session?id=V&code=V&state=V&error=V"),
    ("GET", "/.appproxy/session?id=C&code=V&target=V&next=V"),
    ("GET", "/.appproxy/sign-out?id=V&state=V&code=V&next=V"),
    ("GET", "/.appproxy/confirm?request=V&provider=V&iss=V"),
];

/// Writes rows into parameters.
struct Writer {
    places: Places,
    issuer: String,
    login: Talk,
    wiki: Talk,
    session: String,
    /// Of a sign-in at the application: its identifier, and its cookie.
    begun: (String, String),
    asked: usize,
    led: usize,
}

impl Writer {
    async fn new(stand: &Running, issuer: &str, session: &str) -> Self {
        let places = Places::of(stand, issuer);
        let mut wiki = Talk::with(stand.client(), "wiki.localhost");
        let reply = wiki.ask(&head("GET", b"/", &places.wiki, "")).await;
        let cookie = reply.field("set-cookie").split(';').next().unwrap();
        let id = cookie.split('=').next().unwrap();
        let id = id.strip_prefix("__Host-appproxy-signin-").unwrap();
        Self {
            issuer: parameter(issuer.as_bytes()),
            login: Talk::with(stand.client(), "login.localhost"),
            session: format!("Cookie: {session}\r\n"),
            begun: (id.to_owned(), format!("Cookie: {cookie}\r\n")),
            places,
            wiki,
            asked: 0,
            led: 0,
        }
    }

    /// Begins a sign-in, and returns its state and its cookie.
    async fn begin(&mut self) -> (String, String) {
        let request = head("GET", b"/.appproxy/sign-in", &self.places.login, "");
        let reply = self.login.ask(&request).await;
        let to = Url::parse(reply.field("location")).unwrap();
        let state = to.query_pairs().find(|(name, _)| name == "state");
        let cookie = reply.field("set-cookie").split(';').next().unwrap();
        (
            state.unwrap().1.into_owned(),
            format!("Cookie: {cookie}\r\n"),
        )
    }

    async fn write(&mut self, row: &[u8]) {
        let value = parameter(row);
        for (method, form) in SIGNED_OUT {
            let (state, cookie) = match form.contains("=S&") {
                true => self.begin().await,
                false => Default::default(),
            };
            let target = form.replace("=V", &format!("={value}"));
            let target = target.replace("=S&", &format!("={state}&"));
            let target = target.replace("=I", &format!("={}", self.issuer));
            self.ask(row, (method, &target), &cookie, false).await;
        }
        for (method, form) in SIGNED_IN {
            let target = form.replace("=V", &format!("={value}"));
            let session = self.session.clone();
            self.ask(row, (method, &target), &session, false).await;
        }
        for (method, form) in AT_AN_APPLICATION {
            let target = form.replace("=V", &format!("={value}"));
            let (id, cookie) = self.begun.clone();
            let target = target.replace("=C&", &format!("={id}&"));
            self.ask(row, (method, &target), &cookie, true).await;
        }
    }

    /// One request; its parameters are a query, or a form where it is a POST.
    async fn ask(
        &mut self,
        row: &[u8],
        (method, target): (&str, &str),
        cookie: &str,
        at_an_application: bool,
    ) {
        let (talk, host) = match at_an_application {
            true => (&mut self.wiki, &self.places.wiki),
            false => (&mut self.login, &self.places.login),
        };
        let request = match method {
            "POST" => {
                let (path, form) = target.split_once('?').unwrap();
                let length = form.len();
                let kind = "Content-Type: application/x-www-form-urlencoded";
                let fields = format!("{cookie}{kind}\r\nContent-Length: {length}\r\n");
                let mut request = head(method, path.as_bytes(), host, &fields);
                request.extend_from_slice(form.as_bytes());
                request
            }
            _ => head(method, target.as_bytes(), host, cookie),
        };
        let reply = talk.ask(&request).await;
        self.asked += 1;
        let what = || format!("{method} {target:.300} of {}: {reply:.2000?}", shown(row));
        assert!(reply.status < 500, "{}", what());
        let base = host.join(target.split('?').next().unwrap()).unwrap();
        let mut ways = links(&reply.body);
        if let Some(location) = reply.all("location").next() {
            self.led += 1;
            ways.push(location.to_owned());
        }
        for way in ways {
            let to = base
                .join(&way)
                .unwrap_or_else(|e| panic!("{e}: {}", what()));
            assert!(self.places.origins().contains(&to.origin()), "{}", what());
            // Nor is the provider told to send people elsewhere.
            for (name, value) in to.query_pairs() {
                let is_ours = value.starts_with(self.places.login.as_str());
                assert!(!name.contains("redirect_uri") || is_ours, "{}", what());
            }
        }
        // No field of an answer is one that was written into a request, and no page repeats one.
        assert!(!reply.body.contains("evil.example"), "{}", what());
        for (name, value) in &reply.fields {
            assert!(!value.contains("evil.example"), "{}", what());
            assert_ne!(name, "refresh", "{}", what());
            let is_planted = name == "set-cookie" && value.starts_with("__Host-appproxy=x");
            assert!(!is_planted, "{}", what());
        }
    }
}

fn parameter(octets: &[u8]) -> String {
    url::form_urlencoded::byte_serialize(octets).collect()
}

#[tokio::test]
async fn c1_whatever_is_written_into_a_parameter_leads_nowhere_else() {
    let issuer = provider().await;
    let wiki = Backend::text("wiki").await;
    let stand = stand(&issuer, &wiki).await;
    let mut alice = Browser::new(&stand);
    alice.sign_in(&stand.url("wiki", "/"), "alice").await;
    let session = alice.cookie("login.localhost");
    let rows = rows();
    // A few at a time, since most of it is waiting for one another.
    let parts = rows.chunks(rows.len().div_ceil(4)).map(async |rows| {
        let mut writer = Writer::new(&stand, &issuer, &session).await;
        for row in rows {
            writer.write(row).await;
        }
        (writer.asked, writer.led)
    });
    let seen = futures_util::future::join_all(parts).await;
    let (asked, led) = seen
        .iter()
        .fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    let forms = SIGNED_OUT.len() + SIGNED_IN.len() + AT_AN_APPLICATION.len();
    assert_eq!(asked, COUNT * forms);
    // Four answers to a row lead somewhere, but for rows that are too long.
    assert!(led >= COUNT * 4 - 4 * 5, "{led}");
    // Whatever was said, alice is signed in.
    assert_eq!(alice.open(&stand.url("wiki", "/")).await.text(), "wiki");
}
