//! Tries a provider as `check` does: what it says of itself, whether it knows this gateway, and whether it
//! would send people back here. Nobody signs in by it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::ExposeSecret as _;
use time::PrimitiveDateTime;
use time::macros::format_description;
use url::Url;

use super::Provider;
use super::client::{Answer, Sent};
use super::error::{Document, ProviderError};
use super::keys::Keys;
use super::known::{REDIRECT_URI, UNKNOWN_CLIENT, meaning};
use super::values::{Begin, SignInSecrets};

/// How a provider stood every step; `None` for a step that could not be made, since one before it failed.
#[derive(Debug)]
pub struct Probed {
    /// What it says of itself.
    pub metadata: Result<(), ProviderError>,
    /// Its keys.
    pub keys: Option<Result<(), ProviderError>>,
    /// Whether it takes the client ID with its secret or key.
    pub client: Option<Result<Told, ProviderError>>,
    /// Whether it takes the redirect URI.
    pub redirect: Option<Result<Told, ProviderError>>,
    /// How far its clock is ahead of this host's, in seconds; `None` where it does not tell the time.
    pub ahead: Option<i64>,
}

/// What an answer tells that is no refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Told {
    /// It is right.
    Right,
    /// Nothing: it refuses for another reason.
    Nothing,
}

