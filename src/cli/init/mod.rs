//! `appproxy gateway init`: asks what only the operator knows, and writes the gateway's file.
//!
//! | step | file |
//! |---|---|
//! | question → answer, from a flag or a person | `ask` |
//! | which questions, in order | `flow`, `certificate`, `questions` |
//! | answer → value, by the configuration's own readers | `answers` |
//! | a certificate → what is wrong with it, by the judges of `certs` | `leaf` |
//! | the client secret, and what is no name for its file | `secret` |
//! | values → the file's text | `text` |
//! | values → what is left to do | `next` |
//! | a certificate to try with | `trial` |
//! | all files, or none | `files` |

mod answers;
mod ask;
mod certificate;
mod files;
mod flow;
mod leaf;
mod next;
mod questions;
mod secret;
#[cfg(test)]
mod tests;
mod text;
mod trial;

use std::any::Any;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::Exit;
use crate::clock::Clock;
use crate::config::{GATEWAY_FILE, GatewayConfig};
use crate::gateway::CALLBACK_PATH;
use answers::{Answers, Certificate, SignIn};
use ask::Console;
use files::NewFile;
use next::Situation;

const CONFIG_FOLDER: &str = "/etc/appproxy";

/// The gateway's service, as a package or somebody by hand brings it.
const SERVICES: [&str; 2] = [
    "/usr/lib/systemd/system/appproxy-gateway.service",
    "/etc/systemd/system/appproxy-gateway.service",
];

/// Write a first configuration, and say what is left to do
///
/// Asks for what only you can know; each question has a flag that answers it beforehand. Nothing is
/// written before everything is answered and the configuration's own checks accept it.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Init {
    /// The domain that applications are published under
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Where connectors reach this gateway, as host:port; gw.DOMAIN:443 where nothing is said
    #[arg(long, value_name = "HOST:PORT")]
    public: Option<String>,
    /// The certificate of the hosts that people open: a PFX, or a PEM chain
    #[arg(long, value_name = "FILE", conflicts_with = "self_signed")]
    certificate: Option<String>,
    /// The private key of a PEM chain, where it is in a file of its own
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<String>,
    /// A file that holds the password of a PFX
    #[arg(long, value_name = "FILE", requires = "certificate")]
    password_file: Option<String>,
    /// Write a certificate to try with, signed by nobody else, for 90 days
    #[arg(long)]
    self_signed: bool,
    /// The identity provider: entra, google, okta, keycloak, an issuer's URL, or none, and nobody signs in
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Entra's tenant (directory) ID
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// The identity provider's issuer
    #[arg(long, value_name = "URL", conflicts_with = "tenant")]
    issuer: Option<String>,
    /// What the provider knows this gateway as
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The file of the client secret; oidc.secret beside the configuration where nothing is said
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<String>,
    /// Where people sign in; login.DOMAIN where nothing is said
    #[arg(long, value_name = "HOST")]
    sign_in: Option<String>,
    /// Who may: everybody, group:NAME or email:ADDRESS; may be repeated
    #[arg(long, value_name = "WHO")]
    allow: Vec<String>,
    /// Without a provider: the networks that may come in, with commas between; private ones where nothing is
    /// said
    #[arg(long, value_name = "NETWORKS")]
    networks: Option<String>,
    /// The first application, as name=internal URL, such as `wiki=http://wiki.corp.local:8080/`
    #[arg(long, value_name = "NAME=URL")]
    app: Option<String>,
    /// Where people open the application; NAME.DOMAIN where nothing is said
    #[arg(long, value_name = "HOST")]
    external: Option<String>,
    /// The configuration to write
    #[arg(long, value_name = "FILE", default_value = GATEWAY_FILE)]
    config: PathBuf,
    /// Ask nothing: defaults hold, and what has none and is missing is an error
    #[arg(long)]
    yes: bool,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// Secrets that were typed, with the files that they go to.
type Secrets = Vec<(PathBuf, SecretString)>;

impl Init {
    /// Asks, writes, and says what is left to do. `hush` turns the echo of the terminal that `input`
    /// is off for as long as what it returns lives.
    pub(super) fn run(
        &self,
        input: &mut dyn BufRead,
        output: &mut dyn Write,
        hush: &dyn Fn() -> io::Result<Box<dyn Any>>,
        clock: &Clock,
    ) -> Result<(), Exit> {
        let refuse = |why: String| Exit::Refused(format!("appproxy: {why}"));
        let named = self.config.to_str();
        let file = named.ok_or_else(|| "the name of --config is not UTF-8".to_owned());
        let file = file.and_then(answers::path).map_err(refuse)?;
        if !self.force && files::is_there(&file) {
            return Err(refuse(files::exists(&file)));
        }
        let missing = if self.yes { self.missing() } else { Vec::new() };
        if !missing.is_empty() {
            let missing = missing.join("; ");
            return Err(refuse(format!(
                "--yes asks nothing, and this is missing: {missing}"
            )));
        }
        let mut console = Console {
            input,
            output,
            hush,
            silent: self.yes,
        };
        let (answers, secrets) = self
            .answers(&mut console, file, clock.now())
            .map_err(refuse)?;
        let text = text::text(&answers);
        // What answers make together: such as a host that has two uses.
        GatewayConfig::from_text(&answers.file, &text).map_err(Exit::Findings)?;
        let files = new_files(&answers, text, secrets, clock).map_err(Exit::Failed)?;
        files::write(&files, self.force).map_err(Exit::Failed)?;
        let situation = Situation {
            service: SERVICES.iter().any(|unit| Path::new(unit).exists()),
            written: files.into_iter().rev().map(|file| file.path).collect(),
            has_secret: answers
                .sign_in()
                .is_some_and(|sign_in| files::is_there(&sign_in.client_secret)),
        };
        let next = next::next(&answers, &situation);
        console.say(&format!("\n{next}")).map_err(Exit::Failed)
    }
}

/// What is to be written, the configuration last: where it is, everything is.
fn new_files(
    answers: &Answers,
    text: String,
    secrets: Secrets,
    clock: &Clock,
) -> Result<Vec<NewFile>, String> {
    let mut files = Vec::new();
    for (path, secret) in secrets {
        let content = Zeroizing::new(format!("{}\n", secret.expose_secret()));
        files.push(NewFile {
            path,
            content,
            is_secret: true,
        });
    }
    if let Certificate::Trial { chain, key } = &answers.certificate {
        let trial = trial::trial(trial::names(answers), clock.now())?;
        let of = |path: &PathBuf, content, is_secret| NewFile {
            path: path.clone(),
            content,
            is_secret,
        };
        files.push(of(key, trial.key, true));
        files.push(of(chain, Zeroizing::new(trial.chain), false));
    }
    files.push(NewFile {
        path: answers.file.clone(),
        content: Zeroizing::new(text),
        is_secret: false,
    });
    Ok(files)
}

/// Where the provider sends people back to.
fn callback(answers: &Answers, sign_in: &SignIn) -> String {
    let authority = answers.authority(&sign_in.host);
    format!("https://{authority}{CALLBACK_PATH}")
}
