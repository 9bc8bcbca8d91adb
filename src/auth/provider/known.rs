//! What providers say when they refuse, and what it means.

use std::fmt;

use super::error::ProviderError;

/// A refusal whose meaning is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub(super) code: &'static str,
    pub(super) what: &'static str,
    pub(super) remedy: &'static str,
    /// It may be over in a while.
    pub(super) passes: bool,
    /// It is this person whom the provider does not let in, and not this gateway.
    pub(super) of_person: bool,
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

const fn known(code: &'static str, what: &'static str, remedy: &'static str) -> Known {
    Known {
        code,
        what,
        remedy,
        passes: false,
        of_person: false,
    }
}

const fn of_person(code: &'static str, what: &'static str, remedy: &'static str) -> Known {
    Known {
        of_person: true,
        ..known(code, what, remedy)
    }
}

const fn passing(code: &'static str, what: &'static str, remedy: &'static str) -> Known {
    Known {
        passes: true,
        ..known(code, what, remedy)
    }
}

pub(super) const REDIRECT_URI: Known = known(
    "redirect_uri_mismatch",
    "the provider does not know this gateway's redirect URI",
    "register the redirect URI at the provider, to the letter; `sign_in.url` decides what it is",
);
const NOT_ASSIGNED: Known = of_person(
    "user_not_assigned",
    "the person is not assigned to the application at the provider (AADSTS50105)",
    "assign them or one of their groups to the enterprise application, or have it not demand an assignment",
);
const CONSENT: Known = of_person(
    "consent_required",
    "nobody has consented to what this gateway asks for",
    "let an administrator consent for all at the provider, or ask for fewer `scopes`",
);
pub(super) const UNKNOWN_CLIENT: Known = known(
    "client_unknown",
    "the provider does not know the `client_id`",
    "write `client_id` as the provider has it, and the `issuer` of the tenant that it is registered in",
);
const CLIENT_SECRET: Known = known(
    "client_secret_wrong",
    "the provider does not accept this gateway's client secret",
    "write the secret's value into its place, and not its id; make a new one if it is lost",
);
const CLIENT_SECRET_EXPIRED: Known = known(
    "client_secret_expired",
    "this gateway's client secret has ended at the provider",
    "make a new one there and put it first under `client_secrets`",
);
const CLIENT_REFUSED: Known = known(
    "client_refused",
    "the provider does not accept this gateway's proof of who it is",
    "check `client_id`, and the secret or key, against the registration at the provider",
);
const ASSERTION: Known = known(
    "client_key_unknown",
    "the provider does not accept the signature of this gateway's key",
    "upload the certificate or public key of `private_key_jwt` at the provider, and write its `key_id`",
);
const TENANT: Known = of_person(
    "account_of_another_tenant",
    "the account is not of the tenant that this gateway is registered in",
    "sign in with another account, or invite this one as a guest",
);
const UNKNOWN_TENANT: Known = known(
    "tenant_unknown",
    "the provider does not know the tenant in `issuer`",
    "write the tenant's id in `issuer`",
);
const POLICY: Known = of_person(
    "conditional_access",
    "a policy of the provider does not let the person sign in from where they are",
    "see the sign-in log of the provider: it names the policy",
);
const MORE_PROOF: Known = of_person(
    "more_proof_required",
    "the provider wants the person to sign in with a further factor",
    "sign in again",
);
const DENIED: Known = of_person(
    "access_denied",
    "the person, or the provider, broke the sign-in off",
    "try again; if it recurs, see the provider's log for who may use this application",
);
const LOGIN_REQUIRED: Known = of_person(
    "login_required",
    "the person is not signed in at the provider, and it was not allowed to ask",
    "sign in again",
);
const INTERACTION: Known = of_person(
    "interaction_required",
    "the provider has to ask the person something, and was not allowed to",
    "sign in again",
);
const SCOPE: Known = known(
    "scope_refused",
    "the provider does not give one of the `scopes`",
    "write only scopes that the registration at the provider has",
);
const UNAUTHORIZED_CLIENT: Known = known(
    "client_not_allowed",
    "the registration at the provider does not allow this way to sign in",
    "allow the authorization code flow there, and refresh tokens where they are asked for",
);
const REQUEST: Known = known(
    "request_refused",
    "the provider does not accept the request as it was made",
    "see the provider's log: it says what it misses",
);
const DOWN: Known = passing(
    "provider_says_unavailable",
    "the provider says that it cannot answer at the moment",
    "try again in a while",
);
const OTHER: Known = known(
    "provider_refused",
    "the provider refused, in words that are not known here",
    "see the provider's log",
);

/// Entra's numbers, which its descriptions begin with.
const ENTRA: &[(u32, Known)] = &[
    (50011, REDIRECT_URI),
    (50020, TENANT),
    (50058, LOGIN_REQUIRED),
    (50076, MORE_PROOF),
    (50079, MORE_PROOF),
    (50105, NOT_ASSIGNED),
    (53000, POLICY),
    (53003, POLICY),
    (65001, CONSENT),
    (65004, DENIED),
    (90002, UNKNOWN_TENANT),
    (90094, CONSENT),
    (700_016, UNKNOWN_CLIENT),
    (700_027, ASSERTION),
    (7_000_215, CLIENT_SECRET),
    (7_000_222, CLIENT_SECRET_EXPIRED),
];

