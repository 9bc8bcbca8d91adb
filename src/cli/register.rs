//! `appproxy connector register` = `appproxy register`.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::anyhow;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};

use super::prompt::secret_from_standard_input;
use crate::clock::Clock;
use crate::config::{CONNECTOR_FILE, SecretSource};
use crate::connector::{Registered, Registration, StateFolder, register};
use crate::model::Endpoint;
use crate::tunnel::token::Token;

/// `connector register`: the token is read from a file, the environment, or standard input, where
/// a terminal is asked for it without echo.
#[derive(Debug, clap::Args)]
pub(super) struct Register {
    /// Read the token from this file.
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    pub token_file: Option<PathBuf>,
    /// Read the token from this environment variable.
    #[arg(long, value_name = "VAR")]
    pub token_env: Option<String>,
    /// Give up the identity that is there.
    #[arg(long)]
    pub replace: bool,
    /// The connector's configuration.
    #[arg(long, value_name = "FILE", default_value = CONNECTOR_FILE)]
    pub config: PathBuf,
    /// Taken only to be refused with the reason.
    #[arg(hide = true, value_name = "TOKEN")]
    pub argument: Option<SecretString>,
}

impl Register {
    /// Enrols into the state folder of a connector's configuration.
    ///
    /// # Errors
    /// In words for the person who typed it, with the code of each fault.
    pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        state: &StateFolder,
        clock: &Clock,
        dial: impl AsyncFn(&Endpoint) -> io::Result<S>,
        out: &mut dyn Write,
        hints: &mut dyn Write,
    ) -> anyhow::Result<Registered> {
        let text = self.token(hints)?;
        let token = Token::parse(text.expose_secret());
        let token = token.map_err(|error| coded(error.code(), error))?;
        let name = host_name();
        let registration = Registration {
            state,
            token: &token,
            name: &name,
            replace: self.replace,
            clock,
        };
        let registered = register(registration, dial).await;
        let registered = registered.map_err(|error| match error.code() {
            Some(code) => coded(code, error),
            None => error.into(),
        })?;
        writeln!(
            out,
            "Registered as {} in group {}.",
            registered.id, registered.group
        )?;
        if let Some(skew) = &registered.skew {
            writeln!(hints, "Note: {skew}.")?;
        }
        Ok(registered)
    }

    fn token(&self, hints: &mut dyn Write) -> anyhow::Result<SecretString> {
        if self.argument.is_some() {
            let why = "the token must not stand on the command line: every user of this host can read it there, and the shell keeps it. Leave it out to be asked for it, pipe it in, or use --token-file or --token-env. Revoke this one if others use this host";
            return Err(coded("token_exposed", why));
        }
        let source = match (&self.token_file, &self.token_env) {
            (Some(file), _) => SecretSource::File(file.clone()),
            (None, Some(variable)) => SecretSource::Env(variable.clone()),
            (None, None) => {
                let asked = secret_from_standard_input("Enrolment token", hints);
                return asked.map_err(|error| coded("token_unreadable", format!("{error:#}")));
            }
        };
        let read = source.read();
        read.map_err(|error| coded("token_unreadable", error))
    }
}

/// A fault with its code, as findings show theirs.
fn coded(code: &str, why: impl Display) -> anyhow::Error {
    anyhow!("error [{code}] {why}")
}

