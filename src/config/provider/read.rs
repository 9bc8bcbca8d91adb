//! Reads `identity_providers`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use time::Date;
use time::macros::format_description;

use super::{ClientAuthentication, ClientSecret, IdentityProvider, SHARED};
use crate::clock::Timestamp;
use crate::config::AuthorityFile;
use crate::config::field::Field;
use crate::config::file::did_you_mean;
use crate::config::proxy::{self, ProxySetting};
use crate::config::section::Section;
use crate::model::{
    ClaimNames, Preset, Prompt, ProviderName, SigningAlgorithm, USUAL_SCOPES, UserinfoUse,
    provider_url,
};

/// How long one exchange with the provider may take where nothing is said: somebody waits for it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than anybody waits for a page.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a provider may be asked again: each person costs an exchange with it.
const SHORTEST_RECHECK: Duration = Duration::from_secs(60);
const LONGEST_RECHECK: Duration = Duration::from_secs(24 * 60 * 60);

/// Every provider, or `None` where something is wrong with one.
pub(in crate::config) fn read(
    field: Field<'_>,
    folder: &Path,
) -> Option<Vec<Arc<IdentityProvider>>> {
    let mut names: Vec<(ProviderName, u64)> = Vec::new();
    let mut read = Vec::new();
    for item in field.list()? {
        let one = item.section(&[], |section| {
            let at_name = section.required("name", "entra");
            let name = at_name.and_then(|f| name(f, &mut names));
            provider(section, item, folder, name)
        });
        read.push(one.flatten());
    }
    read.into_iter().map(|one| one.map(Arc::new)).collect()
}

fn name(field: Field<'_>, earlier: &mut Vec<(ProviderName, u64)>) -> Option<ProviderName> {
    let remedy = "write a short name in small letters, such as `entra`";
    let name = field.parse("bad_name", remedy, ProviderName::new)?;
    if let Some((_, line)) = earlier.iter().find(|(other, _)| *other == name) {
        let what = format!("`{name}` is the name of the provider of line {line} already");
        return field.refuse("duplicate_name", what, "give each its own name");
    }
    earlier.push((name.clone(), field.place().line));
    Some(name)
}

/// Reads every key before the first `?`, so that each has its say.
fn provider(
    section: &Section<'_>,
    field: Field<'_>,
    folder: &Path,
    name: Option<ProviderName>,
) -> Option<IdentityProvider> {
    let preset = section.optional("preset").map(preset);
    let known = preset.flatten();
    let display_name = section.optional("display_name").map(display_name);
    let at_issuer = section.required("issuer", "https://login.example.com/");
    let written = at_issuer.and_then(issuer);
    let at_tenants = section.optional("tenants");
    let tenants = at_tenants.map(|f| f.distinct(tenant));
    if let Some(at) = at_issuer.filter(|_| written.is_some()) {
        shared_issuer(at, at_tenants, known);
    }
    let at_client = section.required("client_id", "0d0e1f2a-…");
    let client_id = at_client.and_then(|f| word(f, "client id"));
    let authentication = authentication(section, field, folder);
    let scopes = section.optional("scopes").map(scopes);
    let claims = section.optional("claims").map(claims);
    let trust_email = section.optional("trust_email").map(Field::boolean);
    let algorithms = section
        .optional("allowed_algorithms")
        .map(|f| f.distinct(algorithm));
    let max_age = section.optional("max_age").map(Field::duration);
    let prompt = section.optional("prompt").map(prompt);
    let acr_values = section
        .optional("acr_values")
        .map(|f| f.distinct(|item| word(item, "value of `acr`")));
    let userinfo = section.optional("userinfo").map(userinfo);
    let proxy = section.optional("proxy").map(|f| proxy::proxy(f, folder));
    let extra_ca = section.optional("extra_ca").map(|f| {
        Some(AuthorityFile {
            file: f.path(folder)?,
            place: f.place().clone(),
        })
    });
    let recheck = section.optional("recheck").map(recheck);
    let timeout = section.optional("timeout").map(timeout);
    let preset = preset.map_or(Some(None), |read| read.map(Some))?;
    let name = name?;
    let usual_name: Arc<str> = match preset {
        Some(preset) => preset.display_name().into(),
        None => name.as_str().into(),
    };
    let usual_scopes = || {
        let scopes = preset.map_or(USUAL_SCOPES, Preset::scopes);
        Some(scopes.iter().map(|&scope| scope.into()).collect())
    };
    Some(IdentityProvider {
        place: field.place().clone(),
        display_name: display_name.unwrap_or(Some(usual_name))?,
        name,
        preset,
        issuer: written?,
        tenants: tenants.unwrap_or_else(|| Some(Vec::new()))?,
        client_id: client_id?,
        authentication: authentication?,
        scopes: scopes.unwrap_or_else(usual_scopes)?,
        claims: claims.unwrap_or_else(|| Some(ClaimNames::default()))?,
        trust_email: trust_email.unwrap_or(Some(false))?,
        allowed_algorithms: algorithms.unwrap_or_else(|| Some(SigningAlgorithm::ALL.to_vec()))?,
        max_age: max_age.map_or(Some(None), |read| read.map(Some))?,
        prompt: prompt.map_or(Some(None), |read| read.map(Some))?,
        acr_values: acr_values.unwrap_or_else(|| Some(Vec::new()))?,
        userinfo: userinfo.unwrap_or(Some(UserinfoUse::Auto))?,
        proxy: proxy.unwrap_or(Some(ProxySetting::Unsaid))?,
        extra_ca: extra_ca.map_or(Some(None), |read| read.map(Some))?,
        recheck: recheck.map_or(Some(None), |read| read.map(Some))?,
        timeout: timeout.unwrap_or(Some(TIMEOUT))?,
    })
}

