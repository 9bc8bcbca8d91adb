//! Two streams become one whose octets are nobody's business on the way.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::io::InspectReader;

/// Octets that are read at once, each way.
const CHUNK: usize = 16 * 1024;

/// How long one side may go on in silence when the other has ended: one that has vanished says nothing, and
/// would stay for ever.
const HALF_OPEN: Duration = Duration::from_secs(30);

/// What has passed, also where it was broken off.
#[derive(Debug, Default)]
pub struct Meter {
    to_application: AtomicU64,
    to_client: AtomicU64,
    has_ended: AtomicBool,
    ended: Notify,
}

impl Meter {
    /// Octets that the client sent.
    #[must_use]
    pub fn to_application(&self) -> u64 {
        self.to_application.load(Ordering::Relaxed)
    }

    /// Octets that the application sent.
    #[must_use]
    pub fn to_client(&self) -> u64 {
        self.to_client.load(Ordering::Relaxed)
    }

    fn passed(&self) -> u64 {
        self.to_application().wrapping_add(self.to_client())
    }

    fn read(&self, of: &AtomicU64, octets: usize) {
        if octets == 0 {
            self.has_ended.store(true, Ordering::Relaxed);
            self.ended.notify_one();
        }
        of.fetch_add(octets as u64, Ordering::Relaxed);
    }

    /// Completes when nothing has passed for `idle`, or for less where one side has ended.
    async fn falls_still(&self, idle: Duration) {
        loop {
            let before = self.passed();
            let has_ended = self.has_ended.load(Ordering::Relaxed);
            let patience = if has_ended { idle.min(HALF_OPEN) } else { idle };
            tokio::select! {
                () = sleep(patience) => if self.passed() == before {
                    return;
                },
                () = self.ended.notified(), if !has_ended => {}
            }
        }
    }
}

/// Carries octets both ways until both sides have ended. Half of a connection may end before the other.
///
/// # Errors
/// Where one side breaks, or nothing has passed for `idle`.
pub async fn carry<C, A>(
    client: C,
    application: A,
    idle: Duration,
    meter: &Arc<Meter>,
) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    A: AsyncRead + AsyncWrite + Unpin,
{
    let (sent, answered) = (Arc::clone(meter), Arc::clone(meter));
    let mut client = InspectReader::new(client, move |octets: &[u8]| {
        sent.read(&sent.to_application, octets.len());
    });
    let mut application = InspectReader::new(application, move |octets: &[u8]| {
        answered.read(&answered.to_client, octets.len());
    });
    let both = copy_bidirectional_with_sizes(&mut client, &mut application, CHUNK, CHUNK);
    tokio::select! {
        carried = both => carried.map(drop),
        () = meter.falls_still(idle) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    const IDLE: Duration = Duration::from_secs(300);
    const TICK: Duration = Duration::from_millis(5);

    #[tokio::test(start_paused = true)]
    async fn octets_pass_both_ways_and_each_half_ends_for_itself() {
        let (mut client, near) = duplex(64);
        let (far, mut application) = duplex(64);
        let meter = Arc::new(Meter::default());
        let ends = async {
            client.write_all(&[1; 1000]).await.unwrap();
            client.shutdown().await.unwrap();
            let mut told = Vec::new();
            client.read_to_end(&mut told).await.unwrap();
            told.len()
        };
        let answers = async {
            let mut told = Vec::new();
            application.read_to_end(&mut told).await.unwrap();
            application.write_all(&[2; 2000]).await.unwrap();
            application.shutdown().await.unwrap();
            told.len()
        };
        let carried = carry(near, far, IDLE, &meter);
        let (carried, told, asked) = tokio::join!(carried, ends, answers);
        assert!(carried.is_ok());
        assert_eq!((asked, told), (1000, 2000));
        assert_eq!((meter.to_application(), meter.to_client()), (1000, 2000));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_and_sooner_where_one_side_has_ended() {
        for (ends, patience) in [(false, IDLE), (true, HALF_OPEN)] {
            let (mut client, near) = duplex(64);
            let (far, mut application) = duplex(64);
            let meter = Arc::new(Meter::default());
            let carried = tokio::spawn({
                let meter = Arc::clone(&meter);
                async move { carry(near, far, IDLE, &meter).await }
            });
            // What passes now and then keeps it.
            for _ in 0..3 {
                sleep(IDLE - Duration::from_secs(1)).await;
                client.write_all(b"x").await.unwrap();
                application.read_exact(&mut [0]).await.unwrap();
            }
            if ends {
                application.shutdown().await.unwrap();
            }
            let since = Instant::now();
            let error = carried.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            let took = since.elapsed();
            // A look comes when the one before is over.
            assert!(
                took >= patience - TICK && took <= 2 * patience + TICK,
                "{took:?}"
            );
        }
    }
}
