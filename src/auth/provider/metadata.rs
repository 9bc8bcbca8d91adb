//! What a provider says of itself (OpenID Connect Discovery 1.0 section 3).

use serde_json::{Map, Value};
use url::Url;

use super::client::{Client, Sent};
use super::error::{Document, ProviderError};
use super::text::shown;
use crate::config::IdentityProvider;
use crate::model::provider_url;

/// What Entra's shared issuers have in a tenant's place in their metadata.
pub(super) const TENANT_ID: &str = "{tenantid}";

/// What is read of a provider's metadata.
#[derive(Debug)]
pub(super) struct Metadata {
    /// The issuer of its tokens; with [`TENANT_ID`] where several tenants share it.
    pub(super) issuer: String,
    pub(super) authorization: Url,
    pub(super) tokens: Url,
    pub(super) keys: Url,
    pub(super) userinfo: Option<Url>,
    pub(super) end_session: Option<Url>,
    /// Where programs without a browser begin (RFC 8628).
    pub(super) device: Option<Url>,
    /// Microsoft Graph, where this is Entra's.
    pub(super) graph: Option<Url>,
    /// How it lets us prove who we are; `None` where it does not say.
    pub(super) authentication: Option<Vec<String>>,
    /// It says in the callback who it is (RFC 9207).
    pub(super) names_itself: bool,
}

/// Where a provider describes itself: its issuer, whose `/` at the end is left out, and a fixed path.
pub(super) fn address(config: &IdentityProvider) -> Option<Url> {
    let base = config.issuer.trim_end_matches('/');
    Url::parse(&format!("{base}/.well-known/openid-configuration")).ok()
}

/// What the provider has to call itself.
fn own_name(config: &IdentityProvider) -> String {
    if config.tenants.is_empty() {
        return config.issuer.to_string();
    }
    let parts = config.issuer.split('/').map(|part| match part {
        "common" | "organizations" => TENANT_ID,
        other => other,
    });
    parts.collect::<Vec<_>>().join("/")
}

impl Metadata {
    pub(super) async fn fetch(
        client: &Client,
        config: &IdentityProvider,
    ) -> Result<Self, ProviderError> {
        let document = Document::Metadata;
        let unfit = |why| ProviderError::Answer { document, why };
        let url = address(config).ok_or_else(|| unfit("the issuer is no URL"))?;
        let answer = client.ask(document, &url, None, Sent::Nothing).await?;
        if answer.status != 200 {
            let status = answer.status;
            return Err(ProviderError::Status { document, status });
        }
        let said: Map<String, Value> =
            serde_json::from_slice(&answer.body).map_err(|_| unfit("it is no JSON object"))?;
        Self::read(&said, config)
    }

    fn read(said: &Map<String, Value>, config: &IdentityProvider) -> Result<Self, ProviderError> {
        let issuer = said.get("issuer").and_then(Value::as_str);
        let issuer = issuer.ok_or(ProviderError::Answer {
            document: Document::Metadata,
            why: "it has no `issuer`",
        })?;
        // To the letter: two that differ in a `/` may be two providers on one host.
        if issuer != own_name(config) {
            let said = shown(issuer);
            return Err(ProviderError::MetadataIssuer { said });
        }
        let plain = config.issuer.starts_with("http://");
        let endpoint = |name: &'static str| {
            let Some(text) = said.get(name).and_then(Value::as_str) else {
                return Ok(None);
            };
            let refused = |why: String| ProviderError::BadEndpoint { name, why };
            let url = provider_url(text).map_err(|error| refused(error.to_string()))?;
            // A provider elsewhere has no business on this machine.
            if url.scheme() == "http" && !plain {
                return Err(refused("it is not https, and the issuer is".to_owned()));
            }
            Ok(Some(url))
        };
        let required = |name| endpoint(name)?.ok_or(ProviderError::NoEndpoint { name });
        let words = |name: &str| {
            let list = said.get(name)?.as_array()?;
            let words = list.iter().filter_map(Value::as_str).map(str::to_owned);
            Some(words.collect::<Vec<_>>())
        };
        let graph = said.get("msgraph_host").and_then(Value::as_str);
        let scheme = if plain { "http" } else { "https" };
        let graph = graph.and_then(|host| provider_url(&format!("{scheme}://{host}/")).ok());
        Ok(Self {
            issuer: issuer.to_owned(),
            authorization: required("authorization_endpoint")?,
            tokens: required("token_endpoint")?,
            keys: required("jwks_uri")?,
            userinfo: endpoint("userinfo_endpoint")?,
            end_session: endpoint("end_session_endpoint")?,
            device: endpoint("device_authorization_endpoint")?,
            graph,
            authentication: words("token_endpoint_auth_methods_supported"),
            names_itself: said
                .get("authorization_response_iss_parameter_supported")
                .is_some_and(|value| *value == Value::Bool(true)),
        })
    }

    /// Whether an issuer is that of some tenant, where several share this one.
    pub(super) fn is_of_tenant(&self, issuer: &str) -> bool {
        let Some((before, after)) = self.issuer.split_once(TENANT_ID) else {
            return false;
        };
        let rest = issuer.strip_prefix(before);
        let tenant = rest.and_then(|rest| rest.strip_suffix(after));
        tenant.is_some_and(|tenant| !tenant.is_empty() && !tenant.contains('/'))
    }
}
