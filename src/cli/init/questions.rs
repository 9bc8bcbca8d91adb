//! The questions, as they are asked.

/// One question: the flag that answers it, how it is asked, and what is said beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    /// The flag, without dashes.
    pub(super) flag: &'static str,
    /// The question itself, without the default and the colon.
    pub(super) asks: &'static str,
}

const fn question(flag: &'static str, asks: &'static str) -> Question {
    Question { flag, asks }
}

pub(super) const DOMAIN: Question = question(
    "domain",
    "Domain that applications are published under, such as example.com",
);
pub(super) const PUBLIC: Question = question(
    "public",
    "Name and port at which connectors reach this gateway",
);
pub(super) const CERTIFICATE: Question = question(
    "certificate",
    "Certificate file, PFX or PEM (Enter: none yet, one for trying out is written)",
);
pub(super) const KEY: Question = question("key", "Private key file of the certificate");
pub(super) const PASSWORD: Question =
    question("password-file", "Password of the PFX (Enter: it has none)");
pub(super) const PROVIDER: Question = question(
    "provider",
    "Identity provider: entra, google, okta, keycloak, the issuer URL of another, or none",
);
pub(super) const TENANT: Question = question("tenant", "Entra's tenant (directory) ID");
pub(super) const ISSUER: Question = question(
    "issuer",
    "Issuer URL, as in the provider's .well-known/openid-configuration",
);
pub(super) const CLIENT_ID: Question = question("client-id", "Client ID at the provider");
/// Asked for without echo; nothing but a file can give it otherwise.
pub(super) const SECRET: Question = question(
    "client-secret-file",
    "Client secret at the provider (Enter: its file has it already, or gets it later)",
);
pub(super) const SECRET_FILE: Question = question(
    "client-secret-file",
    "File in which the client secret is kept",
);
pub(super) const SIGN_IN: Question = question("sign-in", "Host at which people sign in");
pub(super) const ALLOW: Question = question(
    "allow",
    "Who may come in: everybody (who can sign in), group:NAME, or email:ADDRESS,ADDRESS",
);
pub(super) const NETWORKS: Question = question(
    "networks",
    "Nobody signs in, so the network decides. Networks that may come in, such as 192.0.2.0/24,2001:db8::/32",
);
pub(super) const APPLICATION: Question =
    question("app", "First application, a short name such as wiki");
pub(super) const INTERNAL: Question = question(
    "app",
    "Its address in the private network, such as http://wiki.corp.local:8080/",
);
pub(super) const EXTERNAL: Question = question("external", "Host at which people open it");
