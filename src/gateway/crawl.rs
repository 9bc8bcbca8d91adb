//! Looks at pages of an application for links that are dead outside.
//!
//! The application is asked as a visitor would ask it that nobody has signed in. SECURITY: a crawl carries nobody's
//! identity and no secret of the gateway's; it says nothing to the application that anybody could not say. It is in
//! none of the limits that visitors have, and takes its places in tunnels as they do, one at a time.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, HOST, LOCATION};
use http::header::{HeaderMap, HeaderValue, USER_AGENT};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::Gateway;
use super::affinity::Wish;
use super::choice::Hold;
use super::current::Current;
use super::exchange::Exchange;
use super::forward::{self, Errand, Origins};
use super::published::Published;
use super::respond::Failure;
use super::translated::{is_excluded, named};
use super::upload::Upload;
use crate::http::{self as rules, Body};
use crate::model::{BodyKind, Ends, Host, HostPattern, Mode};
use crate::telemetry::{AccessLine, Ended, printable};
use crate::translate::body::{self, Asked, MediaType, Plan, Skip, Translating, Verdict, judge};
use crate::translate::crawl::{
    Crawled, Crawler, LONGEST_PAGE, Looked, Looking, PageSeen, Redirect,
};
use crate::translate::{Translated, UrlMap, View, has_bodies};
use crate::tunnel::wire;

/// The most pages of one crawl.
const MOST_PAGES: usize = 100;

/// How many redirects lead to one page.
const REDIRECTS: usize = 5;

/// How long one page may take: one that never ends leaves time to others.
const LONGEST: Duration = Duration::from_secs(3);

/// So much more than a page's text may come packed: what packs badly is a little longer.
const PACKED: u64 = LONGEST_PAGE as u64 + 64 * 1024;

/// The longest of what the application or a connector says that is told.
const DETAIL: usize = 256;

const WHO: &str = concat!("appproxy/", env!("CARGO_PKG_VERSION"), " check");

/// What applications are told of the client. SECURITY: nobody has this address (RFC 5737), and so no application
/// trusts it, which it might an address of ours.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

impl Gateway {
    /// Looks at the pages of an application for dead links: where it begins, and on to others until so many, at least
    /// one, or until the deadline. `None` where no application of that name is in force.
    pub async fn crawl(&self, name: &str, pages: usize, deadline: Instant) -> Option<Crawled> {
        let current = self.current();
        let mut all = current.table.all().iter();
        let published = all.find(|one| one.application.name.as_str() == name)?;
        Some(crawl(self, &current, published, pages, deadline).await)
    }
}

/// See [`Gateway::crawl`].
pub(super) async fn crawl(
    gateway: &Gateway,
    current: &Current,
    published: &Published,
    pages: usize,
    deadline: Instant,
) -> Crawled {
    let external = &published.application.external;
    let mut crawled = Crawled::default();
    let host = match (&external.host, published.application.mode) {
        (_, Mode::TlsPassthrough) => Err("tls_passthrough"),
        // No label is more the application's than another.
        (HostPattern::Wildcard { .. }, _) => Err("wildcard"),
        (HostPattern::Exact(host), Mode::Http) => Ok(host),
    };
    let host = match host {
        Ok(host) => host,
        Err(why) => {
            let page = seen(external.path.as_str()).skipped(why);
            crawled.add(page, Looked::default());
            return crawled;
        }
    };
    let view = View::new(&current.links, &published.application, None, host);
    let walk = Walk {
        gateway,
        current,
        published,
        host,
        crawler: Crawler::new(view),
        reading: Mutex::default(),
    };
    let most = pages.clamp(1, MOST_PAGES);
    let mut known = HashSet::from([external.path.as_str().to_owned()]);
    let mut queue = VecDeque::from([external.path.as_str().to_owned()]);
    while crawled.pages.len() < most
        && let Some(path) = queue.pop_front()
    {
        let until = deadline.min(Instant::now() + LONGEST);
        let visit = timeout_at(until, walk.visit(&path, &mut known)).await;
        let is_late = visit.is_err();
        let (page, mut looked) = visit.unwrap_or_else(|_| {
            // What was read of it until then counts.
            let page = seen(&path).skipped("timeout");
            let reading = walk.reading().take();
            (page, reading.map(|one| one.looked()).unwrap_or_default())
        });
        looked.next.retain(|next| walk.is_open(next));
        for next in std::mem::take(&mut looked.next) {
            // Redirects come beside what is wanted.
            if known.len() < most * (REDIRECTS + 1) && known.insert(next.clone()) {
                queue.push_back(next);
            }
        }
        crawled.add(page, looked);
        if is_late && Instant::now() >= deadline {
            break;
        }
    }
    crawled
}

