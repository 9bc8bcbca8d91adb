//! A client's HTTP/1 connection behind the strict head scanner: the parser sees nothing of a head
//! before all of it was read by the letter.
//!
//! Where a head is refused, the parser is given a small one in its place, which the pipeline
//! answers as it answers every other request that is refused: with a page, a reference and a line in
//! the log. A fault in a body breaks the body. Octets behind either are thrown away.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use http::Request;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_util::io::poll_read_buf;

use crate::http::{Fault, Scanner};

/// Read in place of a refused head. Its method and target are what is known of the request.
const STAND_IN: &[u8] = b"- * HTTP/1.1\r\nConnection: close\r\n\r\n";

/// Where an end comes before all was read, what still arrives is thrown away for so long, and so
/// many octets of it: a connection that is closed with octets unread is reset, and the reset may
/// overtake our answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_OCTETS: usize = 1 << 20;

/// For the line of a chunk's size, and for a whole trailer section: nobody needs time in the middle of
/// either. The octets of a body have no such end, since uploads may wait for whatever they like.
const FRAMING: Duration = Duration::from_secs(30);

/// What the connection's reader and its requests share.
#[derive(Debug, Clone, Default)]
pub(super) struct Scan(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    scanner: Scanner,
    /// Requests the parser has handed out.
    requests: u64,
    /// The request that stands in for a head, and what was wrong with that.
    refused: Option<(u64, Fault)>,
    /// Whoever reads while nothing passes.
    reader: Option<Waker>,
    /// Where the connection goes at its end, after a request to upgrade that was not granted.
    left: Option<OnUpgrade>,
}

/// One request that the parser has handed out.
#[derive(Debug)]
pub(super) struct Begun {
    /// Counted from 1.
    number: u64,
    upgrade: Option<OnUpgrade>,
}

impl Scan {
    /// The parser hands out a request; where it stands in for a refused one, what was wrong with
    /// that.
    pub(super) fn begins<B>(&self, request: &Request<B>) -> (Begun, Option<Fault>) {
        let mut shared = self.lock();
        shared.requests += 1;
        let number = shared.requests;
        let refused = shared.refused.filter(|(refused, _)| *refused == number);
        let upgrade = request.extensions().get::<OnUpgrade>().cloned();
        (Begun { number, upgrade }, refused.map(|(_, fault)| fault))
    }

    /// It is answered, `upgraded` where that is the end of HTTP on this connection.
    pub(super) fn answered(&self, begun: Begun, upgraded: bool) {
        let mut shared = self.lock();
        shared.scanner.answered(begun.number, upgraded);
        if upgraded {
            shared.left = None;
        } else if begun.upgrade.is_some() {
            shared.left = begun.upgrade;
        }
        if let Some(reader) = shared.reader.take() {
            reader.wake();
        }
    }

    /// Closes a connection that has come to its end.
    ///
    /// hyper does so itself, unless a request on it has asked to upgrade, whatever became of that:
    /// then it gives the connection away as it is. Dropped like that, it would end without a word,
    /// and where octets are unread the client may lose the answer.
    pub(super) async fn ended(&self) {
        let left = self.lock().left.take();
        if let Some(left) = left
            && let Ok(stream) = left.await
        {
            let _ = TokioIo::new(stream).shutdown().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection.
#[derive(Debug)]
pub(super) struct Scanned<S> {
    inner: S,
    scan: Scan,
    how: How,
    /// Octets that were read and not handed on.
    held: BytesMut,
    /// So many of them may be.
    passed: usize,
    /// Those that may not have to be looked at before more is read.
    fresh: bool,
    /// When what stands between the parts of a body has taken too long.
    late: Option<Pin<Box<Sleep>>>,
    end: Option<End>,
}

/// What is done with what is read.
#[derive(Debug, Clone, Copy)]
enum How {
    Scanned,
    /// Another protocol: it goes on as it is.
    Straight,
    /// A head was refused: the stand-in is the last there is.
    HeadRefused,
    /// A body broke.
    BodyRefused(Fault),
}

/// Our side is closed.
#[derive(Debug)]
struct End {
    until: Pin<Box<Sleep>>,
    octets: usize,
}

impl<S> Scanned<S> {
    pub(super) fn new(inner: S, scan: Scan) -> Self {
        Self {
            inner,
            scan,
            how: How::Scanned,
            held: BytesMut::new(),
            passed: 0,
            fresh: false,
            late: None,
            end: None,
        }
    }

    /// Looks at what is held. Pending where nothing of it passes before an answer is known.
    fn look(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut shared = self.scan.lock();
        let scanned = shared.scanner.scan(&self.held);
        self.passed = scanned.passed;
        // What waits for an answer is looked at again, and no more is read before.
        self.fresh = shared.scanner.waits();
        self.how = match scanned.fault {
            None if shared.scanner.is_upgraded() => How::Straight,
            None => {
                if self.passed == 0 && self.fresh {
                    shared.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                How::Scanned
            }
            Some(fault) if shared.scanner.refuses_head() => {
                shared.refused = Some((shared.scanner.heads() + 1, fault));
                self.held.truncate(self.passed);
                self.held.extend_from_slice(STAND_IN);
                self.passed = self.held.len();
                How::HeadRefused
            }
            Some(fault) => {
                self.held.truncate(self.passed);
                How::BodyRefused(fault)
            }
        };
        Poll::Ready(())
    }

    /// Nothing more has come: whether what is on its way has taken too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let held = !self.held.is_empty();
        if !self.scan.lock().scanner.is_between_chunks(held) {
            self.late = None;
            return Poll::Pending;
        }
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(FRAMING)));
        late.as_mut().poll(cx)
    }

    /// Hands on what has passed.
    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) {
        let octets = self.passed.min(buf.remaining());
        buf.put_slice(&self.held[..octets]);
        self.passed -= octets;
        self.held.advance(octets);
        if self.held.is_empty() {
            // An idle connection holds no memory.
            self.held = BytesMut::new();
        }
    }

