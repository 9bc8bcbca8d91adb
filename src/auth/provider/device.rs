//! An access token for a program at the command line: who gives tokens for an application (RFC 9728), and
//! a person who signs in for the program in any browser (RFC 8628).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::client::{Client, Sent};
use super::error::{Document, ProviderError};
use super::exchange;
use super::metadata::Metadata;
use super::text::is_harmful;
use crate::config::{AuthorityFile, IdentityProvider};
use crate::model::{Finding, provider_url};
use crate::net::{Dialler, Resolver};

/// What the grant is called.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Where an application says who gives tokens for it.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// From one question to the next, where the provider says nothing (RFC 8628 section 3.2).
const INTERVAL: Duration = Duration::from_secs(5);

/// Whatever the provider says.
const SHORTEST: Duration = Duration::from_secs(1);

/// How much longer it is where the provider is asked too often (section 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// How long a person may take at most.
const LONGEST: Duration = Duration::from_secs(3600);

/// What an application says of the tokens that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// What tokens are asked for (RFC 8707).
    pub resource: String,
    /// Who gives them.
    pub issuer: Arc<str>,
    /// The client for the command line, where the gateway knows one.
    pub client_id: Option<Arc<str>>,
    /// What to ask for.
    pub scopes: Vec<String>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum NoToken {
    /// The application, or the provider, cannot be asked, or says no.
    #[error("{0}")]
    Provider(#[from] ProviderError),
    /// It takes no access tokens.
    #[error(
        "nothing there takes access tokens: the answer has status {0}, and does not say who gives them"
    )]
    TakesNone(u16),
    /// It says who gives them in a place where it may not.
    #[error(
        "the answer names {0} as the place that says who gives tokens, and that is another origin"
    )]
    Elsewhere(String),
    /// What it says is of no use.
    #[error("what it says of its tokens cannot be used: {0}")]
    Unfit(&'static str),
    /// The provider has no such way.
    #[error(
        "the provider {0} does not let programs without a browser sign people in (it has no `device_authorization_endpoint`)"
    )]
    NoDevices(Arc<str>),
    /// The token is for somebody else.
    #[error(
        "the provider gave a token that is not for {0} (`aud`): whoever gets it could use it elsewhere"
    )]
    Audience(String),
    /// Nobody signed in in time.
    #[error("nobody signed in in time")]
    Late,
}

/// What the person is to do.
#[derive(Debug)]
pub struct DeviceCode {
    /// Where.
    pub verification_uri: String,
    /// What they type there.
    pub user_code: String,
    /// Where it is typed already.
    pub complete: Option<String>,
    /// How long they have.
    pub lives: Duration,
    secret: SecretString,
    interval: Duration,
}

/// One program's way to a token.
#[derive(Debug)]
pub struct DeviceFlow {
    config: IdentityProvider,
    client: Client,
}

fn client_of(
    issuer: &str,
    client_id: &str,
    extra_ca: Option<&AuthorityFile>,
) -> Result<DeviceFlow, Vec<Finding>> {
    let config = IdentityProvider::of_program(issuer.into(), client_id.into(), extra_ca.cloned());
    let config = config.ok_or_else(Vec::new)?;
    let proxy = config.proxy(|name| std::env::var(name).ok())?;
    let dialler = Dialler::new(Resolver::new(&[], BTreeMap::new())).through(proxy);
    let client = Client::new(&config, dialler)?;
    Ok(DeviceFlow { config, client })
}

impl Resource {
    /// Asks the application at `url`.
    ///
    /// # Errors
    /// Where `extra_ca` or a proxy of the environment cannot be used; within it, where it does not say who
    /// gives tokens for it.
    pub async fn of(
        url: &Url,
        extra_ca: Option<&AuthorityFile>,
    ) -> Result<Result<Self, NoToken>, Vec<Finding>> {
        let flow = client_of(url.as_str(), "", extra_ca)?;
        Ok(Self::ask(&flow.client, url).await)
    }

