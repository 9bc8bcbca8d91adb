//! Idle connections to applications, kept for the next request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::http::Body;
use crate::model::{Endpoint, Scheme};

/// How long a connection is kept. Shorter than common servers keep theirs (Node: 5 s), so that a
/// request rarely meets a connection the application is just closing.
const IDLE: Duration = Duration::from_secs(4);

/// Idle connections to one application.
const PER_TARGET: usize = 128;

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) endpoint: Endpoint,
}

/// A connection to an application. Dropped, it is closed at once, whatever it was about to write:
/// hyper's own half would go on waiting for an application that does not read.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Body>,
    pub(super) task: AbortOnDropHandle<()>,
}

/// Idle connections by target.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Mutex<HashMap<Target, Vec<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// An empty pool, whose old connections are closed in time.
    pub(super) fn new() -> Arc<Self> {
        let pool = Arc::new(Self::default());
        tokio::spawn(sweep(Arc::downgrade(&pool)));
        pool
    }

    /// The connection used last, if one is left that the application has not closed.
    pub(super) async fn take(&self, target: &Target) -> Option<Connection> {
        while let Some(mut connection) = self.pop(target) {
            // A body may end a moment before its connection is ready again; one that is closing
            // says so here.
            if connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
        None
    }

    fn pop(&self, target: &Target) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.get_mut(target)?;
        let found = connections
            .pop()
            .filter(|found| found.since.elapsed() < IDLE);
        if found.is_none() {
            // The newest is too old, so all are.
            idle.remove(target);
        }
        found.map(|found| found.connection)
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(super) fn put(&self, target: Target, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.entry(target).or_default();
        if connections.len() < PER_TARGET {
            connections.push(Idle {
                connection,
                since: Instant::now(),
            });
        }
    }

    fn close_old(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, connections| {
            connections.retain(|c| c.since.elapsed() < IDLE && !c.connection.sender.is_closed());
            !connections.is_empty()
        });
    }
}

async fn sweep(pool: Weak<Pool>) {
    let mut every = tokio::time::interval(IDLE / 4);
    loop {
        every.tick().await;
        match pool.upgrade() {
            Some(pool) => pool.close_old(),
            None => return,
        }
    }
}
