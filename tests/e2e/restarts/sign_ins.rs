//! A gateway that is killed again and again, as by power cuts, while people sign in and out: what it
//! has acknowledged is kept. Three times, and with `SOAK=1` thirty.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::harness::{
    Answer, Backend, Client, Connection, Running, Stand, run, until, within, words,
};
use crate::sign_in::{link, of_staff, plain, provider, with_sign_in};

const TICKET: &str = "__Host-appproxy=";

/// Sign-ins and revocations that are acknowledged before each kill, at least.
const SIGN_INS: usize = 6;
const REVOCATIONS: usize = 2;

fn kills() -> usize {
    match std::env::var_os("SOAK") {
        Some(_) => 30,
        None => 3,
    }
}

/// Somebody who has been given the cookie of a session, or of two.
#[derive(Debug, Clone)]
struct Person {
    at_login: String,
    at_wiki: Option<String>,
}

impl Person {
    /// What `gateway session revoke` calls the session.
    fn id(&self) -> &str {
        let ticket = self.at_login.strip_prefix(TICKET).unwrap();
        ticket.split('.').next().unwrap()
    }
}

/// What the gateway has acknowledged.
#[derive(Debug, Default)]
struct Acknowledged {
    signed_in: Mutex<VecDeque<Person>>,
    revoked: Mutex<Vec<Person>>,
    sign_ins: AtomicUsize,
    revocations: AtomicUsize,
    /// Attempts that were cut off: nobody may say what became of them.
    cut: AtomicUsize,
    stop: AtomicBool,
    /// Somebody signed in, or all is to stop.
    news: Notify,
}

impl Acknowledged {
    /// Who is to be signed out next: the oldest, and half of all stay. From then on nobody may say what
    /// they are, until it is acknowledged.
    fn oldest(&self) -> Option<Person> {
        let mut signed_in = self.signed_in.lock().unwrap();
        let is_enough = 2 * signed_in.len() > self.sign_ins.load(Ordering::Relaxed);
        is_enough.then(|| signed_in.pop_front()).flatten()
    }
}

/// A browser whose gateway may die at any moment, which is an error and no failure of the test.
#[derive(Clone)]
struct Browser {
    client: Client,
    tls: Arc<ClientConfig>,
    port: u16,
    config: String,
}