impl Provider {
    /// Tries it. `redirect_uri` is the one that is registered there.
    pub async fn probe(&self, redirect_uri: &str) -> Probed {
        let (ahead, metadata) = tokio::join!(self.ahead(), self.metadata());
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(error) => {
                return Probed {
                    metadata: Err(error),
                    keys: None,
                    client: None,
                    redirect: None,
                    ahead,
                };
            }
        };
        let keys = async { Keys::fetch(&self.client, &metadata.keys).await.map(drop) };
        let (keys, client, redirect) = tokio::join!(
            keys,
            self.probe_client(redirect_uri),
            self.probe_redirect(redirect_uri)
        );
        Probed {
            metadata: Ok(()),
            keys: Some(keys),
            client: Some(client),
            redirect: Some(redirect),
            ahead,
        }
    }

    /// A code that nobody was given: who is not known by the proof is refused before it is looked at.
    async fn probe_client(&self, redirect_uri: &str) -> Result<Told, ProviderError> {
        let metadata = self.metadata().await?;
        let secrets = SignInSecrets::new().map_err(|_| ProviderError::Busy)?;
        let grant = [
            ("grant_type", "authorization_code"),
            ("code", "appproxy-check"),
            ("redirect_uri", redirect_uri),
            ("code_verifier", secrets.verifier.expose_secret()),
        ];
        match self.exchange(&metadata).tokens(&grant).await {
            Ok(_) | Err(ProviderError::InvalidGrant) => Ok(Told::Right),
            Err(ProviderError::Said(known)) if known.code == "request_refused" => Ok(Told::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Asks for the page at which people sign in.
    async fn probe_redirect(&self, redirect_uri: &str) -> Result<Told, ProviderError> {
        let secrets = SignInSecrets::new().map_err(|_| ProviderError::Busy)?;
        let begin = Begin {
            redirect_uri,
            state: "appproxy-check",
            secrets: &secrets,
            prompt: None,
            max_age: None,
            acr_values: &[],
            login_hint: None,
        };
        let url = self.begin(&begin).await?;
        let document = Document::Authorization;
        let answer = self
            .client
            .ask_for_any(document, &url, None, Sent::Nothing)
            .await?;
        judge(&answer, redirect_uri)
    }

    async fn ahead(&self) -> Option<i64> {
        let url = Url::parse(&self.config.issuer).ok()?;
        let answer = self
            .client
            .ask_for_any(Document::Metadata, &url, None, Sent::Nothing)
            .await
            .ok()?;
        let there = http_date(&answer.date?)?;
        Some(there - self.clock.now().0)
    }
}

/// Seconds since 1970, of a date as HTTP has it (RFC 9110 section 5.6.7).
fn http_date(text: &str) -> Option<i64> {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let read = PrimitiveDateTime::parse(text, form).ok()?;
    Some(read.assume_utc().unix_timestamp())
}

/// What the page for people says of the redirect URI. None of it is repeated.
fn judge(answer: &Answer, redirect_uri: &str) -> Result<Told, ProviderError> {
    let status = answer.status;
    if let (300..=399, Some(location)) = (status, &answer.location) {
        return judge_redirect(location, redirect_uri);
    }
    let page = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
    // Entra's pages are 200, whatever they say.
    if let Some(at) = page.find("aadsts") {
        let said = page
            .get(at..)
            .unwrap_or_default()
            .replacen("aadsts", "AADSTS", 1);
        let error = meaning("invalid_request", &said);
        return match &error {
            ProviderError::Said(known) if !known.of_person && known.code != "request_refused" => {
                Err(error)
            }
            _ => Ok(Told::Right),
        };
    }
    if status < 400 {
        return Ok(Told::Right);
    }
    let says = |words: &[&str]| words.iter().any(|word| page.contains(word));
    if says(&["redirect_uri", "redirect uri", "redirecturi"]) {
        Err(ProviderError::Said(REDIRECT_URI))
    } else if says(&[
        "client not found",
        "client is invalid",
        "invalid_client",
        "unknown client",
        "client_id",
    ]) {
        Err(ProviderError::Said(UNKNOWN_CLIENT))
    } else {
        Err(ProviderError::Status {
            document: Document::Authorization,
            status,
        })
    }
}

fn judge_redirect(location: &str, redirect_uri: &str) -> Result<Told, ProviderError> {
    let pairs = |url: &Url, name: &str| {
        let mut pairs = url.query_pairs();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    let Ok(url) = Url::parse(location) else {
        // A path of its own, such as its login page.
        return Ok(Told::Right);
    };
    if location.starts_with(redirect_uri) {
        // Back here: so the address is known.
        return match pairs(&url, "error") {
            None => Ok(Told::Right),
            Some(error) => match meaning(
                &error,
                &pairs(&url, "error_description").unwrap_or_default(),
            ) {
                ProviderError::Said(known) if known.of_person => Ok(Told::Right),
                error => Err(error),
            },
        };
    }
    // Google's page of errors.
    let packed = pairs(&url, "authError").and_then(|text| BASE64.decode(text).ok());
    let said = packed.map(|octets| String::from_utf8_lossy(&octets).into_owned());
    match said {
        Some(said) if said.contains("redirect_uri_mismatch") => {
            Err(ProviderError::Said(REDIRECT_URI))
        }
        Some(said) if said.contains("invalid_client") => Err(ProviderError::Said(UNKNOWN_CLIENT)),
        _ => Ok(Told::Right),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const HERE: &str = "https://login.example.com/.appproxy/callback";

    fn told(status: u16, location: Option<&str>, body: &str) -> Result<Told, &'static str> {
        let answer = Answer {
            status,
            media_type: "text/html".to_owned(),
            challenges: Vec::new(),
            location: location.map(str::to_owned),
            date: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        judge(&answer, HERE).map_err(|error| error.code())
    }

    #[test]
    fn what_the_page_for_people_says_is_understood() {
        let mismatch = Err("redirect_uri_mismatch");
        let google = BASE64.encode(b"\x08redirect_uri_mismatch\x12\x20You can't sign in");
        let google = format!("https://accounts.google.com/signin/oauth/error?authError={google}");
        let back = |query: &str| format!("{HERE}?{query}&state=appproxy-check");
        for (status, location, body, expected) in [
            (200, None, "<form action=login>", Ok(Told::Right)),
            (302, Some("/login?x=1"), "", Ok(Told::Right)),
            (
                303,
                Some("https://idp.example.com/login"),
                "",
                Ok(Told::Right),
            ),
            (200, None, "x AADSTS50011: The redirect URI 'y'", mismatch),
            (
                200,
                None,
                "x AADSTS700016: Application with",
                Err("client_unknown"),
            ),
            (200, None, "x AADSTS50058: silent sign-in", Ok(Told::Right)),
            (400, None, "redirect_uri did not match", mismatch),
            (400, None, "Invalid parameter: redirect_uri", mismatch),
            (400, None, "client is invalid", Err("client_unknown")),
            (400, None, "Client not found.", Err("client_unknown")),
            (500, None, "oops", Err("provider_status")),
            (
                302,
                Some(&back("error=login_required")),
                "",
                Ok(Told::Right),
            ),
            (
                302,
                Some(&back("error=invalid_scope")),
                "",
                Err("scope_refused"),
            ),
            (302, Some(&back("code=1")), "", Ok(Told::Right)),
            (302, Some(&google), "", mismatch),
        ] {
            assert_eq!(
                told(status, location, body),
                expected,
                "{status} {location:?} {body}"
            );
        }
    }

    #[test]
    fn the_date_of_an_answer_is_read() {
        assert_eq!(
            http_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
        for bad in ["", "yesterday", "Sunday, 06-Nov-94 08:49:37 GMT"] {
            assert_eq!(http_date(bad), None, "{bad}");
        }
    }
}