    /// Whether there may be more to read than was read.
    fn is_cut_short(&self) -> bool {
        match self.how {
            How::Scanned => {
                let scanner = &self.scan.lock().scanner;
                // Behind an upgrade everything is the other protocol's: nothing may be thrown away.
                !(scanner.is_upgraded() || self.held.is_empty() && scanner.is_between())
            }
            How::Straight => false,
            How::HeadRefused | How::BodyRefused(_) => true,
        }
    }
}

impl<S: AsyncRead + Unpin> Scanned<S> {
    /// Reads to the parser's own memory, and takes away again what does not pass. Whether the parser
    /// has something now, or the end.
    fn poll_straight(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        if read.is_empty() {
            return Poll::Ready(Ok(true));
        }
        // A fault is found again where the rest is looked at.
        let passed = self.scan.lock().scanner.scan(read).passed;
        self.held.extend_from_slice(&read[passed..]);
        self.fresh = !self.held.is_empty();
        buf.set_filled(before + passed);
        Poll::Ready(Ok(passed > 0))
    }

    /// Reads on behind what is held. Whether that was the end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let read = ready!(poll_read_buf(Pin::new(&mut self.inner), cx, &mut self.held))?;
        self.fresh = read > 0;
        if read == 0 {
            // A head that ends in the middle is none.
            self.held = BytesMut::new();
        }
        Poll::Ready(Ok(read == 0))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Scanned<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if this.passed > 0 {
                this.hand_on(buf);
                return Poll::Ready(Ok(()));
            }
            match this.how {
                How::Scanned => {}
                How::Straight => return Pin::new(&mut this.inner).poll_read(cx, buf),
                // Not the end: that would be a client who waits for no answer.
                How::HeadRefused => return Poll::Pending,
                How::BodyRefused(fault) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
                }
            }
            if this.fresh {
                ready!(this.look(cx));
                continue;
            }
            let came = match this.held.is_empty() {
                true => this.poll_straight(cx, buf),
                false => this.poll_more(cx),
            };
            match came {
                Poll::Ready(Ok(false)) => {}
                Poll::Ready(come) => return Poll::Ready(come.map(drop)),
                Poll::Pending => {
                    ready!(this.poll_late(cx));
                    this.how = How::BodyRefused(Fault::Drips);
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Scanned<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, octets)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    /// Closes our side; where the client is in the middle of something, it is given time to notice.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.end.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            if !this.is_cut_short() {
                return Poll::Ready(Ok(()));
            }
        }
        let end = this.end.get_or_insert_with(|| End {
            until: Box::pin(sleep(LINGER)),
            octets: 0,
        });
        let mut piece = [0; 8 * 1024];
        while end.octets < LINGER_OCTETS && end.until.as_mut().poll(cx).is_pending() {
            let mut piece = ReadBuf::new(&mut piece);
            let read = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut piece));
            if read.is_err() || piece.filled().is_empty() {
                break;
            }
            end.octets += piece.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Response;
    use http_body_util::Empty;
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioTimer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::{Instant, timeout};

    use super::*;

    const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n";
    const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

    fn pair() -> (DuplexStream, Scan, Scanned<DuplexStream>) {
        let (client, server) = duplex(1 << 20);
        let scan = Scan::default();
        let scanned = Scanned::new(server, scan.clone());
        (client, scan, scanned)
    }

    async fn read(scanned: &mut Scanned<DuplexStream>) -> Option<String> {
        let mut octets = vec![0; 64 * 1024];
        let read = timeout(LINGER, scanned.read(&mut octets)).await.ok()?;
        Some(String::from_utf8_lossy(&octets[..read.unwrap()]).into_owned())
    }

    /// A head that arrives in two parts, the second with the next request, so that what waits was
    /// held back before.
    #[tokio::test(start_paused = true)]
    async fn what_waits_behind_an_upgrade_goes_on_with_its_answer() {
        for (upgraded, behind) in [(false, NEXT), (true, "\x7fnot HTTP")] {
            let (mut client, scan, mut scanned) = pair();
            let (first, second) = UPGRADE.split_at(20);
            client.write_all(first.as_bytes()).await.unwrap();
            assert_eq!(read(&mut scanned).await, None);
            let rest = [second, behind].concat();
            client.write_all(rest.as_bytes()).await.unwrap();
            assert_eq!(read(&mut scanned).await.as_deref(), Some(UPGRADE));
            let (begun, _) = scan.begins(&Request::new(()));
            let reader = tokio::spawn(async move { read(&mut scanned).await });
            // The reader waits by now.
            tokio::task::yield_now().await;
            scan.answered(begun, upgraded);
            assert_eq!(reader.await.unwrap().as_deref(), Some(behind));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn behind_an_upgrade_the_end_of_one_direction_throws_nothing_of_the_other_away() {
        let (mut client, scan, mut scanned) = pair();
        client.write_all(UPGRADE.as_bytes()).await.unwrap();
        assert_eq!(read(&mut scanned).await.as_deref(), Some(UPGRADE));
        let (begun, _) = scan.begins(&Request::new(()));
        scan.answered(begun, true);
        client.write_all(b"last words").await.unwrap();
        scanned.shutdown().await.unwrap();
        assert_eq!(read(&mut scanned).await.as_deref(), Some("last words"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_refused_is_heard_out_for_a_while_and_not_for_ever() {
        let (mut client, scan, mut scanned) = pair();
        client.write_all(b"GET / HTTP/1.1\nHost").await.unwrap();
        assert_eq!(
            read(&mut scanned).await.unwrap().as_bytes(),
            STAND_IN,
            "in place of the head"
        );
        assert_eq!(scan.begins(&Request::new(())).1, Some(Fault::BareLf));
        assert_eq!(read(&mut scanned).await, None);
        let mut end = Box::pin(scanned.shutdown());
        assert!(timeout(LINGER / 2, &mut end).await.is_err());
        client.write_all(b"more").await.unwrap();
        timeout(LINGER, end).await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_stands_between_the_parts_of_a_body_has_an_end_and_the_parts_have_none() {
        const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        // What has come of the body, and the octet that drips behind it.
        let drips = [
            ("", "1"),
            ("5;a", "a"),
            ("5\r\nhello\r\n5;a", "a"),
            ("0\r\n", "a"),
            ("0\r\nA: 1\r\n", "B: 1\r\n"),
        ];
        for (body, octet) in drips {
            let (mut client, _, mut scanned) = pair();
            client.write_all(CHUNKED.as_bytes()).await.unwrap();
            client.write_all(body.as_bytes()).await.unwrap();
            let drip = async {
                loop {
                    sleep(Duration::from_secs(3)).await;
                    client.write_all(octet.as_bytes()).await.unwrap();
                }
            };
            let since = Instant::now();
            let mut octets = Vec::new();
            let error = tokio::select! {
                read = scanned.read_to_end(&mut octets) => read.unwrap_err(),
                () = drip => unreachable!(),
            };
            let fault = error.get_ref().and_then(|e| e.downcast_ref::<Fault>());
            assert_eq!(fault, Some(&Fault::Drips), "{body:?}");
            let taken = since.elapsed();
            assert!(
                (FRAMING..FRAMING + Duration::from_secs(4)).contains(&taken),
                "{body:?}: {taken:?}"
            );
        }
        // A chunk and what is before the next may take as long as they like.
        let (mut client, _, mut scanned) = pair();
        client.write_all(CHUNKED.as_bytes()).await.unwrap();
        assert_eq!(read(&mut scanned).await.as_deref(), Some(CHUNKED));
        for part in ["5\r\n", "he", "llo", "\r\n", "1\r\nx\r\n", "0\r\n\r\n"] {
            assert_eq!(read(&mut scanned).await, None);
            assert!(
                timeout(FRAMING * 10, scanned.read(&mut [0])).await.is_err(),
                "{part:?}"
            );
            client.write_all(part.as_bytes()).await.unwrap();
            assert_eq!(read(&mut scanned).await.as_deref(), Some(part));
        }
        assert!(scanned.scan.lock().scanner.is_between());
    }

    /// The first of a connection, or one behind an answer.
    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_has_no_more_time_than_another() {
        const HEAD: Duration = Duration::from_secs(30);
        for before in ["", NEXT] {
            let (mut client, _, scanned) = pair();
            let service = service_fn(|_: Request<Incoming>| async {
                Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(scanned), service);
            let drip = async {
                client.write_all(before.as_bytes()).await.unwrap();
                client.write_all(b"GET /").await.unwrap();
                while client.write_all(b"a").await.is_ok() {
                    sleep(Duration::from_secs(1)).await;
                }
            };
            let since = Instant::now();
            let (outcome, ()) = tokio::join!(connection, drip);
            assert!(outcome.unwrap_err().is_timeout());
            assert!(since.elapsed() < HEAD + Duration::from_secs(2));
        }
    }
}