    async fn ask(client: &Client, url: &Url) -> Result<Self, NoToken> {
        let document = Document::Resource;
        let answer = client.ask(document, url, None, Sent::Nothing).await;
        let at = match answer {
            Ok(answer) => {
                let named = answer.challenges.iter().find_map(|one| metadata_of(one));
                named.ok_or(NoToken::TakesNone(answer.status))?
            }
            // It leads elsewhere, to sign in perhaps, and programs ask in the usual place.
            Err(ProviderError::Redirected { .. }) => {
                let origin = url.origin().ascii_serialization();
                format!("{origin}{WELL_KNOWN}")
            }
            Err(error) => return Err(error.into()),
        };
        let metadata = Url::parse(&at).ok();
        let metadata = metadata.filter(|at| at.origin() == url.origin());
        let metadata = metadata.ok_or_else(|| NoToken::Elsewhere(at.clone()))?;
        let answer = client.ask(document, &metadata, None, Sent::Nothing).await?;
        if answer.status != 200 {
            return Err(NoToken::TakesNone(answer.status));
        }
        let said: Map<String, Value> = serde_json::from_slice(&answer.body)
            .map_err(|_| NoToken::Unfit("it is no JSON object"))?;
        Self::read(&said, (url, &metadata))
    }

    fn read(said: &Map<String, Value>, (url, at): (&Url, &Url)) -> Result<Self, NoToken> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let words = |value: Option<&Value>| {
            let all = value.and_then(Value::as_array).into_iter().flatten();
            all.filter_map(|one| text(Some(one))).collect::<Vec<_>>()
        };
        let resource = text(said.get("resource"));
        let resource = resource.ok_or(NoToken::Unfit("it has no `resource`"))?;
        if !is_about(&resource, url, at) {
            return Err(NoToken::Unfit(
                "it is about another address than the one that was asked",
            ));
        }
        let login = said.get("appproxy_login");
        let of_login = |name: &str| login.and_then(|login| login.get(name));
        let issuer = text(of_login("issuer"));
        let issuer = issuer.or_else(|| words(said.get("authorization_servers")).into_iter().next());
        let issuer = issuer.ok_or(NoToken::Unfit("it names no `authorization_servers`"))?;
        let plain = |c: char| c.is_ascii_graphic();
        if provider_url(&issuer).is_err() || !issuer.chars().all(plain) {
            return Err(NoToken::Unfit(
                "it names a provider that is no https address",
            ));
        }
        Ok(Self {
            resource,
            issuer: issuer.into(),
            client_id: text(of_login("client_id")).map(Into::into),
            scopes: match login {
                Some(_) => words(of_login("scopes")),
                None => words(said.get("scopes_supported")),
            },
        })
    }
}

