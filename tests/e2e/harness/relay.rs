//! A relay between a connector and its gateway, with the weather of real networks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

/// What happens to octets on their way. A change counts for the connections that are there and for
/// those that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// They pass.
    Fair,
    /// Each read waits this long before it is passed on.
    Slow(Duration),
    /// They are taken and none is passed, whatever connection they came on.
    Silent,
    /// Those to the gateway are taken and not passed; those to the connector pass.
    SilentToGateway,
    /// Those to the connector are taken and not passed; those to the gateway pass.
    SilentToConnector,
}

/// How connections that are there are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Nothing,
    /// Both ends are reset.
    Both,
    /// The gateway's end is reset; the connector's stays and hears nothing any more.
    GatewaysEnd,
    /// The connector's end is reset; the gateway's stays and hears nothing any more.
    ConnectorsEnd,
}

/// A relay to one address.
pub(crate) struct Relay {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    cut: watch::Sender<(u64, Cut)>,
    accepted: Arc<Mutex<Vec<Instant>>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Starts a relay; a connection waits until the address it leads to is known.
    pub(crate) async fn start(target: watch::Receiver<Option<SocketAddr>>) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), target).await
    }

    /// Starts a relay at this address to another.
    pub(crate) async fn between(at: SocketAddr, target: SocketAddr) -> Self {
        Self::start_at(at, watch::channel(Some(target)).1).await
    }

    async fn start_at(at: SocketAddr, target: watch::Receiver<Option<SocketAddr>>) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let weather = watch::Sender::new(Weather::Fair);
        let cut = watch::Sender::new((0, Cut::Nothing));
        let accepted: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let (now, cuts, count) = (weather.clone(), cut.clone(), Arc::clone(&accepted));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connector, _)) = listener.accept().await {
                count.lock().unwrap().push(Instant::now());
                let mut target = target.clone();
                let (weather, cut) = (now.subscribe(), cuts.subscribe());
                connections.spawn(async move {
                    let target = target.wait_for(Option::is_some).await.unwrap().unwrap();
                    // A gateway that is not there is a cut connection.
                    if let Ok(gateway) = TcpStream::connect(target).await {
                        carry(connector, gateway, weather, cut).await;
                    }
                });
            }
        });
        Self {
            address,
            weather,
            cut,
            accepted,
            task,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections it has taken so far: attempts to dial through it.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    /// When each of them came.
    pub(crate) fn attempts(&self) -> Vec<Instant> {
        self.accepted.lock().unwrap().clone()
    }

    /// Changes the weather.
    pub(crate) fn turns(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Resets both ends of every connection.
    pub(crate) fn cuts(&self) {
        self.cut_as(Cut::Both);
    }

    /// Resets the gateway's ends; connectors believe that theirs are open.
    pub(crate) fn cuts_gateways_ends(&self) {
        self.cut_as(Cut::GatewaysEnd);
    }

    /// Resets the connectors' ends; the gateway believes that its own are open.
    pub(crate) fn cuts_connectors_ends(&self) {
        self.cut_as(Cut::ConnectorsEnd);
    }

    fn cut_as(&self, how: Cut) {
        self.cut.send_modify(|(times, last)| {
            *times += 1;
            *last = how;
        });
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    connector: TcpStream,
    gateway: TcpStream,
    weather: watch::Receiver<Weather>,
    mut cut: watch::Receiver<(u64, Cut)>,
) {
    for end in [&connector, &gateway] {
        end.set_nodelay(true).unwrap();
        // Closed with octets unread or not, it is a reset.
        socket2::SockRef::from(end)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
    let (mut from_connector, mut to_connector) = connector.into_split();
    let (mut from_gateway, mut to_gateway) = gateway.into_split();
    cut.mark_unchanged();
    let how = {
        let up = pass(&mut from_connector, &mut to_gateway, &weather, |now| {
            matches!(now, Weather::Silent | Weather::SilentToGateway)
        });
        let down = pass(&mut from_gateway, &mut to_connector, &weather, |now| {
            matches!(now, Weather::Silent | Weather::SilentToConnector)
        });
        tokio::select! {
            // Where one end is gone the other goes with it.
            () = up => Cut::Both,
            () = down => Cut::Both,
            _ = cut.changed() => cut.borrow().1,
        }
    };
    match how {
        Cut::Nothing | Cut::Both => {}
        Cut::GatewaysEnd => {
            drop((from_gateway, to_gateway));
            swallow(&mut from_connector).await;
        }
        Cut::ConnectorsEnd => {
            drop((from_connector, to_connector));
            swallow(&mut from_gateway).await;
        }
    }
}

async fn pass(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    weather: &watch::Receiver<Weather>,
    is_silent: impl Fn(Weather) -> bool,
) {
    let mut octets = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut octets).await {
        let now = *weather.borrow();
        if is_silent(now) {
            continue;
        }
        if let Weather::Slow(delay) = now {
            sleep(delay).await;
        }
        if to.write_all(&octets[..count]).await.is_err() {
            return;
        }
    }
}

/// Takes what comes until its sender gives up.
async fn swallow(from: &mut OwnedReadHalf) {
    let mut octets = vec![0; 16 * 1024];
    while let Ok(1..) = from.read(&mut octets).await {}
}
