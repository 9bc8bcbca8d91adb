//! A connector and its gateways: every address, every gateway it hears of, as many tunnels as load
//! asks for, and what it does after sleep.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval, timeout};

use crate::harness::{Backend, Process, Relay, Running, Stand, body, until, within, words};

const NO_TUNNEL: &str = "no tunnel; trying again";
const MINOR: &str = "this way to a gateway does not work, others do; it is tried now and then";

/// Addresses of this machine beside the gateway's own, with its port.
fn address(stand: &Running, last: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], stand.address().port()))
}

/// Names for a connector, beside the application's.
fn hosts(names: &[(&str, &[u8])]) -> Value {
    let mut hosts = BTreeMap::from([(
        words::internal_name("wiki"),
        vec![IpAddr::from([127, 0, 0, 1])],
    )]);
    for (name, lasts) in names {
        let addresses = lasts.iter().map(|&last| IpAddr::from([127, 0, 0, last]));
        hosts.insert((*name).to_owned(), addresses.collect());
    }
    json!({ "hosts": hosts })
}

async fn no_connector(backend: &Backend) -> Running {
    let stand = Stand::new().application("wiki", backend).connectors(0);
    stand.start().await
}

/// A gateway that is handed down.
const SECOND: &str = "second.corp.internal";

/// A connector whose operator says where that one is: on this machine, which no gateway may say.
async fn enrol_with_second(stand: &mut Running) -> PathBuf {
    let settings = json!({ "dns": hosts(&[(SECOND, &[1])]) });
    stand.enrol_with("default", settings).await
}

fn lines(connector: &Process, message: &str) -> Vec<String> {
    let is = |line: &String| words::message(line).as_deref() == Some(message);
    connector.log().into_iter().filter(is).collect()
}

/// Waits longer than for anything else: for what comes after half a minute of quiet.
async fn within_a_while(what: &str, met: impl Fn() -> bool) {
    let mut looks = interval(Duration::from_millis(50));
    let met = async {
        while !met() {
            looks.tick().await;
        }
    };
    assert!(
        timeout(Duration::from_secs(90), met).await.is_ok(),
        "{what}"
    );
}

#[tokio::test]
async fn every_address_of_a_gateway_has_its_tunnels_and_a_dead_one_is_said_once() {
    let backend = Backend::text("ok").await;
    let mut stand = no_connector(&backend).await;
    let port = stand.address().port();
    let second = Relay::between(address(&stand, 2), stand.address()).await;
    // One name with two good addresses and a dead one; another name for one of the good; and what
    // the gateway hands down leads nowhere from here.
    let settings = json!({
        "gateways": [format!("all.corp.internal:{port}"), format!("127.0.0.2:{port}")],
        "dns": hosts(&[("all.corp.internal", &[1, 2, 3])]),
    });
    let config = stand.enrol_with("default", settings).await;
    stand.start_connector(&config).await;
    until("two tunnels at each good address", || {
        stand.standing() == 4 && second.accepted() == 2
    })
    .await;
    let connector = stand.connectors().remove(0);
    until("a word on each way that is dead", || {
        lines(&connector, MINOR).len() == 2
    })
    .await;

    let troubles = lines(&connector, NO_TUNNEL).len();
    assert!(troubles <= 2, "{:#?}", lines(&connector, NO_TUNNEL));

    // One way is lost: nobody notices, and it comes back.
    let opened = stand.tunnels().0;
    second.cuts();
    until("its end", || stand.tunnels().1 == 2).await;
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
    until("its return", || stand.tunnels() == (opened + 2, 2)).await;
    // Its loss is said, a line a tunnel; of the dead ways nothing is said again. Where the machine
    // is slow a dead one was a trouble at first, since no other way stood yet: that is a line too.
    until("a word on its loss", || {
        lines(&connector, NO_TUNNEL).len() >= troubles + 2
    })
    .await;
    let lost = lines(&connector, NO_TUNNEL);
    assert_eq!(lost.len(), troubles + 2, "{lost:#?}");
    // Which of the two names it was dialled by first is chance.
    let of_second = lost.iter().filter(|line| line.contains("127.0.0.2"));
    let of_second = of_second.filter(|line| line.contains("\"code\":\"tunnel_lost\""));
    assert_eq!(of_second.count(), 2, "{lost:#?}");
    let minor = lines(&connector, MINOR).join("\n");
    assert!(
        minor.contains("127.0.0.3") && minor.contains("127.0.0.9"),
        "{minor}"
    );
    assert_eq!(lines(&connector, MINOR).len(), 2);
    assert_eq!(second.accepted(), 4);
}

