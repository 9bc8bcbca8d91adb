//! What is said about an identity provider: plain values of its configuration.

use std::sync::Arc;

use url::{Host, Url};

/// A make of identity provider whose ways are known. What a preset fixes is decided where tokens are
/// read, in `auth::provider`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Preset {
    /// Microsoft Entra ID.
    Entra,
    /// Google, and Google Workspace.
    Google,
    /// Okta.
    Okta,
    /// Keycloak.
    Keycloak,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Entra, Self::Google, Self::Okta, Self::Keycloak];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Entra => "entra",
            Self::Google => "google",
            Self::Okta => "okta",
            Self::Keycloak => "keycloak",
        }
    }

    /// What people know it as.
    #[must_use]
    pub const fn display_name(self) -> &'static str {
        match self {
            Self::Entra => "Microsoft",
            Self::Google => "Google",
            Self::Okta => "Okta",
            Self::Keycloak => "Keycloak",
        }
    }

    /// The scopes that are asked for where none are written.
    #[must_use]
    pub const fn scopes(self) -> &'static [&'static str] {
        match self {
            // `offline_access` alone brings a refresh token; `User.Read`, which every registration has
            // at first, lets the person's groups be asked for where they do not fit into the token.
            Self::Entra => &["openid", "email", "profile", "offline_access", "User.Read"],
            Self::Okta => &["openid", "email", "profile", "groups"],
            // Google refuses `offline_access`; Keycloak gives a refresh token unasked.
            Self::Google | Self::Keycloak => USUAL_SCOPES,
        }
    }
}

/// The scopes that are asked for where none are written and no preset says otherwise.
pub const USUAL_SCOPES: &[&str] = &["openid", "email", "profile"];

/// An algorithm that a provider may sign tokens with (RFC 7518 section 3.1, RFC 8037). There is no
/// `none` and nothing with a shared secret: a public key could be passed off as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SigningAlgorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    Rs256,
    /// RSA, PKCS #1 v1.5, SHA-384.
    Rs384,
    /// RSA, PKCS #1 v1.5, SHA-512.
    Rs512,
    /// RSA, PSS, SHA-256.
    Ps256,
    /// RSA, PSS, SHA-384.
    Ps384,
    /// RSA, PSS, SHA-512.
    Ps512,
    /// ECDSA on P-256, SHA-256.
    Es256,
    /// ECDSA on P-384, SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl SigningAlgorithm {
    /// All of them, which is also what is allowed where nothing is written.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Its name in a token's header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of a name; `None` where the name is another, in another case too.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        // RFC 9864 section 2.2 names the curve in place of the family.
        if name == "Ed25519" {
            return Some(Self::EdDsa);
        }
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }
}

/// What the claims are called that say something of a person. A name with dots that no claim has leads
/// into objects: `realm_access.roles`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// The groups.
    pub groups: Arc<str>,
    /// The e-mail address.
    pub email: Arc<str>,
    /// The name for display.
    pub name: Arc<str>,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            groups: "groups".into(),
            email: "email".into(),
            name: "name".into(),
        }
    }
}

/// When the provider is asked for what the ID token does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserinfoUse {
    /// Where a claim that is read is missing in the token.
    #[default]
    Auto,
    /// At each sign-in.
    Always,
    /// Never.
    Never,
}

/// What the provider is to do with somebody who is signed in there already (OpenID Connect Core 1.0
/// section 3.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// Ask for the password again.
    Login,
    /// Ask for consent again.
    Consent,
    /// Ask which account it shall be.
    SelectAccount,
    /// Ask nothing; answer with an error where that is not possible.
    None,
}

impl Prompt {
    /// As it is sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Consent => "consent",
            Self::SelectAccount => "select_account",
            Self::None => "none",
        }
    }
}

/// Why a URL is none of an identity provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderUrlError {
    /// Not a URL at all.
    #[error("it is not a URL")]
    Syntax,
    /// Another scheme, or http where it is not permitted.
    #[error(
        "it does not begin with https://; http:// is for this machine alone: `localhost`, a name below it, or a loopback address"
    )]
    Scheme,
    /// A user name, password or fragment.
    #[error("it has a {0}")]
    Part(&'static str),
}

/// Reads the URL of a provider or of one of its endpoints: https, or http to this machine, where nobody
/// listens in (tests, the demo).
///
/// # Errors
/// Where it is another URL, or none.
pub fn provider_url(text: &str) -> Result<Url, ProviderUrlError> {
    // The parser drops these unseen, or takes them for something else.
    if text.contains(|c: char| c.is_control() || c == ' ' || c == '\\') {
        return Err(ProviderUrlError::Syntax);
    }
    let url = Url::parse(text).map_err(|_| ProviderUrlError::Syntax)?;
    let own = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(ProviderUrlError::Syntax),
    };
    match url.scheme() {
        "https" => {}
        "http" if own => {}
        _ => return Err(ProviderUrlError::Scheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ProviderUrlError::Part("user name"));
    }
    if url.fragment().is_some() {
        return Err(ProviderUrlError::Part("fragment"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_tls() {
        for good in [
            "https://login.example.com",
            "https://login.example.com:8443/a/b?c=d",
            "http://localhost:9000/",
            "http://idp.localhost/realms/x",
            "http://127.0.0.1:1/",
            "http://127.9.9.9/",
            "http://[::1]:9/",
        ] {
            assert!(provider_url(good).is_ok(), "{good}");
        }
        use ProviderUrlError::{Part, Scheme, Syntax};
        for (bad, why) in [
            ("login.example.com", Syntax),
            ("", Syntax),
            ("https://", Syntax),
            ("https://a b/", Syntax),
            ("https://a.example\\@b.example/", Syntax),
            ("https://a.example/\r\n", Syntax),
            ("http://login.example.com/", Scheme),
            ("http://localhost.example.com/", Scheme),
            ("http://xlocalhost/", Scheme),
            ("http://10.0.0.1/", Scheme),
            ("http://[::ffff:10.0.0.1]/", Scheme),
            ("ftp://localhost/", Scheme),
            ("https://user@example.com/", Part("user name")),
            ("https://example.com/#x", Part("fragment")),
        ] {
            assert_eq!(provider_url(bad).unwrap_err(), why, "{bad}");
        }
    }

    #[test]
    fn nothing_with_a_shared_secret_is_an_algorithm() {
        for name in [
            "none", "None", "", "HS256", "HS512", "rs256", "RS256 ", "ES256K", "ES512", "RSA-OAEP",
        ] {
            assert_eq!(SigningAlgorithm::from_name(name), None, "{name}");
        }
        for one in SigningAlgorithm::ALL {
            assert_eq!(SigningAlgorithm::from_name(one.as_str()), Some(one));
        }
    }
}
