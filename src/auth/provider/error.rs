//! Everything that can be wrong with a provider and what it says, each with a code of its own.
//!
//! Texts name claims, endpoints and lengths of time. What a provider wrote into an answer is never
//! repeated, apart from short words of a known form: an answer may echo a code, a token or a secret.

use std::fmt;
use std::time::Duration;

use super::known::Known;
use crate::model::ErrorCode;

/// What is fetched from a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// What it says of itself: OpenID Connect Discovery 1.0.
    Metadata,
    /// Its public keys: RFC 7517.
    Keys,
    /// Its page for people who sign in.
    Authorization,
    /// The answer of its token endpoint.
    Tokens,
    /// The answer of its userinfo endpoint.
    Userinfo,
    /// The groups of a person, from Microsoft Graph.
    Groups,
    /// A code for a program without a browser: RFC 8628.
    Device,
    /// Who gives tokens for an application: RFC 9728.
    Resource,
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metadata => "its metadata (/.well-known/openid-configuration)",
            Self::Keys => "its public keys (jwks_uri)",
            Self::Authorization => "its authorization endpoint",
            Self::Tokens => "its token endpoint",
            Self::Userinfo => "its userinfo endpoint",
            Self::Groups => "the person's groups at Microsoft Graph",
            Self::Device => "its device authorization endpoint",
            Self::Resource => "who gives tokens (/.well-known/oauth-protected-resource)",
        })
    }
}

macro_rules! errors {
    ($(
        $(#[$doc:meta])*
        $variant:ident $({ $($field:ident: $type:ty),+ })? = $code:literal, $kind:ident,
            $what:literal, $remedy:literal;
    )*) => {
        /// Why nobody was signed in. The text says what happened, [`ProviderError::remedy`] what an
        /// operator can do about it.
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "a field is what the text of its variant says with it")]
        pub enum ProviderError {
            $($(#[$doc])* #[error($what)] $variant $({ $($field: $type),+ })?,)*
            /// The provider said no, in words that are known.
            #[error("{0}")]
            Said(Known),
        }

        impl ProviderError {
            /// A stable word for programs and for the table of the documents.
            #[must_use]
            pub const fn code(&self) -> &'static str {
                match self {
                    $(Self::$variant $({ $($field: _),+ })? => $code,)*
                    Self::Said(known) => known.code,
                }
            }

            /// What an operator can do about it.
            #[must_use]
            pub const fn remedy(&self) -> &'static str {
                match self {
                    $(Self::$variant $({ $($field: _),+ })? => $remedy,)*
                    Self::Said(known) => known.remedy,
                }
            }

            /// What the person is answered: 503 where trying again later may help, else 403.
            #[must_use]
            pub const fn error_code(&self) -> ErrorCode {
                match self {
                    $(Self::$variant $({ $($field: _),+ })? => ErrorCode::$kind,)*
                    Self::Said(known) if known.passes => ErrorCode::ProviderUnavailable,
                    Self::Said(_) => ErrorCode::SignInFailed,
                }
            }

            /// Every code of this list.
            #[cfg(test)]
            pub(super) const CODES: &'static [&'static str] = &[$($code,)*];
        }
    };
}

