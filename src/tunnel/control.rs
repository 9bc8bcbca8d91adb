//! The control stream: the first stream of a tunnel, with both bodies open, one JSON message a line.
//!
//! A message of a kind this version does not know is ignored, so that a newer end can say more. The
//! stream's end is the tunnel's end.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::inspection::{Inspect, Inspected, Served};
use super::profile::ProfileHash;
use crate::http::{Body, BodyError};

/// The version of the protocol spoken here; a gateway speaks with connectors of this version.
pub const PROTOCOL_VERSION: u32 = 1;

/// The longest line, in octets: a peer that never ends one does not fill the memory.
const LINE_MAX: usize = 64 * 1024;

/// Messages that may wait for a slow peer before the tunnel counts as stuck.
const QUEUE: usize = 1024;

/// From the connector to the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Up {
    /// The first message.
    Hello {
        /// [`PROTOCOL_VERSION`].
        version: u32,
        /// Its identifier; the certificate is what counts.
        id: String,
        /// Tells two processes of one identity apart.
        instance: String,
        /// Its clock, in seconds since 1970.
        time: i64,
        /// How many streams it takes on this connection, the control stream not counted.
        max_streams: u32,
        /// The version of the program.
        software: String,
        /// What it can do that connectors of this protocol version could not from the beginning.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        features: Vec<Feature>,
    },
    /// It stops: no new requests, please.
    Drain {
        /// Seconds until it ends what is still in flight.
        deadline_s: u64,
    },
    /// Its certificate has lived two thirds of its life: another one, please.
    Renew {
        /// A PKCS#10 request for the same key, DER in base64.
        csr: String,
    },
    /// What came of a probe.
    Probed {
        /// The number of the probe.
        id: u64,
        /// Milliseconds it took.
        ms: u64,
        /// The status of the answer, where one was asked for and came; the gateway judges it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// Why the application was not reached: a word of the list of error codes. None where it was.
        error: Option<String>,
        /// Beside `error`: what happened, for the log.
        detail: Option<String>,
    },
    /// What an application was found to be like.
    Inspected {
        /// The number of the question.
        id: u64,
        /// The facts.
        found: Box<Inspected>,
    },
    /// Which applications does my group serve?
    Applications,
    /// The answer to [`Down::Measure`], at once.
    Measured {
        /// The number of the question.
        id: u64,
    },
    /// It leaves for good: remove it, as an operator would.
    Unregister,
    /// Something a newer connector says.
    #[serde(other)]
    Unknown,
}

/// What a connector can do that older ones cannot, where an application may depend on it: such a
/// request goes to none that does not say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// It says in a PROXY header whose a connection to an application is.
    ProxyProtocol,
    /// It keeps a connection to an application for one client connection, which the request names.
    ConnectionAuthentication,
    /// It carries the octets of a TLS connection, and knows nothing of what is in them.
    TlsPassthrough,
    /// It answers [`Down::Inspect`].
    Inspection,
    /// Something a newer connector can do.
    #[serde(other)]
    Unknown,
}

impl Feature {
    /// What this version can do.
    pub const OURS: &[Self] = &[
        Self::ProxyProtocol,
        Self::ConnectionAuthentication,
        Self::TlsPassthrough,
        Self::Inspection,
    ];
}

/// From the gateway to the connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Down {
    /// The answer to hello: requests may follow.
    Welcome {
        /// Where connectors dial, as the gateway's configuration has it.
        gateways: Vec<String>,
        /// The gateway's clock, in seconds since 1970.
        time: i64,
    },
    /// Settings that requests will name by their hash.
    Profile {
        /// The name.
        hash: ProfileHash,
        /// The settings: the text of a [`Profile`](super::Profile), as the hash names it.
        profile: String,
    },
    /// How long does a word take to you and back?
    Measure {
        /// Tells one question from another.
        id: u64,
    },
    /// The answer to a request for renewal.
    Renewed {
        /// The new certificate, and intermediates if there are any, PEM.
        chain: String,
        /// The authorities to trust from now on, PEM, the one that issues first.
        authorities: Vec<String>,
    },
    /// The authorities to trust from now on: they have changed.
    Authorities {
        /// PEM, the one that issues first.
        authorities: Vec<String>,
    },
    /// There is no new certificate; the old one is good until its end.
    RenewalRefused {
        /// Why, as one sentence.
        reason: String,
    },
    /// It stops: open another tunnel, to wherever its address leads by then. This one ends when it
    /// carries nothing any more.
    Drain {
        /// Seconds until it ends what is still in flight.
        deadline_s: u64,
    },
    /// Try whether an application can be reached, and say so.
    Probe {
        /// Its number, for the answer.
        id: u64,
        /// `http` or `https`.
        scheme: String,
        /// Host and port, as in [`super::wire::TARGET`].
        target: String,
        /// Which profile to use.
        profile: ProfileHash,
        /// Ask for this path with GET, and tell the status of the answer. None: a connection is
        /// enough. All of it has the profile's time for the first byte.
        path: Option<String>,
        /// The `Host` to ask with, beside `path`.
        authority: Option<String>,
    },
    /// Look at an application step by step, and tell what there is.
    Inspect {
        /// Its number, for the answer.
        id: u64,
        /// What to look at.
        inspect: Inspect,
    },
    /// One of the applications that were asked for.
    Application {
        /// The application.
        served: Served,
    },
    /// That were all of them.
    Applications {
        /// How many more there are than were told.
        more: u64,
    },
    /// A client connection has ended: what was its own ends too. This word may be lost.
    Closed {
        /// As in [`super::wire::CONNECTION`].
        connection: String,
    },
    /// The connector was removed: its certificate is worth nothing any more.
    Removed,
    /// The gateway refuses this connector.
    Refused {
        /// Why, as one sentence.
        reason: String,
    },
    /// Something a newer gateway says.
    #[serde(other)]
    Unknown,
}