/// A page that is about to be asked for.
fn seen(path: &str) -> PageSeen {
    PageSeen {
        path: path.split('?').next().unwrap_or_default().to_owned(),
        ..PageSeen::default()
    }
}

/// What all pages of one crawl have in common.
struct Walk<'a> {
    gateway: &'a Gateway,
    current: &'a Current,
    published: &'a Published,
    host: &'a Host,
    crawler: Crawler,
    /// The page that is read.
    reading: Mutex<Option<Looking>>,
}

/// An answer, and the place it has while it is read.
struct Answer {
    response: Response<Incoming>,
    url: usize,
    _hold: Option<Hold>,
}

impl Walk<'_> {
    /// Whether no rule decides by this path. SECURITY: a crawl asks for nobody, and no rule is asked about it; what
    /// a page links to may be what its writer may not open. Where the published part begins is asked for anyway.
    fn is_open(&self, path: &str) -> bool {
        let application = &self.published.application;
        let folded = named(path);
        let mut guarded = application.paths.all().iter();
        !application.guard.access.needs_path()
            && !guarded.any(|one| one.path.covers(path) || one.path.covers_folded(&folded))
    }

    /// Asks for a page, follows where it leads inside of the application, and looks at what comes.
    async fn visit(&self, path: &str, known: &mut HashSet<String>) -> (PageSeen, Looked) {
        let mut path = path.to_owned();
        for _ in 0..=REDIRECTS {
            let mut page = seen(&path);
            let answer = match self.ask(&path).await {
                Ok(answer) => answer,
                Err(failure) => {
                    let detail = printable(failure.detail(), DETAIL);
                    let why = format!("{}: {detail}", failure.code());
                    return (page.skipped(&why), Looked::default());
                }
            };
            let fields = answer.response.headers();
            page.status = Some(answer.response.status().as_u16());
            page.content_type = text(fields.get(CONTENT_TYPE));
            let location = fields.get(LOCATION).and_then(|at| at.to_str().ok());
            let location = location.filter(|_| answer.response.status().is_redirection());
            let redirect = location.map(|at| self.crawler.redirect(answer.url, &path, at));
            match redirect {
                None => return self.look(page, &path, answer).await,
                Some(Some(Redirect::Inside(to))) if !self.is_open(&to) => {
                    let why = format!("guarded: {}", seen(&to).path);
                    return (page.skipped(&why), Looked::default());
                }
                Some(Some(Redirect::Inside(to))) => {
                    let there = seen(&to).path;
                    // It was looked at, or will be; the same page may want to be asked otherwise.
                    if there != page.path && !known.insert(there.clone()) {
                        let why = format!("redirect: {there}");
                        return (page.skipped(&why), Looked::default());
                    }
                    path = to;
                }
                Some(Some(Redirect::Outside(to))) => {
                    return (page.skipped(&format!("redirect: {to}")), Looked::default());
                }
                Some(None) => return (page.skipped("redirect"), Looked::default()),
            }
        }
        let page = seen(&path).skipped("redirects");
        (page, Looked::default())
    }

    fn reading(&self) -> MutexGuard<'_, Option<Looking>> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request and the head of its answer, as visitors' requests go.
    async fn ask(&self, path: &str) -> Result<Answer, Failure> {
        let published = self.published;
        let application = &published.application;
        let (external, id) = (&application.external, self.gateway.ids.next());
        let asked: PathAndQuery = path.parse().map_err(|_| Failure::internal("no path"))?;
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = Uri::from(asked.clone());
        *request.method_mut() = Method::GET;
        *request.version_mut() = Version::HTTP_2;
        forward::put(request.headers_mut(), HOST, &external.authority(self.host))?;
        let mut access = AccessLine::begin(id.clone(), NOBODY, &request);
        access.routed(&published.meter);
        let nowhere = SocketAddr::new(NOBODY, 0);
        let errand = Errand {
            published,
            captured: None,
            host: self.host,
            facts: rules::Facts {
                client: NOBODY,
                scheme: external.scheme,
                host: self.host,
                port: external.port,
                id: &id,
            },
            id: &id,
            ends: Ends::new(nowhere, SocketAddr::new(NOBODY, external.port)),
            certificate: None,
            links: &self.current.links,
            pins: None,
        };
        *request.uri_mut() = forward::inside(published, &asked)?;
        let fields = request.headers_mut();
        fields.remove(HOST);
        for (name, value) in [
            (ACCEPT, "text/html,application/xhtml+xml;q=0.9,*/*;q=0.1"),
            (ACCEPT_ENCODING, "gzip"),
            (USER_AGENT, WHO),
        ] {
            fields.insert(name, HeaderValue::from_static(value));
        }
        forward::put_beside(fields, &errand)?;
        wire::mark_sensitive(fields);
        let mut map = UrlMap::new(application, None, self.host)
            .ok_or_else(|| Failure::internal(forward::NO_LABEL))?;
        let upload = Upload::default();
        let request = request.map(|body| upload.follow(body));
        let exchange = Exchange {
            gateway: self.gateway,
            application,
            errand: &errand,
            upload,
            is_websocket: false,
            origins: Origins::of(&HeaderMap::new()),
            wish: Wish::Anybody,
        };
        let answered = exchange.run(&mut access, &mut map, request).await;
        let mut answered = answered.inspect_err(|failure| access.failed(failure.code()))?;
        let fields = answered.response.headers_mut();
        access.returned(wire::take_timing(fields));
        if let Some((code, detail)) = wire::take_error(fields) {
            access.failed(code);
            return Err(Failure::new(code, detail));
        }
        access.answered(answered.response.status(), None);
        access.ended(Ended::Complete);
        rules::strip_response(answered.response.headers_mut());
        Ok(Answer {
            response: answered.response,
            url: answered.url,
            _hold: answered.hold,
        })
    }

    /// Looks at the body of an answer, if it is a page.
    async fn look(&self, page: PageSeen, path: &str, answer: Answer) -> (PageSeen, Looked) {
        let Answer {
            response,
            url,
            _hold,
        } = answer;
        let (mut parts, body) = response.into_parts();
        let nothing = Looked::default();
        if !parts.status.is_success() {
            return (page.skipped("status"), nothing);
        }
        let (plan, is_translated) = match self.plan(&parts.status, &mut parts.headers, &page.path) {
            Ok(planned) => planned,
            Err(skip) => return (page.skipped(skip.name()), nothing),
        };
        let Some(looking) = self.crawler.page(url, path, is_translated) else {
            return (page.skipped("path"), nothing);
        };
        *self.reading() = Some(looking.clone());
        let page_of_it = looking.clone();
        let maker = move |text: body::Text| page_of_it.rewriter(&text);
        let translating = Translating::new(plan, Box::new(maker));
        let body = Body::incoming(body).with_limit(Some(PACKED));
        let mut reading = Translated::new(body, translating, Box::new(|_, _| {}));
        let mut is_broken = false;
        while let Some(frame) = reading.frame().await {
            // What cannot be read passes as it comes: there is nothing in it for us.
            if frame.is_err() || reading.counts().0.skip.is_some() {
                is_broken = frame.is_err();
                break;
            }
        }
        let looked = looking.looked();
        let page = match reading.counts().0.skip {
            _ if looked.is_too_long => page.skipped("too_long"),
            Some(skip) => page.skipped(skip.name()),
            None if is_broken => page.skipped("broken"),
            None => page,
        };
        (page, looked)
    }

    /// How a page is read, and whether its links are translated for people.
    fn plan(
        &self,
        status: &StatusCode,
        fields: &mut HeaderMap,
        path: &str,
    ) -> Result<(Plan, bool), Skip> {
        let wants = |media_type: &MediaType| match media_type.kind {
            BodyKind::Html => Ok(()),
            _ => Err(Skip::Type),
        };
        let by_head = |fields: &HeaderMap| match judge(
            &Method::GET,
            *status,
            fields,
            &wants,
            &Asked::default(),
        ) {
            Verdict::Translate(plan) => Ok(plan),
            Verdict::Fields => Err(Skip::Empty),
            Verdict::Skip(skip) => Err(skip),
        };
        let mut plan = by_head(fields);
        let may_change = plan != Err(Skip::NoTransform);
        if !may_change {
            // It is read all the same.
            fields.remove(CACHE_CONTROL);
            plan = by_head(fields);
        }
        let application = &self.published.application;
        let settings = &application.link_translation;
        let (named, of) = (named(path), MediaType::of(fields));
        let is_translated = may_change
            && has_bodies(application)
            && settings.body.contains(&BodyKind::Html)
            && (settings.round_trip || !self.published.edited.covers(&named))
            && of.is_some_and(|of| !is_excluded(settings, &named, &of));
        plan.map(|plan| (plan, is_translated))
    }
}

/// A field as it may be told.
fn text(value: Option<&HeaderValue>) -> Option<String> {
    let value = String::from_utf8_lossy(value?.as_bytes());
    Some(printable(&value, DETAIL))
}