errors! {
    // The way to the provider.

    /// No connection, or it broke.
    Unreachable { document: Document, why: String } = "provider_unreachable", ProviderUnavailable,
        "the provider cannot be asked for {document}: {why}",
        "check the provider's address, `proxy` and the firewall of this host";
    /// Its certificate is not trusted, or the handshake failed.
    Tls { document: Document, why: String } = "provider_tls", ProviderUnavailable,
        "TLS with the provider failed on the way to {document}: {why}",
        "name the authority that issued its certificate as `extra_ca`; a proxy that opens TLS has one of its own";
    /// Not answered in time.
    Timeout { document: Document, limit: Duration } = "provider_timeout", ProviderUnavailable,
        "the provider did not answer for {document} within {limit:?}",
        "see whether the provider is well; `timeout` is how long it may take";
    /// It answers with a redirect.
    Redirected { document: Document, status: u16 } = "provider_redirects", ProviderUnavailable,
        "the provider answered for {document} with a redirect ({status}), which is not followed",
        "write the issuer as the provider has it, to the letter";
    /// An answer that is too long.
    TooLarge { document: Document } = "provider_answer_too_large", ProviderUnavailable,
        "the provider's answer for {document} has more than 1 MiB",
        "see what answers at this address";
    /// A status that is no success.
    Status { document: Document, status: u16 } = "provider_status", ProviderUnavailable,
        "the provider answered for {document} with status {status}",
        "see the provider's log; a wrong path in `issuer` shows as 404";
    /// Not JSON, or not of the form it has to have.
    Answer { document: Document, why: &'static str } = "provider_bad_answer", ProviderUnavailable,
        "the provider's answer for {document} cannot be used: {why}",
        "see what answers at this address: it may be a page to sign in, or one of a firewall";
    /// More sign-ins at once than are let through.
    Busy = "provider_busy", ProviderUnavailable,
        "too many exchanges with the provider are under way",
        "see whether the provider is slow";

    // What the provider says of itself.

    /// Another issuer than the configured one.
    MetadataIssuer { said: String } = "issuer_mismatch", ProviderUnavailable,
        "the provider calls itself `{said}`, and not what `issuer` says",
        "write `issuer` as the provider has it, to the letter: with or without a `/` at its end";
    /// An endpoint is missing.
    NoEndpoint { name: &'static str } = "endpoint_missing", ProviderUnavailable,
        "the provider's metadata has no `{name}`",
        "see whether the address is that of an OpenID Connect provider";
    /// An endpoint that must not be used.
    BadEndpoint { name: &'static str, why: String } = "endpoint_refused", ProviderUnavailable,
        "the provider's `{name}` is not used: {why}",
        "have the provider publish https addresses: it may not know that it stands behind a proxy";
    /// None of our ways to prove who we are.
    AuthenticationMethod { wanted: &'static str } = "client_authentication_unsupported", SignInFailed,
        "the provider does not take {wanted} for this gateway's proof of who it is",
        "use `client_secrets` or `private_key_jwt`, whichever the provider's registration is set to";
    /// Our own secret cannot be read.
    Secret { why: String } = "client_secret_unreadable", SignInFailed,
        "this gateway's secret for the provider cannot be used: {why}",
        "make it readable for the account appproxy runs as";

    // The way back.

    /// The callback does not say who answers.
    NoCallbackIssuer = "callback_issuer_missing", SignInFailed,
        "the answer through the browser has no `iss`, and the provider promises one (RFC 9207)",
        "somebody may have cut it out of the address; try again";
    /// The callback is another provider's.
    CallbackIssuer = "callback_issuer_mismatch", SignInFailed,
        "the answer through the browser is from another provider than the one that was asked",
        "somebody may be mixing up providers on purpose; try again, and look at the log if it recurs";
    /// No ID token in the answer.
    NoIdToken = "id_token_missing", SignInFailed,
        "the provider gave no ID token",
        "have the registration at the provider speak OpenID Connect, with the scope `openid`";
    /// No access token, where one is needed.
    NoAccessToken = "access_token_missing", SignInFailed,
        "the provider gave no access token",
        "see the registration at the provider";
    /// Tokens of a kind that cannot be used.
    TokenType = "token_type", SignInFailed,
        "the provider gave an access token that is not a bearer token",
        "switch DPoP and the like off for this registration at the provider";
    /// The refresh token does not work any more.
    InvalidGrant = "invalid_grant", SignInFailed,
        "the provider does not take the code or refresh token (any more)",
        "sign in again; a code serves once, and a refresh token ends with the session at the provider";

    // The token as such.

    /// Too long.
    TokenTooLong { octets: usize } = "token_too_long", SignInFailed,
        "the token has {octets} octets, and 65536 are read",
        "have the provider put fewer claims into it, such as groups";
    /// Not of the form of a signed token.
    TokenMalformed { why: &'static str } = "token_malformed", SignInFailed,
        "the token is no signed token (RFC 7515): {why}",
        "see what the provider answers";
    /// Encrypted.
    TokenEncrypted = "token_encrypted", SignInFailed,
        "the token is encrypted, which is not read here",
        "switch the encryption of ID tokens off at the provider: TLS keeps them secret";
    /// A key stands twice in it.
    DuplicateKey { part: &'static str } = "token_duplicate_key", SignInFailed,
        "a key stands twice in the token's {part}: readers would disagree on its meaning",
        "see what makes claims at the provider";
    /// An algorithm that is not allowed.
    Algorithm { said: String } = "token_algorithm", SignInFailed,
        "the token is signed with `{said}`, which is not among `allowed_algorithms`",
        "allow it there, or have the provider sign with another; `none` and HS… are never taken";
    /// It demands something that is not understood.
    Critical = "token_critical", SignInFailed,
        "the token has `crit`: it demands what is not understood here",
        "see what the provider is set to";
    /// A token for something else.
    TokenKind = "token_kind", SignInFailed,
        "the token is of another kind (`typ`) than is wanted here",
        "somebody may pass one token off as another; see what the provider answers";
    /// The key is not there.
    UnknownKey { kid: String } = "key_unknown", SignInFailed,
        "the token is signed with the key `{kid}`, which is not among the provider's",
        "try again in half a minute: the provider may have changed its keys";
    /// No key of the provider can have signed it.
    NoKey { algorithm: &'static str } = "key_missing", SignInFailed,
        "the provider publishes no key for {algorithm} that can have signed the token",
        "see the keys at the provider's `jwks_uri`";
    /// Several keys could have.
    AmbiguousKey = "key_ambiguous", SignInFailed,
        "the token does not say with which of several keys it is signed (`kid`)",
        "have the provider name its keys";
    /// The key is for something else.
    UnfitKey { kid: String } = "key_unfit", SignInFailed,
        "the provider's key `{kid}` is not for the algorithm that the token names",
        "see the keys at the provider's `jwks_uri`";
    /// An RSA key of less than 2048 bits.
    WeakKey { bits: usize } = "key_weak", SignInFailed,
        "the provider's key has {bits} bits, and less than 2048 can be broken",
        "have the provider make a new key";
    /// The signature is wrong.
    Signature = "token_signature", SignInFailed,
        "the token's signature is wrong",
        "somebody may have changed it; if nobody can sign in, the provider may have changed its key under the old name";

    // What the token says.

    /// A claim is missing.
    NoClaim { claim: &'static str } = "claim_missing", SignInFailed,
        "the claim `{claim}` is missing",
        "see what claims the provider gives to this registration";
    /// A claim is not of its form.
    BadClaim { claim: String } = "claim_malformed", SignInFailed,
        "the claim `{claim}` is not of the form it has to have",
        "see what makes this claim at the provider";
    /// A claim with what can forge a header, a log line or a name.
    ClaimCharacters { claim: String } = "claim_characters", SignInFailed,
        "the claim `{claim}` has a control character, or one that turns the direction of text around",
        "correct the value in the directory";
    /// Another issuer.
    Issuer = "token_issuer", SignInFailed,
        "the token is of another issuer than the configured one",
        "write `issuer` as the provider has it";
    /// A tenant that may not sign in.
    Tenant = "token_tenant", SignInFailed,
        "the account is of a tenant that is not among `tenants`",
        "add the tenant's id there if its people are to sign in";
    /// Not for us.
    Audience = "token_audience", SignInFailed,
        "the token is not for this gateway: `aud` has not its `client_id`",
        "write `client_id` as the provider has it";
    /// For several, and it does not say that we asked.
    AuthorizedParty = "token_authorized_party", SignInFailed,
        "the token was given to another than this gateway (`azp`), or is for several without saying to whom it was given",
        "see the registration at the provider";
    /// It has ended.
    Expired { seconds: i64 } = "token_expired", SignInFailed,
        "the token ended {seconds} s ago by this gateway's clock",
        "compare the clocks of this host and of the provider: one of them is wrong, or the answer took very long";
    /// It is not good yet.
    NotYet { seconds: i64 } = "token_not_yet_valid", SignInFailed,
        "the token is good only in {seconds} s by this gateway's clock",
        "compare the clocks of this host and of the provider: one of them is wrong";
    /// It was made in the future.
    Future { seconds: i64 } = "token_from_the_future", SignInFailed,
        "the token will be made in {seconds} s by this gateway's clock",
        "compare the clocks of this host and of the provider: one of them is wrong";
    /// Another nonce.
    Nonce = "nonce_mismatch", SignInFailed,
        "the token belongs to another sign-in (`nonce`)",
        "try again; somebody may have replayed an old answer";
    /// The access token is not the one that belongs to it.
    AccessTokenHash = "at_hash_mismatch", SignInFailed,
        "the access token is not the one that belongs to the ID token (`at_hash`)",
        "see what stands between this gateway and the provider";
    /// Signed in too long ago.
    TooLongAgo { seconds: i64 } = "authentication_too_old", SignInFailed,
        "the person signed in at the provider {seconds} s earlier than `max_age` allows",
        "have the provider honour `max_age`";
    /// Another person than before.
    SubjectChanged = "subject_changed", SignInFailed,
        "the refreshed token is another person's",
        "sign in again";

    // More about the person.

    /// Userinfo is another person's.
    UserinfoSubject = "userinfo_subject", SignInFailed,
        "the provider's userinfo is not about the person of the ID token (`sub`)",
        "see what stands between this gateway and the provider, or write `userinfo: never`";
    /// Userinfo is signed.
    UserinfoSigned = "userinfo_signed", SignInFailed,
        "the provider signs or encrypts its userinfo, which is not read here",
        "have the registration give userinfo as JSON, or write `userinfo: never`";
    /// Too many groups.
    TooManyGroups = "groups_too_many", SignInFailed,
        "the person is in more than 10,000 groups",
        "have the provider name only the groups that are given to this application";
    /// The groups are elsewhere.
    GroupsElsewhere = "groups_elsewhere", SignInFailed,
        "the person is in more groups than the provider puts into a token, and it says that they are elsewhere",
        "write `preset: entra`, or have the provider name only the groups that are given to this application";
    /// The groups cannot be asked for.
    GroupsRefused { status: u16 } = "groups_refused", SignInFailed,
        "Microsoft Graph does not tell the person's groups (status {status})",
        "give the registration the delegated permission User.Read, write the scope `User.Read`, or use app roles";

    // Logout tokens (OpenID Connect Back-Channel Logout 1.0 section 2.6).

    /// Not about a logout.
    NoLogoutEvent = "logout_event", SignInFailed,
        "the token is no logout token: `events` does not have the event",
        "see what the provider sends";
    /// An ID token passed off as one.
    LogoutNonce = "logout_nonce", SignInFailed,
        "the logout token has a `nonce`, as only ID tokens do",
        "somebody may pass an ID token off as a logout token";
    /// About nobody.
    LogoutOfNobody = "logout_of_nobody", SignInFailed,
        "the logout token has neither `sub` nor `sid`",
        "see what the provider sends";
    /// An old one.
    LogoutTooOld { seconds: i64 } = "logout_too_old", SignInFailed,
        "the logout token was made {seconds} s ago, and 120 are allowed",
        "compare the clocks of this host and of the provider";
}

impl ProviderError {
    /// Whether it says that this person would not be let in now, and not that the provider cannot be
    /// asked, or not by us: what is said of somebody who is signed in ends that.
    #[must_use]
    pub fn denies_person(&self) -> bool {
        match self {
            Self::InvalidGrant
            | Self::SubjectChanged
            | Self::Tenant
            | Self::UserinfoSubject
            | Self::GroupsElsewhere
            | Self::TooManyGroups
            | Self::BadClaim { .. }
            | Self::ClaimCharacters { .. }
            | Self::Status {
                document: Document::Userinfo,
                status: 401 | 403,
            } => true,
            Self::Said(known) => known.of_person,
            _ => false,
        }
    }

    /// Whether it is a matter of the moment: the answer is 503, and not 403.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.error_code() == ErrorCode::ProviderUnavailable
    }
}
