//! The configuration's text.

use std::fmt::Write as _;
use std::path::Path;

use super::answers::{Allowed, Answers, Certificate, Guard, SignIn};
use super::{CONFIG_FOLDER, callback};

/// Where the store is for a configuration at its usual place; elsewhere it is beside the file.
const STORE: &str = "/var/lib/appproxy/gateway.db";

/// The most lines that somebody new reads before a first try.
#[cfg(test)]
pub(super) const MOST_LINES: usize = 40;

/// The store of a configuration, as it is written.
fn store(file: &Path) -> &'static str {
    match file.parent() == Some(Path::new(CONFIG_FOLDER)) {
        true => STORE,
        false => "gateway.db",
    }
}

/// The whole file.
pub(super) fn text(answers: &Answers) -> String {
    let port = answers.public.port;
    let listen = match port {
        443 => "  https: [\"[::]:443\"]  # people and connectors\n  \
                http: [\"[::]:80\"]  # sends people on to https\n"
            .to_owned(),
        port => format!("  https: [\"[::]:{port}\"]  # people and connectors\n"),
    };
    let (people, guard) = match &answers.guard {
        Guard::SignIn(sign_in) => (people(answers, sign_in), signed_in(sign_in)),
        Guard::Networks(networks) => (NOBODY.to_owned(), open(networks)),
    };
    format!(
        "# The gateway, the public side of appproxy, as `appproxy gateway init` wrote it. Change what you
# like; `appproxy check` tells whether it works, docs/settings.md and docs/operate.md what else there is.
version: 1
kind: gateway
listen:
{listen}  public: [{public}]  # where connectors dial; tokens carry it
store: sqlite:{store}  # connectors and sessions; back up its key beside it too

# For every host below: TLS ends here. A file that is replaced is read again by itself.
certificates:
{certificate}
{people}
# What is published, one entry for each: docs/publish.md
applications:
  - name: {application}
    external_url: https://{external}/  # what people open
    internal_url: {internal}  # what a connector asks for them
    connector_groups: [default]  # as in `gateway token create --group default`
{guard}",
        public = quoted(&answers.public.to_string()),
        store = store(&answers.file),
        certificate = certificate(&answers.certificate),
        application = quoted(answers.application.as_str()),
        external = answers.authority(&answers.external),
        internal = quoted(&answers.internal.to_string()),
    )
}

/// What stands where sign-in would.
const NOBODY: &str = "\
# Nobody signs in: `allow` below goes by the network alone, and whoever comes from there is in. To have
# people sign in, add `sign_in` and `identity_providers` here (docs/sign-in.md), and at the application
# write `[oidc]` and who may (docs/access.md). `appproxy gateway init --force` writes all of it anew.
";

/// Where people sign in, and who says who they are.
fn people(answers: &Answers, sign_in: &SignIn) -> String {
    let provider = &sign_in.provider;
    let preset = match provider.preset {
        Some(preset) => format!("    preset: {}\n", preset.as_str()),
        None => String::new(),
    };
    format!(
        "# People sign in here. The redirect address to register at the provider is
# {callback}
sign_in:
  url: https://{host}/
identity_providers:  # docs/sign-in.md
  - name: {name}
{preset}    issuer: {issuer}
    client_id: {client}
    client_secrets: [ {{ file: {secret} }} ]  # the file's content, never here
",
        callback = callback(answers, sign_in),
        host = answers.authority(&sign_in.host),
        name = provider.name(),
        issuer = quoted(&provider.issuer),
        client = quoted(&provider.client_id),
        secret = quoted(&sign_in.client_secret.to_string_lossy()),
    )
}

fn signed_in(sign_in: &SignIn) -> String {
    let conditions: Vec<_> = sign_in.allow.iter().map(condition).collect();
    format!(
        "    pre_authentication: [oidc]  # nothing gets through before somebody has signed in
    access:  # who may; nobody else does: docs/access.md
      allow: [ {} ]
",
        conditions.join(", ")
    )
}

fn open(networks: &[String]) -> String {
    format!(
        "    pre_authentication: [passthrough]  # nobody is asked who they are
    access:  # from where; nobody else comes in: docs/access.md
      allow: [ {} ]
",
        from(networks)
    )
}

/// A line of `access.allow` that goes by the network.
pub(super) fn from(networks: &[String]) -> String {
    let networks: Vec<_> = networks.iter().map(|one| quoted(one)).collect();
    format!("{{ ip: [{}] }}", networks.join(", "))
}

fn certificate(certificate: &Certificate) -> String {
    let mut text = String::new();
    let mut line = |begin: &str, key: &str, path: &Path, comment: &str| {
        let path = quoted(&path.to_string_lossy());
        let _ = writeln!(text, "  {begin} {key}: {path}{comment}");
    };
    match certificate {
        Certificate::Pem { chain, key } => {
            line("-", "chain", chain, "  # PEM, leaf first");
            line(" ", "key", key, "");
        }
        Certificate::Pfx { file, password } => {
            line("-", "pfx", file, "  # chain and key");
            if let Some(password) = password {
                let path = quoted(&password.to_string_lossy());
                let _ = writeln!(text, "    password: {{ file: {path} }}");
            }
        }
        Certificate::Trial { chain, key } => {
            let comment = "  # self-signed, to try with for 90 days: browsers warn of it";
            line("-", "chain", chain, comment);
            line(" ", "key", key, "");
        }
    }
    text
}

/// One line of `access.allow`, as it stands in a list between brackets.
pub(super) fn condition(allowed: &Allowed) -> String {
    match allowed {
        Allowed::Everybody => "anyone_signed_in".to_owned(),
        Allowed::Group(group) => format!("{{ group: {} }}", quoted(group)),
        Allowed::Email(email) => format!("{{ email: {} }}", quoted(email)),
    }
}

/// A text in double quotes (YAML 1.2 section 7.3.1). SECURITY: whatever is in it, it ends at the last
/// quote. Beside what would end it, everything is escaped that a reader could take for a line break,
/// fold or not show; letters of every language stay.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            c => {
                let _ = match u32::from(c) {
                    code @ 0..=0xff => write!(out, "\\x{code:02x}"),
                    code @ 0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    code => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('"');
    out
}
