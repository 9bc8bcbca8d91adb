//! The server's end of a WebSocket: what our own demo application needs, and no extension.

use std::io;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::frame::{
    BINARY, CLOSE, CONTINUATION, Head, HeadReader, PING, PONG, TEXT, apply_mask, encode,
    encode_close, may_be_sent,
};
use super::splice::farewell;

/// The longest message, fragments together; a longer one closes with 1009.
const LONGEST_MESSAGE: u64 = 1024 * 1024;

/// How long a client may take to hang up after Close.
const FAREWELL: Duration = Duration::from_secs(1);

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Opcode 1.
    Text(String),
    /// Opcode 2.
    Binary(Vec<u8>),
}

/// A WebSocket whose opening handshake is done, seen from the server.
#[derive(Debug)]
pub struct WebSocket<S> {
    stream: S,
    input: BytesMut,
    head: HeadReader,
}

/// The close code that answers a client's mistake (RFC 6455, section 7.4.1).
#[derive(Debug, Clone, Copy)]
struct Mistake(u16, &'static str);

enum Failure {
    Mistake(Mistake),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Mistake> for Failure {
    fn from(mistake: Mistake) -> Self {
        Self::Mistake(mistake)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Speaks on `stream`, on which nothing was read after the request's head.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            head: HeadReader::default(),
        }
    }

    /// The next message; pings are answered on the way. `None` once the WebSocket has ended: the
    /// client said Close (answered with its own code) or was told 1002 for a protocol error,
    /// 1007 for text that is not UTF-8, 1009 for a message above 1 MiB.
    ///
    /// A call that is dropped before it is done may have lost part of a message.
    ///
    /// # Errors
    /// Where the stream breaks, or ends without Close.
    pub async fn next(&mut self) -> io::Result<Option<Message>> {
        match self.read_message().await {
            Ok(message) => Ok(message),
            Err(Failure::Mistake(Mistake(code, reason))) => {
                self.end(encode_close(code, reason, None)).await;
                Ok(None)
            }
            Err(Failure::Io(error)) => Err(error),
        }
    }

    /// Sends a message in one frame.
    ///
    /// # Errors
    /// Where the stream breaks.
    pub async fn send(&mut self, message: &Message) -> io::Result<()> {
        let frame = match message {
            Message::Text(text) => encode(TEXT, text.as_bytes(), None),
            Message::Binary(octets) => encode(BINARY, octets, None),
        };
        self.write(&frame).await
    }

    async fn read_message(&mut self) -> Result<Option<Message>, Failure> {
        let mut opcode = None;
        let mut message = Vec::new();
        loop {
            let head = self.read_head().await?;
            let mask = check(&head, opcode.is_some())?;
            if head.opcode >= CLOSE {
                let mut payload = Vec::new();
                self.read_payload(&head, mask, &mut payload).await?;
                match head.opcode {
                    PING => self.write(&encode(PONG, &payload, None)).await?,
                    CLOSE => {
                        self.end(answer_to_close(&payload)?).await;
                        return Ok(None);
                    }
                    // An unasked pong is a heartbeat; it wants no answer.
                    _ => {}
                }
                continue;
            }
            if head.length > LONGEST_MESSAGE - message.len() as u64 {
                return Err(Mistake(1009, "a message may have 1 MiB").into());
            }
            let opcode = *opcode.get_or_insert(head.opcode);
            self.read_payload(&head, mask, &mut message).await?;
            if head.fin {
                return Ok(Some(if opcode == TEXT {
                    let text = String::from_utf8(message);
                    Message::Text(text.map_err(|_| Mistake(1007, "text is UTF-8"))?)
                } else {
                    Message::Binary(message)
                }));
            }
        }
    }

    async fn read_head(&mut self) -> io::Result<Head> {
        loop {
            if let Some(head) = self.head.read(&mut self.input) {
                return Ok(head);
            }
            self.fill().await?;
        }
    }

    /// Appends the unmasked payload of one frame, whose length was checked.
    async fn read_payload(
        &mut self,
        head: &Head,
        mask: [u8; 4],
        into: &mut Vec<u8>,
    ) -> io::Result<()> {
        let mut left = usize::try_from(head.length).map_err(io::Error::other)?;
        let mut offset = 0;
        while left > 0 {
            if self.input.is_empty() {
                self.fill().await?;
            }
            let here = left.min(self.input.len());
            let start = into.len();
            into.extend_from_slice(&self.input[..here]);
            self.input.advance(here);
            apply_mask(&mut into[start..], mask, offset);
            offset += here;
            left -= here;
        }
        Ok(())
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    async fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        self.stream.write_all(frame).await?;
        self.stream.flush().await
    }

    async fn end(&mut self, close: Vec<u8>) {
        // Whether it was taken or not, there is nothing more to do.
        let _ = farewell(&mut self.stream, Some(close), FAREWELL).await;
    }
}

/// Checks a head by RFC 6455, section 5, and returns its mask.
fn check(head: &Head, in_message: bool) -> Result<[u8; 4], Mistake> {
    let Some(mask) = head.mask else {
        return Err(Mistake(1002, "a client masks its frames"));
    };
    if head.reserved != 0 {
        return Err(Mistake(1002, "no extension was agreed on"));
    }
    match head.opcode {
        CONTINUATION if !in_message => Err(Mistake(1002, "there is nothing to continue")),
        TEXT | BINARY if in_message => Err(Mistake(1002, "the message before has not ended")),
        CONTINUATION | TEXT | BINARY => Ok(mask),
        CLOSE | PING | PONG if !head.fin || head.length > 125 => {
            Err(Mistake(1002, "a control frame is short and whole"))
        }
        CLOSE | PING | PONG => Ok(mask),
        _ => Err(Mistake(1002, "unknown opcode")),
    }
}

/// The Close frame that answers one with this payload.
fn answer_to_close(payload: &[u8]) -> Result<Vec<u8>, Mistake> {
    match payload {
        [] => Ok(encode(CLOSE, &[], None)),
        [one, two, reason @ ..] => {
            let code = u16::from_be_bytes([*one, *two]);
            if !may_be_sent(code) {
                return Err(Mistake(1002, "no such close code"));
            }
            if std::str::from_utf8(reason).is_err() {
                return Err(Mistake(1007, "a reason is UTF-8"));
            }
            Ok(encode_close(code, "", None))
        }
        [_] => Err(Mistake(1002, "a close code has two octets")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const MASK: Option<[u8; 4]> = Some([0xA1, 0xB2, 0xC3, 0xD4]);

    /// Sends `octets` to an echo, piecewise, hangs up and returns what came back.
    async fn echoed(octets: &[u8], piece: usize) -> Vec<u8> {
        let (client, server) = duplex(4 * 1024 * 1024);
        let echo = async {
            let mut socket = WebSocket::new(server);
            while let Ok(Some(message)) = socket.next().await {
                socket.send(&message).await.unwrap();
            }
        };
        let talk = async {
            let (mut receiver, mut sender) = tokio::io::split::<DuplexStream>(client);
            for piece in octets.chunks(piece) {
                // A server that has hung up after a mistake takes no more.
                if sender.write_all(piece).await.is_err() {
                    break;
                }
            }
            let _ = sender.shutdown().await;
            let mut answer = Vec::new();
            receiver.read_to_end(&mut answer).await.unwrap();
            answer
        };
        tokio::join!(echo, talk).1
    }

    fn unfinished(mut frame: Vec<u8>) -> Vec<u8> {
        frame[0] &= 0x7F;
        frame
    }

    #[tokio::test]
    async fn echoes_messages_however_they_arrive() {
        let cases = [
            (
                encode(TEXT, "grüß".as_bytes(), MASK),
                encode(TEXT, "grüß".as_bytes(), None),
            ),
            (encode(TEXT, b"", MASK), encode(TEXT, b"", None)),
            (
                encode(BINARY, &[7; 70_000], MASK),
                encode(BINARY, &[7; 70_000], None),
            ),
            (
                [
                    unfinished(encode(TEXT, &[0xC3], MASK)),
                    encode(PING, b"p", MASK),
                    encode(PONG, b"ignored", MASK),
                    unfinished(encode(CONTINUATION, b"", MASK)),
                    encode(CONTINUATION, &[0xBC], MASK),
                ]
                .concat(),
                [encode(PONG, b"p", None), encode(TEXT, "ü".as_bytes(), None)].concat(),
            ),
        ];
        for (sent, expected) in cases {
            for piece in [1, 2, 3, 1000, usize::MAX] {
                assert_eq!(echoed(&sent, piece).await, expected);
            }
        }
    }

    #[tokio::test]
    async fn close_is_answered_with_its_code() {
        for (sent, answer) in [
            (encode(CLOSE, b"", MASK), encode(CLOSE, b"", None)),
            (
                encode_close(1000, "done", MASK),
                encode_close(1000, "", None),
            ),
            (encode_close(4321, "", MASK), encode_close(4321, "", None)),
        ] {
            assert_eq!(echoed(&sent, usize::MAX).await, answer);
        }
    }

    #[tokio::test]
    async fn mistakes_are_closed_with_their_code() {
        let mut reserved = encode(TEXT, b"x", MASK);
        reserved[0] |= 0x40;
        let mut too_long = vec![0x82, 0xFF];
        too_long.extend_from_slice(&u64::MAX.to_be_bytes());
        too_long.extend_from_slice(&[0; 4]);
        let half = unfinished(encode(BINARY, &[0; 600_000], MASK));
        for (sent, code) in [
            (encode(TEXT, b"unmasked", None), 1002),
            (reserved, 1002),
            (encode(0x3, b"", MASK), 1002),
            (encode(0xB, b"", MASK), 1002),
            (encode(CONTINUATION, b"", MASK), 1002),
            (
                [unfinished(encode(TEXT, b"", MASK)), encode(TEXT, b"", MASK)].concat(),
                1002,
            ),
            (unfinished(encode(PING, b"", MASK)), 1002),
            (encode(PING, &[0; 126], MASK), 1002),
            (encode(CLOSE, b"x", MASK), 1002),
            (encode(CLOSE, &1005_u16.to_be_bytes(), MASK), 1002),
            (encode(CLOSE, b"\x03\xE8\xFF", MASK), 1007),
            (encode(TEXT, b"\xFF", MASK), 1007),
            (too_long, 1009),
            (
                [half.clone(), encode(CONTINUATION, &[0; 600_000], MASK)].concat(),
                1009,
            ),
        ] {
            let answer = echoed(&sent, usize::MAX).await;
            assert_eq!(answer[0], 0x80 | CLOSE, "one Close frame for {code}");
            assert_eq!(u16::from_be_bytes([answer[2], answer[3]]), code);
            assert_eq!(answer.len(), 2 + usize::from(answer[1]));
        }
    }

    #[tokio::test]
    async fn a_stream_that_ends_without_close_is_an_error() {
        let (mut client, server) = duplex(64);
        client
            .write_all(&encode(TEXT, b"cut off", MASK)[..9])
            .await
            .unwrap();
        drop(client);
        let error = WebSocket::new(server).next().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