/// Whether metadata at `at` may speak for a resource, and that is what was asked for (RFC 9728 section
/// 3.3). SECURITY: or an application has tokens for another one made out for itself, on its own host or
/// elsewhere.
fn is_about(resource: &str, url: &Url, at: &Url) -> bool {
    let Ok(resource) = provider_url(resource) else {
        return false;
    };
    let path = resource.path().trim_end_matches('/');
    let place = at.path().trim_end_matches('/');
    let rest = url.path().strip_prefix(path);
    resource.origin() == url.origin()
        && at.origin() == url.origin()
        && place.strip_prefix(WELL_KNOWN) == Some(path)
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a token says that it is for `resource`. SECURITY: many providers go by the
/// scopes that they are asked for, which the application named.
fn is_for(token: &str, resource: &str) -> bool {
    let bare = |text: &str| text.trim_end_matches('/').to_owned();
    let claims = token.split('.').nth(1).unwrap_or_default();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap_or_default();
    let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
    let all = match claims.get("aud") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    !all.is_empty() && all.iter().any(|one| bare(one) == bare(resource))
}

/// Where a challenge says that it is said who gives tokens (RFC 9728 section 5.1).
fn metadata_of(challenge: &str) -> Option<String> {
    let (_, rest) = challenge.split_once("resource_metadata=\"")?;
    rest.split_once('"').map(|(at, _)| at.to_owned())
}

impl DeviceFlow {
    /// For the client that the provider knows as `client_id`.
    ///
    /// # Errors
    /// Where `extra_ca` or a proxy of the environment cannot be used.
    pub fn new(
        issuer: &str,
        client_id: &str,
        extra_ca: Option<&AuthorityFile>,
    ) -> Result<Self, Vec<Finding>> {
        client_of(issuer, client_id, extra_ca)
    }

    /// Begins (RFC 8628 section 3.1). `resource` is what the token is to be for, and `audience` what the
    /// provider calls that, where it is something else.
    ///
    /// # Errors
    /// Where the provider cannot be asked, or does not know this way.
    pub async fn begin(
        &self,
        scopes: &[String],
        resource: &str,
        audience: Option<&str>,
    ) -> Result<(DeviceCode, Started<'_>), NoToken> {
        let metadata = Metadata::fetch(&self.client, &self.config).await?;
        let Some(device) = &metadata.device else {
            return Err(NoToken::NoDevices(Arc::clone(&self.config.issuer)));
        };
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("client_id", &self.config.client_id)
            .append_pair("resource", resource);
        if !scopes.is_empty() {
            form.append_pair("scope", &scopes.join(" "));
        }
        let form = Sent::Form(Zeroizing::new(form.finish()));
        let document = Document::Device;
        let answer = self.client.ask(document, device, None, form).await?;
        let said: Map<String, Value> =
            serde_json::from_slice(&answer.body).map_err(|_| ProviderError::Answer {
                document,
                why: "it is no JSON object",
            })?;
        if let Some(error) = said.get("error").and_then(Value::as_str) {
            let description = said.get("error_description").and_then(Value::as_str);
            return Err(super::known::meaning(error, description.unwrap_or_default()).into());
        }
        let started = Started {
            flow: self,
            metadata,
            resource: resource.to_owned(),
            audience: audience.map(str::to_owned),
        };
        Ok((DeviceCode::read(&said)?, started))
    }
}

impl DeviceCode {
    fn read(said: &Map<String, Value>) -> Result<Self, ProviderError> {
        let unfit = |why| ProviderError::Answer {
            document: Document::Device,
            why,
        };
        // It is printed to a terminal.
        let text = |name: &str| {
            let text = said.get(name).and_then(Value::as_str)?;
            (!text.is_empty() && !text.contains(is_harmful)).then(|| text.to_owned())
        };
        let seconds = |name: &str| {
            said.get(name)
                .and_then(Value::as_u64)
                .map(Duration::from_secs)
        };
        // SECURITY: it is printed for somebody to open.
        let web = |name: &str| text(name).filter(|text| provider_url(text).is_ok());
        // Google and others wrote `verification_url` for long.
        let uri = web("verification_uri").or_else(|| web("verification_url"));
        Ok(Self {
            verification_uri: uri.ok_or_else(|| unfit("it has no `verification_uri`"))?,
            user_code: text("user_code").ok_or_else(|| unfit("it has no `user_code`"))?,
            complete: web("verification_uri_complete"),
            secret: text("device_code")
                .ok_or_else(|| unfit("it has no `device_code`"))?
                .into(),
            lives: seconds("expires_in").unwrap_or(LONGEST).min(LONGEST),
            interval: seconds("interval")
                .unwrap_or(INTERVAL)
                .clamp(SHORTEST, LONGEST),
        })
    }
}

/// A person is on the way to the provider.
#[derive(Debug)]
pub struct Started<'a> {
    flow: &'a DeviceFlow,
    metadata: Metadata,
    resource: String,
    /// For whom the token has to be, where that is another name of the resource.
    audience: Option<String>,
}

