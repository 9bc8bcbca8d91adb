//! The first words of a TLS connection, read before it is known who answers them.

use std::io;

use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A ClientHello, and the octets it came in with whatever came behind it.
pub(super) struct Hello {
    pub(super) accepted: Accepted,
    pub(super) octets: Vec<u8>,
}

/// What is read at once: a usual hello is a third of it.
const PIECE: usize = 4096;

/// Reads a ClientHello, in however many records and pieces it comes.
///
/// # Errors
/// Where there is none, which the client is told, or the connection breaks.
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Hello> {
    let mut acceptor = Acceptor::default();
    let mut octets = Vec::new();
    let mut piece = [0; PIECE];
    loop {
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(Hello { accepted, octets }),
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut told = Vec::new();
                alert.write_all(&mut told)?;
                // Whoever is gone needs no telling.
                let _ = stream.write_all(&told).await;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = &piece[..read];
        octets.extend_from_slice(rest);
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use tokio::net::TcpListener;
    use tokio::task::yield_now;

    use super::*;
    use crate::certs::provider;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        let near = near.unwrap();
        near.set_nodelay(true).unwrap();
        (near, far.unwrap().0)
    }

    fn hello() -> Vec<u8> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from("vault.example.com").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut octets = Vec::new();
        client.write_tls(&mut octets).unwrap();
        octets
    }

    /// The same in records of this many octets (RFC 8446 section 5.1).
    fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
        let (head, message) = hello.split_at(5);
        let records = message.chunks(size).map(|part| {
            let length = u16::try_from(part.len()).unwrap().to_be_bytes();
            [&head[..3], &length, part].concat()
        });
        records.collect::<Vec<_>>().concat()
    }

    #[tokio::test]
    async fn a_hello_is_read_however_it_comes_and_kept_whole() {
        let hello = hello();
        let mut seen = 0;
        for said in [
            hello.clone(),
            in_records(&hello, 100),
            in_records(&hello, 1),
        ] {
            for step in [1, 7, 1000, said.len()] {
                let (mut client, mut server) = pair().await;
                let sending = async {
                    for part in said.chunks(step) {
                        client.write_all(part).await.unwrap();
                        yield_now().await;
                    }
                };
                let (read, ()) = tokio::join!(read(&mut server), sending);
                let read = read.unwrap();
                let name = read
                    .accepted
                    .client_hello()
                    .server_name()
                    .map(str::to_owned);
                assert_eq!(name.as_deref(), Some("vault.example.com"), "{step}");
                assert!(read.octets == said, "{step}");
                seen += 1;
            }
        }
        assert_eq!(seen, 12);
    }

    #[tokio::test]
    async fn what_is_none_is_told_so_and_what_ends_is_over() {
        for said in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &[0x16, 3, 1, 0, 2, 9, 9, 9, 9, 9],
        ] {
            let (mut client, mut server) = pair().await;
            client.write_all(said).await.unwrap();
            let error = read(&mut server).await.err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            drop(server);
            let mut told = Vec::new();
            // It may be reset, since not all was read.
            let _ = client.read_to_end(&mut told).await;
            // A record of type 21, and it is fatal.
            assert!(
                told.is_empty() || (told[0] == 21 && told[5] == 2),
                "{told:?}"
            );
        }
        let (mut client, mut server) = pair().await;
        client.write_all(&hello()[..40]).await.unwrap();
        client.shutdown().await.unwrap();
        let error = read(&mut server).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