/// Why a control stream ended other than by its end.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A line is longer than 64 KiB.
    #[error("a control message is longer than 64 KiB")]
    TooLong,
    /// A line is no message.
    #[error("a control message cannot be read: {0}")]
    Syntax(#[from] serde_json::Error),
    /// The stream broke.
    #[error("the control stream broke: {0}")]
    Broken(BodyError),
}

/// The sending end; messages are queued and never block.
#[derive(Debug, Clone)]
pub struct Sender(mpsc::Sender<Bytes>);

/// The peer reads no control messages, or the tunnel is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the control stream takes no more messages")]
pub struct Stuck;

impl Sender {
    /// Queues a message.
    ///
    /// # Errors
    /// Where 1,024 messages wait already, or the stream is gone: the tunnel is of no use then.
    pub fn send<M: Serialize>(&self, message: &M) -> Result<(), Stuck> {
        let mut line = serde_json::to_vec(message).map_err(|_| Stuck)?;
        line.push(b'\n');
        self.0.try_send(line.into()).map_err(|_| Stuck)
    }
}

impl Sender {
    /// Queues a message that may be lost: only where those that may not have room enough.
    pub fn send_if_room<M: Serialize>(&self, message: &M) {
        if self.0.capacity() > QUEUE / 2 {
            let _ = self.send(message);
        }
    }
}

/// A sender, and the body that carries what it sends.
#[must_use]
pub fn channel() -> (Sender, Body) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Sender(sender), Body::boxed(ChannelBody(receiver)))
}

struct ChannelBody(mpsc::Receiver<Bytes>);

impl HttpBody for ChannelBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0
            .poll_recv(cx)
            .map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

/// The receiving end.
#[derive(Debug)]
pub struct Messages<B> {
    body: B,
    buffer: BytesMut,
    scanned: usize,
}

impl<B> Messages<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    /// Reads messages from a body.
    #[must_use]
    pub fn new(body: B) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            scanned: 0,
        }
    }

    /// The next message; `None` at the end of the stream. Nothing is lost where the future is
    /// dropped before it is done.
    ///
    /// # Errors
    /// Where a line is too long or no message, or the stream breaks.
    pub async fn next<M: DeserializeOwned>(&mut self) -> Result<Option<M>, ControlError> {
        loop {
            if let Some(at) = self.buffer[self.scanned..].iter().position(|&b| b == b'\n') {
                let line = self.buffer.split_to(self.scanned + at);
                self.buffer.advance(1);
                self.scanned = 0;
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            self.scanned = self.buffer.len();
            if self.scanned > LINE_MAX {
                return Err(ControlError::TooLong);
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(ControlError::Broken(error.into())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};

    use super::*;

    #[tokio::test]
    async fn messages_arrive_in_order_whatever_the_framing() {
        let (sender, body) = channel();
        let welcome = Down::Welcome {
            gateways: vec!["gw.example.com:443".into()],
            time: 7,
        };
        sender.send(&welcome).unwrap();
        sender.send(&Down::Removed).unwrap();
        drop(sender);
        let whole = body.collect().await.unwrap().to_bytes();
        for cut in 0..whole.len() {
            let pieces = [whole.slice(..cut), whole.slice(cut..)];
            let frames = pieces.map(|p| Ok::<_, BodyError>(Frame::data(p)));
            let mut messages = Messages::new(StreamBody::new(futures_util::stream::iter(frames)));
            assert_eq!(messages.next().await.unwrap(), Some(welcome.clone()));
            assert_eq!(messages.next().await.unwrap(), Some(Down::Removed));
            assert_eq!(messages.next::<Down>().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn unknown_messages_and_fields_are_taken_for_what_they_are() {
        let text =
            "{\"type\":\"sing\",\"song\":1}\n{\"type\":\"drain\",\"deadline_s\":3,\"new\":1}\n";
        let mut messages = Messages::new(Full::new(Bytes::from(text)));
        assert_eq!(messages.next().await.unwrap(), Some(Up::Unknown));
        assert_eq!(
            messages.next().await.unwrap(),
            Some(Up::Drain { deadline_s: 3 })
        );
    }

    #[tokio::test]
    async fn a_line_without_end_and_a_line_without_sense_are_refused() {
        let mut messages = Messages::new(Full::new(Bytes::from(vec![b'x'; LINE_MAX + 1])));
        assert!(matches!(
            messages.next::<Up>().await,
            Err(ControlError::TooLong)
        ));
        let mut messages = Messages::new(Full::new(Bytes::from("hello\n")));
        assert!(matches!(
            messages.next::<Up>().await,
            Err(ControlError::Syntax(_))
        ));
    }

    #[test]
    fn a_connector_of_before_features_has_none_and_a_newer_one_may_have_others() {
        let hello = |features| {
            let text = format!(
                r#"{{"type":"hello","version":1,"id":"i","instance":"n","time":1,"max_streams":2,"software":"0"{features}}}"#
            );
            match serde_json::from_str(&text) {
                Ok(Up::Hello { features, .. }) => features,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(hello(""), []);
        assert_eq!(
            hello(r#","features":["fly","proxy_protocol"]"#),
            [Feature::Unknown, Feature::ProxyProtocol]
        );
    }

    #[test]
    fn a_peer_that_reads_nothing_is_noticed() {
        let (sender, body) = channel();
        for _ in 0..QUEUE {
            sender.send(&Down::Removed).unwrap();
        }
        assert_eq!(sender.send(&Down::Removed), Err(Stuck));
        drop(body);
        assert_eq!(sender.send(&Down::Removed), Err(Stuck));
    }
}