fn recheck(field: Field<'_>) -> Option<Duration> {
    let recheck = field.duration()?;
    if !(SHORTEST_RECHECK..=LONGEST_RECHECK).contains(&recheck) {
        return field.refuse(
            "bad_value",
            "a provider is asked again after one minute at the soonest, and after a day at the latest",
            "write a time such as `10m`",
        );
    }
    Some(recheck)
}

fn preset(field: Field<'_>) -> Option<Preset> {
    let text = field.text()?;
    let words = Preset::ALL.map(Preset::as_str);
    let known = Preset::ALL.into_iter().find(|one| one.as_str() == text);
    known.or_else(|| {
        let remedy = did_you_mean(text, &words).unwrap_or_else(|| {
            "write `entra`, `google`, `okta` or `keycloak`, or leave `preset` out for another that \
             speaks OpenID Connect"
                .to_owned()
        });
        field.refuse("bad_value", format!("there is no preset `{text}`"), remedy)
    })
}

fn display_name(field: Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    if text.contains(char::is_control) || text.chars().count() > 80 {
        return field.refuse(
            "bad_name",
            "the name has a control character, or more than 80 characters",
            "write a short name on one line: it stands on a button",
        );
    }
    Some(text.into())
}

fn issuer(field: Field<'_>) -> Option<Arc<str>> {
    let remedy = "write the issuer to the letter as the provider's \
                  `/.well-known/openid-configuration` has it, such as `https://login.example.com/`";
    let text = field.text()?;
    match provider_url(text) {
        Ok(url) if url.query().is_some() => {
            field.refuse("bad_url", "an issuer has no query", remedy)
        }
        Ok(_) if text.ends_with("/.well-known/openid-configuration") => field.refuse(
            "bad_url",
            "this is where the provider describes itself, and not its issuer",
            "leave out `/.well-known/openid-configuration`",
        ),
        Ok(_) => Some(text.into()),
        // What is before an `@` may be a password: the text is never repeated.
        Err(error) => field.refuse("bad_url", format!("this is no issuer: {error}"), remedy),
    }
}

/// What is shared by all tenants says nothing of who somebody works for: anybody can open a tenant.
fn shared_issuer(at_issuer: Field<'_>, tenants: Option<Field<'_>>, preset: Option<Preset>) {
    let parts = at_issuer.lone().unwrap_or_default().split('/');
    let shared = parts.into_iter().find(|part| SHARED.contains(part));
    let shared = shared.filter(|_| preset == Some(Preset::Entra));
    match (shared, tenants) {
        (Some(shared), None) => {
            at_issuer.refuse::<()>(
                "shared_issuer",
                format!("with `{shared}` anybody with any account at Microsoft could sign in"),
                "write your tenant's id in its place, or list the tenants that may sign in: \
                 `tenants: [ … ]`",
            );
        }
        (None, Some(tenants)) => {
            tenants.refuse::<()>(
                "conflict",
                "`tenants` is for preset `entra` with an issuer that several share, and this is none",
                "remove it, or write `organizations` in the tenant's place of `issuer`",
            );
        }
        _ => {}
    }
}

/// A tenant's id: a UUID.
fn tenant(field: Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?.to_ascii_lowercase();
    let parts: Vec<_> = text.split('-').map(str::len).collect();
    let hex = text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    if !hex || parts != [8, 4, 4, 4, 12] {
        return field.refuse(
            "bad_value",
            "this is no tenant's id",
            "write the id and not the domain, such as `8d1f0c3a-5b0e-4a51-9a55-0f6c1c1f2a3b`",
        );
    }
    Some(text.as_str().into())
}

/// Something that is sent as it is written: printable ASCII without blanks.
fn word(field: Field<'_>, what: &str) -> Option<Arc<str>> {
    let text = field.text()?;
    if text.len() > 512 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return field.refuse(
            "bad_value",
            format!(
                "this is no {what}: it has a blank or a character outside ASCII, or is too long"
            ),
            "copy it again from the provider",
        );
    }
    Some(text.into())
}