#[tokio::test]
async fn a_gateway_that_is_handed_down_is_dialled_kept_and_not_forgotten() {
    let backend = Backend::text("ok").await;
    let (gateway, known) = watch::channel(None);
    let relay = Relay::start(known).await;
    let handed = format!("{SECOND}:{}", relay.address().port());
    let listen = json!({
        "https": ["127.0.0.1:{https}"],
        "public": [format!("{}:{{https}}", words::GATEWAY_NAME), handed],
    });
    let mut stand = Stand::new()
        .application("wiki", &backend)
        .gateway_setting("listen", listen)
        .connectors(0)
        .start()
        .await;
    gateway.send_replace(Some(stand.address()));
    let first = format!("{}:{}", words::GATEWAY_NAME, stand.address().port());
    let config = enrol_with_second(&mut stand).await;
    let list = config.with_extension("").join("gateways.json");
    let kept = || -> Value { serde_json::from_slice(&fs::read(&list).unwrap()).unwrap() };
    let named = json!({ "gateway": handed, "named_by": first });
    // As if the token had been made before there was a second gateway.
    fs::write(&list, json!([first]).to_string()).unwrap();
    stand.start_connector(&config).await;
    until("two tunnels at each", || stand.standing() == 4).await;
    until("the list on disk", || kept() == json!([first, named])).await;
    let connector = stand.connectors().remove(0);
    let line = connector
        .says("a gateway named gateways that were not known")
        .await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["new"], handed);
    connector.terminate();
    connector.ended().await;

    // The next start knows both, and a list that cannot be read is passed over where the
    // configuration names a gateway.
    stand.start_connector(&config).await;
    until("both again", || stand.standing() == 4).await;
    let connector = stand.connectors().remove(0);
    assert!(lines(&connector, "a gateway named gateways that were not known").is_empty());
    connector.terminate();
    connector.ended().await;
    fs::write(&list, "[nonsense").unwrap();
    let mut text: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    text["gateways"] = json!([first]);
    fs::write(&config, text.to_string()).unwrap();
    stand.start_connector(&config).await;
    until("the list on disk again", || {
        fs::read(&list).unwrap().ends_with(b"]\n") && kept().as_array().unwrap().contains(&named)
    })
    .await;
    until("both once more", || stand.standing() == 4).await;
}

#[tokio::test]
async fn a_list_that_cannot_be_kept_counts_all_the_same() {
    let backend = Backend::text("ok").await;
    let (gateway, known) = watch::channel(None);
    let relay = Relay::start(known).await;
    let listen = json!({
        "https": ["127.0.0.1:{https}"],
        "public": [
            format!("{}:{{https}}", words::GATEWAY_NAME),
            format!("{SECOND}:{}", relay.address().port()),
        ],
    });
    let mut stand = Stand::new()
        .application("wiki", &backend)
        .gateway_setting("listen", listen)
        .connectors(0)
        .start()
        .await;
    gateway.send_replace(Some(stand.address()));
    let config = enrol_with_second(&mut stand).await;
    let list = config.with_extension("").join("gateways.json");
    let first = format!("{}:{}", words::GATEWAY_NAME, stand.address().port());
    fs::write(&list, json!([first]).to_string()).unwrap();
    // Where the new file is to be made there is a folder that is not empty.
    fs::create_dir_all(list.with_extension("json.new").join("in the way")).unwrap();
    stand.start_connector(&config).await;
    until("two tunnels at each", || stand.standing() == 4).await;
    let connector = stand.connectors().remove(0);
    let line = connector
        .says("the list of gateways cannot be kept; it counts until this connector ends")
        .await;
    assert!(line.contains("gateways.json"), "{line}");
    assert!(line.contains("\"code\":\"gateways_not_kept\""), "{line}");
    assert_eq!(
        fs::read_to_string(&list).unwrap(),
        json!([first]).to_string()
    );
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
}