impl Browser {
    fn new(stand: &Running) -> Self {
        Self {
            client: stand.client().clone(),
            tls: stand.authority().client_config(&["http/1.1"]),
            port: stand.address().port(),
            config: stand.gateway_file().display().to_string(),
        }
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}.localhost:{}{path}", self.port)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let cut = |error: &dyn std::fmt::Display| error.to_string();
        within("an answer or its end", async {
            let host = request.uri().host().unwrap().to_owned();
            let stream = self.client.tcp().await;
            let name = ServerName::try_from(host).unwrap();
            let tls = TlsConnector::from(Arc::clone(&self.tls));
            let stream = tls.connect(name, stream).await.map_err(|e| cut(&e))?;
            let handshake = http1::handshake(TokioIo::new(stream)).await;
            let (mut sender, connection) = handshake.map_err(|e| cut(&e))?;
            tokio::spawn(connection);
            let (mut head, body) = request.into_parts();
            let authority = head.uri.authority().unwrap().as_str().parse().unwrap();
            head.headers.insert("host", authority);
            let target = head.uri.path_and_query().unwrap().as_str();
            head.uri = target.parse().unwrap();
            let sent = sender.send_request(Request::from_parts(head, body)).await;
            let (head, body) = sent.map_err(|e| cut(&e))?.into_parts();
            let body = body.collect().await.map_err(|e| cut(&e))?.to_bytes();
            Ok(Answer {
                version: head.version,
                status: head.status,
                headers: head.headers,
                trailers: None,
                body,
            })
        })
        .await
    }

    /// A page, as somebody opens it; the answer has to be of this status.
    async fn open(&self, url: &str, cookie: &str, status: u16) -> Result<Answer, String> {
        let answer = self.send(navigation(url, cookie)).await?;
        let code = answer.status.as_u16();
        assert_eq!(code, status, "{url}: {}", answer.text());
        Ok(answer)
    }

    /// Signs in, and notes what was acknowledged as soon as it was.
    async fn sign_in(&self, said: &Acknowledged) -> Result<(), String> {
        let keep = self.open(&self.url("wiki", "/"), "", 401).await?;
        let at_wiki = cookie(&keep, "__Host-appproxy-signin-");
        let ask = self.open(&link(&keep), "", 303).await?;
        let at_login = cookie(&ask, "__Host-appproxy-signin-");
        let ask = ask.header("location");
        let ask = ask.replace("/authorize?", "/as/alice?");
        // The provider is not killed.
        let back = plain(navigation(&ask, "")).await;
        let entered = self.open(back.header("location"), &at_login, 303).await?;
        let person = Person {
            at_login: cookie(&entered, TICKET),
            at_wiki: None,
        };
        // What comes after may be cut off, and this counts all the same.
        let code = entered.header("location").to_owned();
        let given = self.open(&code, &at_wiki, 200).await;
        let person = Person {
            at_wiki: given.as_ref().ok().map(|given| cookie(given, TICKET)),
            ..person
        };
        said.signed_in.lock().unwrap().push_back(person);
        said.sign_ins.fetch_add(1, Ordering::Relaxed);
        said.news.notify_waiters();
        given.map(drop)
    }

    /// Signs out by the form, or as an operator does.
    async fn revoke(
        &self,
        person: Person,
        by_operator: bool,
        said: &Acknowledged,
    ) -> Result<(), String> {
        match by_operator {
            true => self.revoke_by_command(&person).await?,
            false => self.sign_out(&person).await?,
        }
        said.revoked.lock().unwrap().push(person);
        said.revocations.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn revoke_by_command(&self, person: &Person) -> Result<(), String> {
        let arguments = ["gateway", "session", "revoke", person.id(), "--config"];
        let arguments = [&arguments[..], &[&*self.config]].concat();
        // The gateway's end is nothing to it.
        run(words::PROGRAM, &arguments, &[], "").await.success();
        Ok(())
    }

    async fn sign_out(&self, person: &Person) -> Result<(), String> {
        let url = self.url("login", "/.appproxy/sign-out");
        let form = self.open(&url, &person.at_login, 200).await?;
        let (_, token) = form.text().split_once("name=\"token\" value=\"").unwrap();
        let token = token.split('"').next().unwrap();
        let mut request = navigation(&url, &person.at_login);
        *request.method_mut() = http::Method::POST;
        let kind = "application/x-www-form-urlencoded".parse().unwrap();
        request.headers_mut().insert("content-type", kind);
        let request = request.map(|_| Full::from(format!("token={token}")));
        let answer = self.send(request).await?;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
        Ok(())
    }
}

fn navigation(url: &str, cookie: &str) -> Request<Full<Bytes>> {
    let request = Request::get(url)
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "document");
    let request = match cookie {
        "" => request,
        cookie => request.header("cookie", cookie),
    };
    request.body(Full::default()).unwrap()
}

/// The cookie that an answer sets whose name begins like this.
fn cookie(answer: &Answer, begin: &str) -> String {
    let mut all = answer.headers.get_all("set-cookie").iter();
    let found = all.find_map(|set| {
        let pair = set.to_str().unwrap().split(';').next().unwrap();
        let is_set = pair.starts_with(begin) && !pair.ends_with('=');
        is_set.then(|| pair.to_owned())
    });
    found.unwrap_or_else(|| panic!("no {begin}: {:?}", answer.headers))
}

