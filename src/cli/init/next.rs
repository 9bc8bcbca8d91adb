//! What is left for a person to do.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::answers::{Allowed, Answers, Certificate, Guard, SignIn};
use super::callback;
use crate::config::Allow;
use crate::config::AllowHosts;
use crate::config::GATEWAY_FILE;
use crate::model::{Host, InternalHost, Preset};

/// What is so on this host beside the answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Situation {
    /// The package's service is there, which runs as `appproxy` and reads the usual file.
    pub(super) service: bool,
    /// What was written, in order.
    pub(super) written: Vec<PathBuf>,
    /// The client secret lies in its file.
    pub(super) has_secret: bool,
}

/// The steps, each with what is to be typed.
pub(super) fn next(answers: &Answers, situation: &Situation) -> String {
    let mut text = String::new();
    let written: Vec<_> = situation
        .written
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let _ = writeln!(text, "Written: {}", written.join(", "));
    if let Certificate::Trial { .. } = answers.certificate {
        text.push_str(
            "The certificate is self-signed and only for trying out: every browser warns of it, and it\n\
             ends in 90 days. Name one of an authority under `certificates` before people come.\n",
        );
    }
    text.push_str("\nOnly you can do this:\n");
    records(&mut text, answers);
    match &answers.guard {
        Guard::SignIn(sign_in) => {
            at_provider(&mut text, answers, sign_in);
            if !situation.has_secret {
                secret(&mut text, sign_in, situation);
            }
        }
        Guard::Networks(networks) => {
            let networks = networks.join(", ");
            let _ = writeln!(
                text,
                "- Nobody signs in: whoever comes from {networks}\n  \
                 is in. See that this is what you mean; the file says how sign-in is added."
            );
        }
    }
    commands(&mut text, answers, situation);
    text
}

/// DNS records.
fn records(text: &mut String, answers: &Answers) {
    let mut hosts = vec![
        (&answers.public.host, "connectors dial it"),
        (&answers.external, "people open the application"),
    ];
    if let Some(sign_in) = answers.sign_in() {
        hosts.insert(1, (&sign_in.host, "people sign in"));
    }
    // An address needs no record.
    hosts.retain(|(host, _)| host.name().is_some());
    let below = |host: &Host| {
        let suffix = format!(".{}", answers.domain);
        let name = host.to_string();
        let label = name.strip_suffix(&suffix);
        label.is_some_and(|label| !label.contains('.'))
    };
    let _ = writeln!(
        text,
        "- DNS records that lead to this host's public address:"
    );
    let width = hosts.iter().map(|(host, _)| host.to_string().len()).max();
    let width = width.unwrap_or_default();
    for (host, why) in &hosts {
        let _ = writeln!(text, "    {:width$}  {why}", host.to_string());
    }
    if hosts.iter().all(|(host, _)| below(host)) {
        let _ = writeln!(
            text,
            "  or one for all of them and for applications to come: *.{}",
            answers.domain
        );
    }
}

/// What to do at the identity provider, and what it takes for the rules to hold.
fn at_provider(text: &mut String, answers: &Answers, sign_in: &SignIn) {
    let provider = &sign_in.provider;
    let (name, place) = match provider.preset {
        Some(Preset::Entra) => (
            "Entra",
            " (App registrations, Authentication, platform Web)",
        ),
        Some(Preset::Google) => (
            "Google",
            " (Credentials, OAuth client of type Web application)",
        ),
        Some(Preset::Okta) => ("Okta", " (Applications, the OIDC web application)"),
        Some(Preset::Keycloak) => ("Keycloak", " (Clients, Valid redirect URIs)"),
        None => ("the identity provider", ""),
    };
    let _ = writeln!(
        text,
        "- At {name}{place}, the redirect address, to the letter:\n    {}",
        callback(answers, sign_in)
    );
    let has_group = sign_in.allow.iter().any(|a| matches!(a, Allowed::Group(_)));
    let has_email = sign_in.allow.iter().any(|a| matches!(a, Allowed::Email(_)));
    let everybody = sign_in.allow.contains(&Allowed::Everybody);
    let hint = match provider.preset {
        Some(Preset::Entra) if has_group => {
            "Entra names a group by its object ID once Token configuration has a groups claim."
        }
        Some(Preset::Okta) if has_group => {
            "Okta tells groups once the application has a groups claim filter (Sign On)."
        }
        Some(Preset::Keycloak) if has_group => {
            "Keycloak tells groups by a mapper `Group Membership` with the claim name `groups`, without full path."
        }
        None if has_group => "The ID token has to have the claim `groups`.",
        Some(Preset::Entra) if has_email => {
            "Entra's addresses count with the optional claims `email` and `xms_edov` (docs/settings.md, trust_email)."
        }
        Some(Preset::Google) if everybody => {
            "Everybody with any Google account is let in, unless the consent screen's user type is Internal."
        }
        _ => return,
    };
    let _ = writeln!(text, "  {hint}");
}

/// How the client secret gets into its file.
fn secret(text: &mut String, sign_in: &SignIn, situation: &Situation) {
    let path = shell(&sign_in.client_secret);
    let command = match situation.service {
        true => format!("sudo install -m 640 -g appproxy /dev/stdin {path}"),
        false => format!("install -m 600 /dev/stdin {path}"),
    };
    let _ = writeln!(
        text,
        "- The client secret into its file (run this, paste it, Enter, Ctrl-D):\n    {command}"
    );
}

fn commands(text: &mut String, answers: &Answers, situation: &Situation) {
    let at_usual_place = answers.file == Path::new(GATEWAY_FILE);
    let config = match at_usual_place {
        true => String::new(),
        false => format!(" --config {}", shell(&answers.file)),
    };
    let service = situation.service && at_usual_place;
    let (account, root) = match service {
        true => ("sudo -u appproxy ", "sudo "),
        false => ("", ""),
    };
    let start = match service {
        true => "sudo systemctl enable --now appproxy-gateway".to_owned(),
        false => format!("appproxy gateway{config}    # it stays; go on in another terminal"),
    };
    // The package's service starts by itself what is registered.
    let start_connector = match service {
        true => "",
        false => "    appproxy connector    # it stays\n",
    };
    let internal = &answers.internal;
    let _ = write!(
        text,
        "
Then, on this host:
    {account}appproxy check{config}
    {start}
    {account}appproxy gateway token create --group default{config}
On a host that reaches {internal} and can dial {public},
this in /etc/appproxy/connector.yaml:
    version: 1
    kind: connector
    state: /var/lib/appproxy/connector
    allow: [\"{allow}\"]
and there, where `register` asks for the token:
    {root_or_account}appproxy register
{start_connector}Back here:
    {account}appproxy check --app {application}{config}
and open https://{external}/
",
        public = answers.public,
        allow = allow(answers),
        application = answers.application.as_str(),
        root_or_account = if service { account } else { root },
        external = answers.authority(&answers.external),
    );
}

/// The line of the connector's allow-list.
fn allow(answers: &Answers) -> String {
    let hosts = match &answers.internal.host {
        InternalHost::Exact(host) => AllowHosts::Exact(host.clone()),
        InternalHost::Wildcard { suffix } => AllowHosts::Below(suffix.clone()),
    };
    let port = answers.internal.port;
    Allow { hosts, port }.to_string()
}

/// A path as a shell takes it. SECURITY: the text is copied into one.
fn shell(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.into_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
