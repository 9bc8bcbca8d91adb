//! The configuration's text.

use std::fmt::Write as _;
use std::path::Path;

use super::answers::{Allowed, Answers, Certificate};
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
    let sign_in = answers.authority(&answers.sign_in);
    let secret = quoted(&answers.client_secret.to_string_lossy());
    let listen = match port {
        443 => "  https: [\"[::]:443\"]  # people and connectors\n  \
                http: [\"[::]:80\"]  # sends people on to https\n"
            .to_owned(),
        port => format!("  https: [\"[::]:{port}\"]  # people and connectors\n"),
    };
    let preset = match answers.provider.preset {
        Some(preset) => format!("    preset: {}\n", preset.as_str()),
        None => String::new(),
    };
    let conditions: Vec<_> = answers.allow.iter().map(condition).collect();
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
# People sign in here. The redirect address to register at the provider is
# {callback}
sign_in:
  url: https://{sign_in}/
identity_providers:  # docs/sign-in.md
  - name: {name}
{preset}    issuer: {issuer}
    client_id: {client}
    client_secrets: [ {{ file: {secret} }} ]  # the file's content, never here

# What is published, one entry for each: docs/publish.md
applications:
  - name: {application}
    external_url: https://{external}/  # what people open
    internal_url: {internal}  # what a connector asks for them
    connector_groups: [default]  # as in `gateway token create --group default`
    pre_authentication: [oidc]  # nothing gets through before somebody has signed in
    access:  # who may; nobody else does: docs/access.md
      allow: [ {allow} ]
",
        public = quoted(&answers.public.to_string()),
        store = store(&answers.file),
        certificate = certificate(&answers.certificate),
        callback = callback(answers),
        name = answers.provider.name(),
        issuer = quoted(&answers.provider.issuer),
        client = quoted(&answers.provider.client_id),
        application = quoted(answers.application.as_str()),
        external = answers.authority(&answers.external),
        internal = quoted(&answers.internal.to_string()),
        allow = conditions.join(", "),
    )
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
