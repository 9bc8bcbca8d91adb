//! One direction of a WebSocket: octets as they come, with back-pressure.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::poll_proceed;

use super::frame::{Follower, encode_close};
use super::splice::Cut;

/// Octets read at once. They live on the stack while they pass; only what a slow receiver does
/// not take is kept, so an idle WebSocket holds no buffer at all.
pub(super) const CHUNK: usize = 16 * 1024;

/// Which end of a direction broke.
pub(super) enum Fault {
    Read(io::Error),
    Write(io::Error),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Open,
    /// The sender has ended; that is still to be passed on.
    Ending,
    /// Nothing more passes.
    Done,
}

/// One direction.
#[derive(Default)]
pub(super) struct Pipe {
    /// Octets read that the receiver has not taken yet, from `taken` on.
    pub(super) pending: Vec<u8>,
    pub(super) taken: usize,
    /// Stands where the receiver stands.
    pub(super) follower: Follower,
    /// Octets taken by the receiver.
    pub(super) octets: u64,
    pub(super) unflushed: bool,
    pub(super) state: State,
}

impl Pipe {
    pub(super) fn poll<R: AsyncRead, W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        mut from: Pin<&mut R>,
        mut to: Pin<&mut W>,
    ) -> Poll<Result<(), Fault>> {
        while self.state != State::Done {
            if self.taken < self.pending.len() {
                ready!(self.poll_write_pending(cx, to.as_mut())).map_err(|e| self.broke(e))?;
                continue;
            }
            if self.state == State::Ending {
                ready!(to.as_mut().poll_shutdown(cx)).map_err(|e| self.broke(e))?;
                self.state = State::Done;
                break;
            }
            let budget = ready!(poll_proceed(cx));
            let mut space = [MaybeUninit::uninit(); CHUNK];
            let mut chunk = ReadBuf::uninit(&mut space);
            let step = from.as_mut().poll_read(cx, &mut chunk);
            if step.is_ready() {
                // Not every stream counts what it hands out, and `cut` must have its turn.
                budget.made_progress();
            }
            match step {
                Poll::Ready(Ok(())) if chunk.filled().is_empty() => self.state = State::Ending,
                Poll::Ready(Ok(())) => self
                    .poll_write_chunk(cx, to.as_mut(), chunk.filled())
                    .map_err(|e| self.broke(e))?,
                Poll::Ready(Err(error)) => {
                    self.state = State::Done;
                    return Poll::Ready(Err(Fault::Read(error)));
                }
                Poll::Pending => {
                    if self.unflushed {
                        ready!(to.as_mut().poll_flush(cx)).map_err(|e| self.broke(e))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes a chunk as it came, and keeps what is not taken now.
    pub(super) fn poll_write_chunk<W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        mut to: Pin<&mut W>,
        mut chunk: &[u8],
    ) -> io::Result<()> {
        while !chunk.is_empty() {
            match to.as_mut().poll_write(cx, chunk) {
                Poll::Ready(taken) => {
                    let (done, rest) = chunk.split_at(some(taken)?);
                    self.follower.follow(done);
                    self.octets += done.len() as u64;
                    self.unflushed = true;
                    chunk = rest;
                }
                Poll::Pending => {
                    self.pending = chunk.to_vec();
                    self.taken = 0;
                    break;
                }
            }
        }
        Ok(())
    }

    pub(super) fn poll_write_pending<W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        to: Pin<&mut W>,
    ) -> Poll<io::Result<()>> {
        let taken = some(ready!(to.poll_write(cx, &self.pending[self.taken..])))?;
        let end = self.taken + taken;
        self.follower.follow(&self.pending[self.taken..end]);
        self.octets += taken as u64;
        self.unflushed = true;
        self.taken = end;
        if end == self.pending.len() {
            self.pending = Vec::new();
            self.taken = 0;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn broke(&mut self, error: io::Error) -> Fault {
        self.state = State::Done;
        Fault::Write(error)
    }

    /// What may still be written to the receiver before its stream is ended: the rest of the
    /// frame it is in, as far as we have it, and a Close frame unless its peer has said Close.
    /// Nothing where the frame's end has not come yet, or where the stream has ended already.
    pub(super) fn last_words(&mut self, cut: &Cut, mask: Option<[u8; 4]>) -> Option<Vec<u8>> {
        if self.state != State::Open {
            return None;
        }
        let pending = &self.pending[self.taken..];
        let mut follower = self.follower.clone();
        let end = follower.follow_to_boundary(pending)?;
        let mut last = pending[..end].to_vec();
        if !follower.saw_close() {
            last.extend(encode_close(cut.code, &cut.reason, mask));
        }
        Some(last)
    }
}

/// A writer that takes nothing will never take anything.
fn some(taken: io::Result<usize>) -> io::Result<usize> {
    match taken {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        taken => taken,
    }
}