/// People who sign in without an end, and such as are signed out.
fn begin(browser: &Browser, said: &Arc<Acknowledged>) -> JoinSet<()> {
    let mut workers = JoinSet::new();
    for number in 0..5 {
        let (browser, said) = (browser.clone(), Arc::clone(said));
        workers.spawn(async move {
            loop {
                // Before anything is looked at, so that no news falls between the two.
                let news = said.news.notified();
                if said.stop.load(Ordering::Relaxed) {
                    return;
                }
                let outcome = match number {
                    0..3 => browser.sign_in(&said).await,
                    _ => match said.oldest() {
                        None => {
                            news.await;
                            continue;
                        }
                        Some(person) => browser.revoke(person, number == 3, &said).await,
                    },
                };
                if outcome.is_err() {
                    said.cut.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    workers
}

/// Looks at everybody over one connection to each host.
struct Look {
    browser: Browser,
    login: Connection,
    wiki: Connection,
}

impl Look {
    async fn new(stand: &Running) -> Self {
        let client = stand.client().http2();
        Self {
            browser: Browser::new(stand),
            login: client.connect("login.localhost").await,
            wiki: client.connect("wiki.localhost").await,
        }
    }

    async fn at(&mut self, person: &Person, login: u16, wiki: u16) {
        let url = self.browser.url("login", "/");
        let answer = self.login.send(navigation(&url, &person.at_login)).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status().as_u16(), login, "{person:?}");
        let Some(ticket) = &person.at_wiki else {
            return;
        };
        let url = self.browser.url("wiki", "/");
        let answer = self.wiki.send(navigation(&url, ticket)).await.unwrap();
        assert_eq!(answer.status().as_u16(), wiki, "{person:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_killed_keeps_every_sign_in_and_every_revocation_that_it_acknowledged() {
    let issuer = provider().await;
    let wiki = Backend::text("wiki").await;
    let mut stand = with_sign_in(
        Stand::new()
            .application_with("wiki", &wiki, of_staff())
            .held(),
        &issuer,
    )
    .gateway_setting("limits", words::no_limits())
    .start()
    .await;
    let browser = Browser::new(&stand);
    let said = Arc::new(Acknowledged::default());
    let (mut tunnels, mut looked) = (1, 0);
    for round in 0..kills() {
        said.stop.store(false, Ordering::Relaxed);
        let mut workers = begin(&browser, &said);
        let (sign_ins, revocations) = (&said.sign_ins, &said.revocations);
        let so_far = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let (from, revoked) = (so_far(sign_ins), so_far(revocations));
        until("sign-ins and revocations", || {
            so_far(sign_ins) >= from + SIGN_INS && so_far(revocations) >= revoked + REVOCATIONS
        })
        .await;
        stand.gateway().kill();
        let old = stand.successor().await;
        assert!(!old.ended().await.success());
        // What is under way now is of the gateway that lives.
        said.stop.store(true, Ordering::Relaxed);
        said.news.notify_waiters();
        within("the end of what is under way", async {
            while let Some(ended) = workers.join_next().await {
                ended.unwrap();
            }
        })
        .await;
        tunnels += 1;
        until("the tunnel", || stand.tunnels().0 > 0).await;

        let mut look = Look::new(&stand).await;
        let signed_in = said.signed_in.lock().unwrap().clone();
        // Those of before were looked at before; in the end everybody is.
        let is_last = round + 1 == kills();
        let new = if is_last {
            signed_in.len()
        } else {
            3 * SIGN_INS
        };
        for person in signed_in.iter().rev().take(new) {
            look.at(person, 200, 200).await;
            looked += 1;
        }
        let revoked = said.revoked.lock().unwrap().clone();
        let new = if is_last {
            revoked.len()
        } else {
            6 * REVOCATIONS
        };
        for person in revoked.iter().rev().take(new) {
            look.at(person, 303, 401).await;
            looked += 1;
        }
    }
    let (kept, ended) = (
        said.signed_in.lock().unwrap().len(),
        said.revoked.lock().unwrap().len(),
    );
    eprintln!(
        "{} kills: {} sign-ins, {ended} revocations, {kept} signed in, {looked} looks, {:?} cut off",
        kills(),
        said.sign_ins.load(Ordering::Relaxed),
        said.cut
    );
    assert!(ended >= REVOCATIONS * kills() && kept > 0 && tunnels == kills() + 1);
    // The list has them all as they are, too.
    let list = crate::reload::gateway(&stand, &["session", "list", "--json"]).await;
    let list: Vec<Value> = serde_json::from_str(&list.success()).unwrap();
    let is_revoked = |person: &Person| {
        let found = list.iter().find(|one| one["id"] == person.id());
        !found.unwrap_or_else(|| panic!("{person:?}"))["revoked"].is_null()
    };
    assert!(said.revoked.lock().unwrap().iter().all(is_revoked));
    assert!(!said.signed_in.lock().unwrap().iter().any(is_revoked));
}
