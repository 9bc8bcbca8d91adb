//! A name server for tests: UDP, one answer a question, chosen by the test.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::resolve::Resolver;

/// What the server does with a question.
pub(crate) enum Reply {
    /// Answers with those of the question's type; with none of them an empty NOERROR.
    Addresses(Vec<IpAddr>),
    /// Answers with this RCODE.
    Code(u8),
    /// The same, once the question for the other type was answered.
    Late(Vec<IpAddr>),
    /// Says nothing.
    Silence,
}

/// Runs until dropped.
pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl DnsServer {
    /// Asks `answer` with the name in lower case and the number of the record type. Answers have
    /// a TTL of 0, so that every look-up asks again.
    pub(crate) async fn start(answer: impl Fn(&str, u16) -> Reply + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut packet = [0; 1500];
            let (mut answered, mut held) = (false, Vec::new());
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                let (name, kind, end) = question(&packet[..length]);
                log.lock().unwrap().push(name.clone());
                let reply = answer(&name, kind);
                let late = matches!(reply, Reply::Late(_));
                let (code, addresses) = match reply {
                    Reply::Addresses(addresses) | Reply::Late(addresses) => (0, addresses),
                    Reply::Code(code) => (code, vec![]),
                    Reply::Silence => continue,
                };
                let records: Vec<Vec<u8>> = addresses
                    .iter()
                    .filter(|a| (kind == 28) == a.is_ipv6())
                    .map(|a| match a {
                        IpAddr::V4(a) => a.octets().to_vec(),
                        IpAddr::V6(a) => a.octets().to_vec(),
                    })
                    .collect();
                let mut reply = packet[..2].to_vec();
                reply.extend([
                    0x81,
                    0x80 | code,
                    0,
                    1,
                    0,
                    u8::try_from(records.len()).unwrap(),
                ]);
                reply.extend([0, 0, 0, 0]);
                reply.extend(&packet[12..end]);
                for data in records {
                    // The question's name, the type, class IN, TTL 0.
                    reply.extend([0xc0, 12, 0, u8::try_from(kind).unwrap(), 0, 1, 0, 0, 0, 0]);
                    reply.extend([0, u8::try_from(data.len()).unwrap()]);
                    reply.extend(data);
                }
                if late && !answered {
                    held.push((reply, from));
                    continue;
                }
                socket.send_to(&reply, from).await.unwrap();
                for (reply, from) in held.drain(..) {
                    socket.send_to(&reply, from).await.unwrap();
                    answered = true;
                }
                answered = !late && !answered;
            }
        });
        Self {
            address,
            asked,
            _task: task,
        }
    }

    /// The names asked for so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// A resolver that asks this server alone.
    pub(crate) fn resolver(&self) -> Resolver {
        Resolver::for_test(self.address, "nameserver 192.0.2.53\nsearch .\n", "")
    }
}

fn question(packet: &[u8]) -> (String, u16, usize) {
    let mut labels = Vec::new();
    let mut at = 12;
    while packet[at] != 0 {
        let length = usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    let kind = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
    (labels.join("."), kind, at + 5)
}