impl Started<'_> {
    /// Waits until the person has signed in (RFC 8628 sections 3.4 and 3.5).
    ///
    /// # Errors
    /// Where they do not, or the provider says no.
    pub async fn token(&self, code: &DeviceCode) -> Result<SecretString, NoToken> {
        let end = Instant::now() + code.lives;
        let mut interval = code.interval;
        loop {
            if Instant::now() + interval > end {
                return Err(NoToken::Late);
            }
            sleep(interval).await;
            // In a scope of its own: it cannot wait in a task with an answer.
            let form = {
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.append_pair("grant_type", GRANT)
                    .append_pair("device_code", code.secret.expose_secret())
                    .append_pair("client_id", &self.flow.config.client_id)
                    .append_pair("resource", &self.resource);
                Sent::Form(Zeroizing::new(form.finish()))
            };
            let client = &self.flow.client;
            let answer = client.ask(Document::Tokens, &self.metadata.tokens, None, form);
            let answer = match answer.await {
                Ok(answer) => answer,
                // Section 3.5: less often, and not at all only when the time is over.
                Err(ProviderError::Timeout { .. } | ProviderError::Unreachable { .. }) => {
                    interval = (interval * 2).min(LONGEST);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match refusal(&answer.body).as_deref() {
                Some("authorization_pending") => {}
                Some("slow_down") => interval += SLOWER,
                Some("expired_token") => return Err(NoToken::Late),
                _ => {
                    let tokens = exchange::tokens(&answer)?;
                    let token = tokens.access_token.ok_or(ProviderError::NoAccessToken)?;
                    // RFC 6750 section 2.1; it is printed.
                    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
                    if !token.expose_secret().bytes().all(plain) {
                        return Err(NoToken::Unfit("its token has characters that no token has"));
                    }
                    let said = self.audience.as_deref().unwrap_or(&self.resource);
                    if !is_for(token.expose_secret(), said) {
                        return Err(NoToken::Audience(said.to_owned()));
                    }
                    return Ok(token);
                }
            }
        }
    }
}

fn refusal(body: &[u8]) -> Option<String> {
    let said: Map<String, Value> = serde_json::from_slice(body).ok()?;
    said.get("error")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(said: &Value, url: &str) -> Result<Resource, String> {
        let url = Url::parse(url).unwrap();
        let path = said["resource"]
            .as_str()
            .and_then(|one| Url::parse(one).ok());
        let path = path.map_or(String::new(), |one| {
            one.path().trim_end_matches('/').to_owned()
        });
        let at = url.join(&format!("{WELL_KNOWN}{path}")).unwrap();
        let url = (&url, &at);
        Resource::read(said.as_object().unwrap(), url).map_err(|error| error.to_string())
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn what_an_application_says_of_its_tokens_is_about_itself() {
        let said = |resource: &str| {
            json!({
                "resource": resource, "authorization_servers": ["https://sso.example.com/", "https://b.example/"],
                "scopes_supported": ["read", "write"],
            })
        };
        for (resource, url, good) in [
            ("https://api.example.com", "https://api.example.com/", true),
            (
                "https://api.example.com",
                "https://api.example.com/x?y",
                true,
            ),
            (
                "https://api.example.com/",
                "https://api.example.com/x",
                true,
            ),
            (
                "https://api.example.com/wiki",
                "https://api.example.com/wiki",
                true,
            ),
            (
                "https://api.example.com/wiki",
                "https://api.example.com/wiki?x",
                true,
            ),
            (
                "https://api.example.com/wiki",
                "https://api.example.com/wikis",
                false,
            ),
            (
                "https://api.example.com",
                "https://api.example.com.evil.example/",
                false,
            ),
            ("https://bank.example.com", "https://evil.example/", false),
            ("", "https://evil.example/", false),
            ("https:", "https://evil.example/", false),
            ("https://", "https://evil.example/", false),
            ("http://api.example.com", "https://api.example.com/", false),
            (
                "https://api.example.com:444",
                "https://api.example.com/",
                false,
            ),
        ] {
            assert_eq!(read(&said(resource), url).is_ok(), good, "{resource} {url}");
        }
        // An application below a path does not speak for the whole host.
        let at = |path: &str| Url::parse(&format!("https://host.example{path}")).unwrap();
        let asked = at("/evil/");
        for (place, resource, good) in [
            (
                "/.well-known/oauth-protected-resource/evil",
                "https://host.example/evil/",
                true,
            ),
            (
                "/.well-known/oauth-protected-resource",
                "https://host.example",
                true,
            ),
            ("/evil/metadata", "https://host.example", false),
            (
                "/evil/.well-known/oauth-protected-resource",
                "https://host.example",
                false,
            ),
            (
                "/.well-known/oauth-protected-resource/evil",
                "https://host.example",
                false,
            ),
            (
                "/.well-known/oauth-protected-resource",
                "https://host.example/evil",
                false,
            ),
        ] {
            assert_eq!(
                is_about(resource, &asked, &at(place)),
                good,
                "{place} {resource}"
            );
        }
        let token = |aud: Value| {
            let claims = json!({ "aud": aud }).to_string();
            format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims))
        };
        for (aud, good) in [
            (json!("https://api.example.com"), true),
            (json!(["other", "https://api.example.com/"]), true),
            (json!("https://graph.microsoft.com"), false),
            (json!([]), false),
            (json!(null), false),
        ] {
            let is_for = is_for(&token(aud.clone()), "https://api.example.com");
            assert_eq!(is_for, good, "{aud}");
        }
        assert!(!is_for("opaque", "https://api.example.com"));
        let url = "https://api.example.com/";
        let whole = read(&said("https://api.example.com"), url).unwrap();
        assert_eq!(&*whole.issuer, "https://sso.example.com/");
        assert_eq!((whole.client_id, whole.scopes.len()), (None, 2));
        let mut with = said("https://api.example.com");
        with["appproxy_login"] =
            json!({"issuer": "https://b.example/", "client_id": "cli", "scopes": ["api://x/read"]});
        let with = read(&with, url).unwrap();
        assert_eq!(&*with.issuer, "https://b.example/");
        assert_eq!(with.client_id.as_deref(), Some("cli"));
        assert_eq!(with.scopes, ["api://x/read"]);
        for (twist, expected) in [
            (json!({"resource": null}), "no `resource`"),
            (
                json!({"authorization_servers": []}),
                "no `authorization_servers`",
            ),
            (
                json!({"authorization_servers": ["http://sso.example.com/"]}),
                "no https address",
            ),
            (
                json!({"authorization_servers": ["javascript:x"]}),
                "no https address",
            ),
        ] {
            let mut said = said("https://api.example.com");
            let (name, value) = twist.as_object().unwrap().iter().next().unwrap();
            said[name] = value.clone();
            let error = read(&said, url).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_code_is_read_and_nothing_in_it_moves_the_terminal() {
        let read = |said: &Value| DeviceCode::read(said.as_object().unwrap());
        let good = json!({
            "device_code": "secret-hunter2", "user_code": "AB-12", "expires_in": 600,
            "verification_uri": "https://sso.example.com/device",
        });
        let code = read(&good).unwrap();
        assert_eq!(
            (code.lives, code.interval),
            (Duration::from_secs(600), INTERVAL)
        );
        assert!(!format!("{code:?}").contains("hunter2"));
        for (name, value) in [
            ("user_code", json!("A\u{1b}[2J")),
            ("user_code", json!("")),
            ("verification_uri", json!("https://x/\u{202e}")),
            ("verification_uri", json!(null)),
            ("device_code", json!(7)),
        ] {
            let mut bad = good.clone();
            bad[name] = value;
            assert!(read(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_challenge_names_the_place() {
        for (challenge, expected) in [
            (
                "Bearer resource_metadata=\"https://a/x\"",
                Some("https://a/x"),
            ),
            (
                "Bearer error=\"invalid_token\", resource_metadata=\"https://a/x\", a=b",
                Some("https://a/x"),
            ),
            ("Basic realm=\"x\"", None),
            ("Bearer resource_metadata=\"https://a", None),
        ] {
            assert_eq!(metadata_of(challenge).as_deref(), expected, "{challenge}");
        }
    }
}