/// What this host calls itself.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::CertificateDer;
    use tokio::io::{DuplexStream, duplex};
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::certs::PeerConnector;
    use crate::cli::token::{TokenCommand, TokenCreate};
    use crate::config::ConnectorCertificates;
    use crate::gateway::{Enrolment, Issuer, Memory, load_authorities};
    use crate::model::GroupName;
    use crate::store::Store;
    use crate::tunnel::late::Channel;
    use crate::tunnel::tls::GatewayTls;

    fn args() -> Register {
        Register {
            token_file: None,
            token_env: None,
            replace: false,
            config: PathBuf::new(),
            argument: None,
        }
    }

    #[tokio::test]
    async fn a_token_made_here_registers_a_connector_there() {
        let clock = Clock::system();
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        let public = vec![Endpoint::parse("gw1.example.com:443").unwrap()];
        let (mut token, mut hints) = (Vec::new(), Vec::new());
        let create = TokenCommand::Create(TokenCreate {
            group: GroupName::new("hq").unwrap(),
            ttl: std::time::Duration::from_secs(3600),
            uses: 1,
            config: PathBuf::new(),
        });
        let made = create.run(Arc::clone(&store), &public, &clock, &mut token, &mut hints);
        made.await.unwrap();

        let authorities = load_authorities(&*store, clock.now()).await.unwrap();
        let tls = GatewayTls::new(&authorities, clock.now()).unwrap();
        let issuer = Arc::new(Issuer::new(authorities, ConnectorCertificates::default()));
        let enrolment = Enrolment::new(issuer, Arc::clone(&store), public, clock.clone());
        let enrolment = Arc::new(enrolment);
        let dial = async |_: &Endpoint| -> io::Result<DuplexStream> {
            let (near, far) = duplex(64 * 1024);
            let (tls, enrolment) = (tls.enrol(), Arc::clone(&enrolment));
            tokio::spawn(async move {
                let stream = TlsAcceptor::from(tls).accept(near).await.unwrap();
                let channel = Channel::of(stream.get_ref().1).unwrap();
                let peer = ([192, 0, 2, 1], 1).into();
                enrolment.serve(stream, channel, peer).await;
            });
            Ok(far)
        };

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, &token).unwrap();
        let state = StateFolder::new(folder.path().join("state"));
        let args = Register {
            token_file: Some(file),
            ..args()
        };
        let (mut out, mut hints) = (Vec::new(), Vec::new());
        args.run(&state, &clock, &dial, &mut out, &mut hints)
            .await
            .unwrap();
        let connector = store.connectors().await.unwrap().remove(0);
        let out = String::from_utf8(out).unwrap();
        assert_eq!(
            out,
            format!("Registered as {} in group hq.\n", connector.id)
        );
        let identity = state.stored().unwrap();
        let leaf: &CertificateDer<'_> = &identity.credentials.chain[0];
        assert_eq!(
            PeerConnector::from_certificate(leaf).unwrap().id,
            connector.id
        );

        // The token is spent: a second connector gets nothing, and is told why.
        let second = StateFolder::new(folder.path().join("second"));
        let (mut out, mut hints) = (Vec::new(), Vec::new());
        let refused = args.run(&second, &clock, &dial, &mut out, &mut hints).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("has been used"), "{refused}");
        assert!(refused.starts_with("error [token_spent] "), "{refused}");
        assert!(out.is_empty());
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_had_is_refused_with_its_code() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::new(folder.path().join("state"));
        let clock = Clock::system();
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "\n").unwrap();
        let of_file = |file: PathBuf| Register {
            token_file: Some(file),
            ..args()
        };
        let of_env = Register {
            token_env: Some("APPPROXY_TEST_NO_SUCH_TOKEN".to_owned()),
            ..args()
        };
        for (args, code) in [
            (of_file(empty), "token_missing"),
            (of_file(folder.path().join("none")), "token_unreadable"),
            (of_env, "token_unreadable"),
        ] {
            let dial = async |_: &Endpoint| -> io::Result<DuplexStream> { panic!("dialled") };
            let (mut out, mut hints) = (Vec::new(), Vec::new());
            let refused = args.run(&state, &clock, dial, &mut out, &mut hints).await;
            let text = refused.unwrap_err().to_string();
            assert!(text.starts_with(&format!("error [{code}] ")), "{text}");
        }
    }

    #[tokio::test]
    async fn a_token_on_the_command_line_is_refused_and_not_repeated() {
        let args = Register {
            argument: Some("apx1_secret".into()),
            ..args()
        };
        assert!(!format!("{args:?}").contains("apx1_secret"));
        let state = StateFolder::new("unused");
        let dial = async |_: &Endpoint| -> io::Result<DuplexStream> { panic!("dialled") };
        let (mut out, mut hints) = (Vec::new(), Vec::new());
        let clock = Clock::system();
        let refused = args.run(&state, &clock, dial, &mut out, &mut hints);
        let text = refused.await.unwrap_err().to_string();
        assert!(
            text.starts_with("error [token_exposed] ")
                && text.contains("command line")
                && !text.contains("apx1_secret"),
            "{text}"
        );
    }
}