/// A name server that gives every name of one kind the address it is told to.
pub(crate) struct NameServer {
    pub(crate) at: SocketAddr,
    address: Arc<Mutex<[u8; 4]>>,
    task: JoinHandle<()>,
}

impl NameServer {
    pub(crate) async fn start(address: [u8; 4]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let address = Arc::new(Mutex::new(address));
        let told = Arc::clone(&address);
        let task = tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                // A header of 12 octets, the labels up to a zero, type and class.
                let labels = question[12..length].iter().position(|&octet| octet == 0);
                let end = 12 + labels.unwrap() + 5;
                let is_a = question[end - 4..end - 2] == [0, 1];
                let mut answer = question[..end].to_vec();
                // An answer, recursion available, no error; one question, one answer or none.
                answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
                if is_a {
                    // The name above, A, IN, good for no time at all, four octets.
                    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                    answer.extend(*told.lock().unwrap());
                }
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        Self { at, address, task }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_followed() {
    let backend = Backend::text("ok").await;
    let mut stand = no_connector(&backend).await;
    let port = stand.address().port();
    let names = NameServer::start([127, 0, 0, 2]).await;
    let before = Relay::between(address(&stand, 2), stand.address()).await;
    let after = Relay::between(address(&stand, 3), stand.address()).await;
    let mut dns = hosts(&[]);
    dns["servers"] = json!([names.at.to_string()]);
    let settings = json!({ "gateways": [format!("moving.corp.internal:{port}")], "dns": dns });
    let config = stand.enrol_with("default", settings).await;
    // Names that lead somewhere are looked up again every 30 s from now on.
    let next_look = Instant::now() + Duration::from_secs(30);
    stand.start_connector(&config).await;
    until("two tunnels", || stand.standing() == 2).await;
    assert_eq!((before.accepted(), after.accepted()), (2, 0));
    // The name leads elsewhere, and the old address is no more: within moments, not at the next
    // regular look.
    *names.address.lock().unwrap() = [127, 0, 0, 3];
    let moved = Instant::now();
    drop(before);
    until("two tunnels over the new address", || {
        after.accepted() == 2 && stand.standing() == 2
    })
    .await;
    assert!(moved.elapsed() < Duration::from_secs(15));
    assert!(after.attempts()[0] < next_look);
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
    let connector = stand.connectors().remove(0);
    connector
        .says("nothing leads to this address any more: no new tunnels to it")
        .await;
}

/// A burst that no two tunnels carry: the connector opens others before the places run out, and
/// lets them go when it is quiet.
#[tokio::test]
async fn load_opens_tunnels_and_quiet_closes_them() {
    const ALL: usize = 3_000;
    const WAVE: usize = 250;
    let (stalled, go) = (watch::Sender::new(0_usize), watch::Sender::new(false));
    let (count, may) = (stalled.clone(), go.clone());
    let backend = Backend::answering(move |_| {
        let (count, mut may) = (count.clone(), may.subscribe());
        async move {
            count.send_modify(|count| *count += 1);
            let _ = may.wait_for(|&go| go).await;
            Response::new(body("ok"))
        }
    })
    .await;
    let stand = Stand::new()
        .application("wiki", &backend)
        .connector_setting("connections", json!("1..8"))
        .gateway_setting("limits", words::no_limits())
        .start()
        .await;
    until("the one tunnel", || stand.tunnels() == (1, 0)).await;
    let client = stand.client().http2();
    let mut requests = JoinSet::new();
    while requests.len() < ALL {
        // As fast as they reach the application, and no slower.
        for _ in 0..WAVE / 50 {
            let connection = client.connect("wiki.localhost").await;
            for _ in 0..50 {
                let mut connection = connection.another().expect("HTTP/2");
                let request = Request::get(stand.url("wiki", "/"));
                let request = request.body(Empty::<Bytes>::new()).unwrap();
                requests.spawn(async move {
                    let response = connection.send(request).await.unwrap();
                    let code = response.headers().get("appproxy-answer").cloned();
                    (response.status(), code)
                });
            }
        }
        let sent = requests.len();
        within(
            "the wave at the application",
            stalled.subscribe().wait_for(|&now| now >= sent),
        )
        .await
        .unwrap();
    }
    until("eight tunnels", || stand.tunnels() == (8, 0)).await;
    go.send_replace(true);
    let quiet = Instant::now();
    let answers = within("the answers", requests.join_all()).await;
    assert_eq!(answers.len(), ALL);
    assert!(answers.iter().all(|a| *a == (StatusCode::OK, None)));

    // Not before its time: a pause between two bursts costs nothing.
    within_a_while("the first that goes", || stand.tunnels().1 > 0).await;
    assert!(
        quiet.elapsed() > Duration::from_secs(28),
        "{:?}",
        quiet.elapsed()
    );
    within_a_while("one that is left", || stand.tunnels() == (8, 7)).await;
    assert_eq!(stand.get("https://wiki.localhost/").await.status, 200);
}

#[tokio::test]
async fn a_connector_that_slept_is_back_at_once() {
    let backend = Backend::text("ok").await;
    let mut stand = Stand::new().application("wiki", &backend).start().await;
    until("both tunnels", || stand.tunnels() == (2, 0)).await;
    let connector = stand.connectors().remove(0);
    connector.signal(Signal::STOP);
    let asleep = Instant::now();
    until("the gateway to give it up", || stand.tunnels() == (2, 2)).await;
    // And some more: what is shorter is left to PINGs.
    until("fifteen seconds", || {
        asleep.elapsed() > Duration::from_secs(15)
    })
    .await;
    connector.signal(Signal::CONT);
    let awake = Instant::now();
    until("both tunnels again", || stand.standing() == 2).await;
    assert!(
        awake.elapsed() < Duration::from_secs(5),
        "{:?}",
        awake.elapsed()
    );
    let line = connector
        .says(
            "this machine slept or stood still, or its clock was set: every tunnel is opened anew",
        )
        .await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert!(
        (10..60).contains(&line["seconds"].as_u64().unwrap()),
        "{line}"
    );
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
}

#[tokio::test]
async fn one_connector_has_64_tunnels_at_most_and_is_told_why() {
    let backend = Backend::text("ok").await;
    let mut stand = no_connector(&backend).await;
    let mut relays = Vec::new();
    for last in 2..=9 {
        relays.push(Relay::between(address(&stand, last), stand.address()).await);
    }
    let settings = json!({
        "gateways": [format!("all.corp.internal:{}", stand.address().port())],
        "connections": 8,
        "dns": hosts(&[("all.corp.internal", &[1, 2, 3, 4, 5, 6, 7, 8, 9])]),
    });
    let config = stand.enrol_with("default", settings).await;
    stand.start_connector(&config).await;
    let connector = stand.connectors().remove(0);
    let told = |line: &str| {
        words::message(line).as_deref() == Some(NO_TUNNEL)
            && line.contains("the gateway refuses this connector: it has 64 tunnels already")
            && line.contains("\"code\":\"connector_refused\"")
    };
    connector.line("why there are no more", told).await;
    // On a busy machine an attempt may come to nothing and be made again, so what stands is counted,
    // not what was opened.
    let refused = || {
        let closed = lines(stand.gateway(), words::TUNNEL_CLOSED);
        closed
            .iter()
            .filter(|l| l.contains("it has 64 tunnels already"))
            .filter(|l| l.contains("\"code\":\"connector_refused\""))
            .count()
    };
    until("64 tunnels", || {
        let (open, closed) = stand.tunnels();
        open + refused() == closed + 64
    })
    .await;
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
    // Each way that meets the limit says so once.
    let log = connector.log();
    assert!(log.iter().filter(|line| told(line)).count() <= 9);
}