fn authentication(
    section: &Section<'_>,
    field: Field<'_>,
    folder: &Path,
) -> Option<ClientAuthentication> {
    let at_secrets = section.optional("client_secrets");
    let secrets = at_secrets.map(|f| {
        let read: Vec<_> = f.list()?.into_iter().map(|i| secret(i, folder)).collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    let at_key = section.optional("private_key_jwt");
    let key = at_key.map(|f| f.section(&[], |section| private_key(section, folder))?);
    match (secrets, key) {
        (None, None) => Some(ClientAuthentication::Public),
        (Some(secrets), None) => Some(ClientAuthentication::Secrets(secrets?)),
        (None, Some(key)) => key,
        (Some(_), Some(_)) => at_key.unwrap_or(field).refuse(
            "conflict",
            "`client_secrets` says in another way how this gateway proves who it is",
            "keep one of the two; a key is safer, since it never leaves this host",
        ),
    }
}

fn secret(field: Field<'_>, folder: &Path) -> Option<ClientSecret> {
    field.holds_no_secret()?;
    field.section(&[], |section| {
        let expires = section.optional("expires").map(day);
        let source = field.secret_in(section, folder);
        Some(ClientSecret {
            source: source?,
            place: field.place().clone(),
            expires: expires.map_or(Some(None), |read| read.map(Some))?,
        })
    })?
}

fn day(field: Field<'_>) -> Option<Timestamp> {
    let remedy = "write year, month and day, such as `2027-03-01`";
    let day = field.parse("bad_date", remedy, |text| {
        Date::parse(text, format_description!("[year]-[month]-[day]"))
            .map_err(|_| format!("`{text}` is no day"))
    })?;
    Some(Timestamp(day.midnight().assume_utc().unix_timestamp()))
}

fn private_key(section: &Section<'_>, folder: &Path) -> Option<ClientAuthentication> {
    let at_key = section.required("key", "/etc/appproxy/oidc.key");
    let key = at_key.and_then(|f| f.path(folder));
    let key_id = section.optional("key_id").map(|f| word(f, "key id"));
    Some(ClientAuthentication::PrivateKeyJwt {
        key: key?,
        key_place: at_key?.place().clone(),
        key_id: key_id.map_or(Some(None), |read| read.map(Some))?,
    })
}

fn scopes(field: Field<'_>) -> Option<Vec<Arc<str>>> {
    let scopes = field.distinct(|item| word(item, "scope"))?;
    if !scopes.iter().any(|scope| &**scope == "openid") {
        return field.refuse(
            "no_openid",
            "without the scope `openid` the provider does not say who signs in",
            "add `openid`",
        );
    }
    Some(scopes)
}

fn claims(field: Field<'_>) -> Option<ClaimNames> {
    let usual = ClaimNames::default();
    field.section(&[], |section| {
        let name = |key, usual: Arc<str>| match section.optional(key) {
            Some(field) => word(field, "name of a claim"),
            None => Some(usual),
        };
        let groups = name("groups", usual.groups);
        let email = name("email", usual.email);
        let name = name("name", usual.name);
        Some(ClaimNames {
            groups: groups?,
            email: email?,
            name: name?,
        })
    })?
}

fn algorithm(field: Field<'_>) -> Option<SigningAlgorithm> {
    let text = field.text()?;
    if let Some(known) = SigningAlgorithm::from_name(text) {
        return Some(known);
    }
    let unsafe_one = text.eq_ignore_ascii_case("none") || text.starts_with("HS");
    let what = if unsafe_one {
        format!("with `{text}` anybody could make a token")
    } else {
        format!("`{text}` is no algorithm that tokens are signed with here")
    };
    let names = SigningAlgorithm::ALL.map(SigningAlgorithm::as_str);
    let remedy = format!("write some of {}, or leave the key out", names.join(", "));
    field.refuse("bad_value", what, remedy)
}

fn prompt(field: Field<'_>) -> Option<Prompt> {
    let text = field.text()?;
    let known = [Prompt::Login, Prompt::Consent, Prompt::SelectAccount];
    let same = known.into_iter().find(|one| one.as_str() == text);
    same.or_else(|| {
        let what = format!("`{text}` is nothing a provider is told to ask for again");
        field.refuse(
            "bad_value",
            what,
            "write `login`, `consent` or `select_account`",
        )
    })
}

fn userinfo(field: Field<'_>) -> Option<UserinfoUse> {
    let text = field.text()?;
    match text {
        "auto" => Some(UserinfoUse::Auto),
        "always" => Some(UserinfoUse::Always),
        "never" => Some(UserinfoUse::Never),
        _ => field.refuse(
            "bad_value",
            format!("`{text}` does not say when the provider is asked"),
            "write `auto`, `always` or `never`",
        ),
    }
}

fn timeout(field: Field<'_>) -> Option<Duration> {
    let timeout = field.duration()?;
    if timeout > LONGEST_TIMEOUT {
        return field.refuse(
            "out_of_range",
            "somebody waits for it, with a page that does not load",
            "write at most `60s`; without the key it is `10s`",
        );
    }
    Some(timeout)
}
