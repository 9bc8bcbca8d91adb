//! An HTTP/2 server by hand, for what no library would send.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a client says first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

pub(super) const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection that the other end has opened.
pub(super) struct Peer {
    stream: TcpStream,
}

/// A frame the other end sent.
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) id: u32,
    pub(super) payload: Vec<u8>,
}

impl Peer {
    /// Reads the preface and sends settings; `None` for whoever does not speak HTTP/2.
    pub(super) async fn accept(mut stream: TcpStream) -> Option<Self> {
        let mut preface = vec![0; PREFACE.len()];
        stream.read_exact(&mut preface).await.ok()?;
        if preface != PREFACE {
            return None;
        }
        let mut peer = Self { stream };
        peer.send(SETTINGS, 0, 0, &[]).await;
        Some(peer)
    }

    pub(super) async fn send(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(id.to_be_bytes());
        frame.extend(payload);
        // Whoever has gone does not hear it.
        let _ = self.stream.write_all(&frame).await;
    }

    async fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            id: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// The stream of the next request; settings and pings are acknowledged on the way.
    pub(super) async fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.next().await?;
            if frame.kind == HEADERS {
                return Some(frame.id);
            }
        }
    }

    /// The next frame that is about a stream.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            match frame.kind {
                SETTINGS | PING if frame.flags & ACK == 0 => {
                    let payload = if frame.kind == PING {
                        frame.payload
                    } else {
                        Vec::new()
                    };
                    self.send(frame.kind, ACK, 0, &payload).await;
                }
                _ if frame.id != 0 => return Some(frame),
                _ => {}
            }
        }
    }

    /// The head of an answer: status 200, without any field.
    pub(super) async fn ok(&mut self, id: u32) {
        self.send(HEADERS, END_HEADERS, id, &[0x88]).await;
    }

    /// A whole answer.
    pub(super) async fn answer(&mut self, id: u32, text: &str) {
        self.ok(id).await;
        self.send(DATA, END_STREAM, id, text.as_bytes()).await;
    }

    pub(super) async fn reset(&mut self, id: u32, reason: u32) {
        self.send(RST_STREAM, 0, id, &reason.to_be_bytes()).await;
    }

    /// Says that nothing beyond this stream is looked at.
    pub(super) async fn go_away(&mut self, last: u32) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend(0_u32.to_be_bytes());
        self.send(GOAWAY, 0, 0, &payload).await;
    }

    /// Reads until the other end has gone.
    pub(super) async fn gone(&mut self) {
        while self.frame().await.is_some() {}
    }
}
