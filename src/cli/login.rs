//! `appproxy login`: an access token for a program, by a person who signs in in any browser.

use std::io::Write as _;
use std::path::PathBuf;

use secrecy::ExposeSecret as _;
use url::Url;

use super::Exit;
use crate::auth::provider::{DeviceFlow, NoToken, Resource};
use crate::config::AuthorityFile;
use crate::model::{Place, provider_url};
use crate::telemetry::printable;

/// `appproxy login`.
///
/// Finds out who gives tokens for the application (RFC 9728), has a person sign in there in any browser
/// (RFC 8628), and prints the token and nothing else, for `curl -H "Authorization: Bearer $(…)"`.
#[derive(Debug, clap::Args)]
pub(super) struct Login {
    /// An address of the application
    #[arg(value_name = "URL")]
    url: String,
    /// What the identity provider knows the command line as, where the gateway does not say
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// What the token is to be good for, where the gateway does not say; may be repeated
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Whom the token is to be for (`aud`), where the provider calls the application something else than its
    /// address, such as `api://wiki`
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
    /// Authorities to trust beside the system's, PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// The longest part of what the application says that is shown.
const SHOWN: usize = 200;

pub(super) fn run(args: &Login) -> Result<(), Exit> {
    super::runtime(None)?.block_on(login(args))
}

async fn login(args: &Login) -> Result<(), Exit> {
    let url = provider_url(&args.url).map_err(|error| {
        Exit::failed(format!(
            "`{}` is no address of an application: {error}",
            args.url
        ))
    })?;
    let ca = args.ca.as_ref().map(|file| AuthorityFile {
        file: file.clone(),
        place: Place {
            file: file.clone(),
            ..Place::default()
        },
    });
    let asked = Resource::of(&url, ca.as_ref()).await;
    let resource = asked
        .map_err(Exit::Findings)?
        .map_err(|error| failed(&url, &error))?;
    let Some(client_id) = args.client_id.as_deref().or(resource.client_id.as_deref()) else {
        return Err(Exit::failed(format!(
            "the client ID of the command line at {} is not known: write it as --client-id, or have the \
             gateway's operator write `bearer: {{ login: {{ client_id: … }} }}` for the application",
            resource.issuer
        )));
    };
    let scopes = match args.scopes.is_empty() {
        true => &resource.scopes,
        false => &args.scopes,
    };
    let flow = DeviceFlow::new(&resource.issuer, client_id, ca.as_ref());
    let flow = flow.map_err(Exit::Findings)?;
    let refused = |error: &NoToken| failed(&url, error);
    let begun = flow
        .begin(scopes, &resource.resource, args.audience.as_deref())
        .await;
    let (code, started) = begun.map_err(|error| refused(&error))?;
    let mut hints = std::io::stderr();
    let _ = writeln!(
        hints,
        "A token for {}, by the client {} with the scopes {}.",
        printable(&resource.resource, SHOWN),
        printable(client_id, SHOWN),
        match scopes.is_empty() {
            true => "that it has by itself".to_owned(),
            false => printable(&scopes.join(" "), SHOWN),
        }
    );
    let _ = writeln!(
        hints,
        "Open {} in a browser and enter the code {} (by {}), within {} minutes.",
        code.verification_uri,
        code.user_code,
        resource.issuer,
        code.lives.as_secs().div_ceil(60)
    );
    if let Some(complete) = &code.complete {
        let _ = writeln!(hints, "Or open {complete}, where it is entered already.");
    }
    let token = started
        .token(&code)
        .await
        .map_err(|error| refused(&error))?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", token.expose_secret())
        .and_then(|()| out.flush())
        .map_err(|error| Exit::failed(format!("the token cannot be printed: {error}")))
}

fn failed(url: &Url, error: &NoToken) -> Exit {
    let remedy = match error {
        NoToken::Provider(error) => match error.code() {
            "provider_tls" => "\n  see whether the address begins with the scheme and port that the server \
                               speaks TLS on; an authority of your own is named by --ca"
                .to_owned(),
            "provider_unreachable" | "provider_timeout" => "\n  check the address; HTTPS_PROXY of the \
                                                            environment counts, and NO_PROXY"
                .to_owned(),
            _ => format!("\n  {}", error.remedy()),
        },
        NoToken::TakesNone(_) => {
            "\n  write an address of an application whose `pre_authentication` has \
                                  `bearer`"
                .to_owned()
        }
        NoToken::Late => "\n  run it again".to_owned(),
        NoToken::Audience(_) => "\n  have the provider give tokens for that address; where it calls the \
                                 application something else, such as api://wiki, write that as --audience"
            .to_owned(),
        _ => String::new(),
    };
    Exit::failed(format!("there is no token for {url}: {error}{remedy}"))
}