/// The words of OAuth 2.0 (RFC 6749 sections 4.1.2.1 and 5.2), of OpenID Connect Core 1.0 section
/// 3.1.2.6, and of Google.
const WORDS: &[(&str, Known)] = &[
    ("access_denied", DENIED),
    ("login_required", LOGIN_REQUIRED),
    ("interaction_required", INTERACTION),
    ("account_selection_required", INTERACTION),
    ("consent_required", CONSENT),
    ("invalid_client", CLIENT_REFUSED),
    ("unauthorized_client", UNAUTHORIZED_CLIENT),
    ("unsupported_grant_type", UNAUTHORIZED_CLIENT),
    ("unsupported_response_type", UNAUTHORIZED_CLIENT),
    ("invalid_scope", SCOPE),
    ("redirect_uri_mismatch", REDIRECT_URI),
    ("invalid_request", REQUEST),
    ("admin_policy_enforced", POLICY),
    ("org_internal", TENANT),
    ("server_error", DOWN),
    ("temporarily_unavailable", DOWN),
];

/// Whether the provider did not take our proof of who we are, so that the next secret is worth a try.
pub(super) fn refuses_client(error: &str, description: &str, status: u16) -> bool {
    error == "invalid_client"
        // Keycloak's word for a wrong secret.
        || (error == "unauthorized_client" && status == 401 && description.contains("Invalid client"))
}

/// What a refusal means. Neither text is repeated.
pub(super) fn meaning(error: &str, description: &str) -> ProviderError {
    let number = description
        .split_once("AADSTS")
        .map(|(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).take(9))
        .map(|digits| digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0')));
    if let Some((_, known)) = ENTRA.iter().find(|(known, _)| Some(*known) == number) {
        return ProviderError::Said(*known);
    }
    // Keycloak and others have no word of their own for it.
    let lower = description.to_ascii_lowercase();
    if lower.contains("redirect_uri") || lower.contains("redirect uri") {
        return ProviderError::Said(REDIRECT_URI);
    }
    if error == "invalid_grant" {
        return ProviderError::InvalidGrant;
    }
    if error == "unauthorized_client" && description.contains("Invalid client") {
        return ProviderError::Said(CLIENT_REFUSED);
    }
    let known = WORDS.iter().find(|(word, _)| *word == error);
    ProviderError::Said(known.map_or(OTHER, |(_, known)| *known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn what_providers_say_is_understood() {
        for (error, description, code) in [
            (
                "invalid_request",
                "AADSTS50011: The redirect URI 'x' …",
                "redirect_uri_mismatch",
            ),
            (
                "invalid_grant",
                "AADSTS50105: Your administrator …",
                "user_not_assigned",
            ),
            (
                "access_denied",
                "AADSTS65004: User declined",
                "access_denied",
            ),
            (
                "invalid_grant",
                "AADSTS65001: The user or administrator has not consented",
                "consent_required",
            ),
            (
                "unauthorized_client",
                "AADSTS700016: Application with identifier",
                "client_unknown",
            ),
            (
                "invalid_client",
                "AADSTS7000215: Invalid client secret provided",
                "client_secret_wrong",
            ),
            (
                "invalid_client",
                "AADSTS7000222: The provided client secret keys are expired",
                "client_secret_expired",
            ),
            (
                "invalid_client",
                "AADSTS700027: Client assertion",
                "client_key_unknown",
            ),
            (
                "invalid_grant",
                "AADSTS700082: The refresh token has expired",
                "invalid_grant",
            ),
            (
                "invalid_grant",
                "AADSTS99999999999999999999",
                "invalid_grant",
            ),
            (
                "redirect_uri_mismatch",
                "Bad Request",
                "redirect_uri_mismatch",
            ),
            (
                "invalid_grant",
                "Incorrect redirect_uri",
                "redirect_uri_mismatch",
            ),
            (
                "unauthorized_client",
                "Invalid client or Invalid client credentials",
                "client_refused",
            ),
            (
                "unauthorized_client",
                "Client not enabled for this flow",
                "client_not_allowed",
            ),
            ("access_denied", "", "access_denied"),
            ("login_required", "", "login_required"),
            ("invalid_client", "", "client_refused"),
            ("invalid_scope", "", "scope_refused"),
            ("temporarily_unavailable", "", "provider_says_unavailable"),
            ("hunter2", "hunter2", "provider_refused"),
        ] {
            let error = meaning(error, description);
            assert_eq!(error.code(), code, "{description}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
            assert!(!error.remedy().is_empty());
            assert_eq!(error.is_unavailable(), code == "provider_says_unavailable");
        }
    }
}
