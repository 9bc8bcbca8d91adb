//! What stands behind the keys of conditions.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use ipnet::IpNet;

use super::super::field::Field;
use super::super::front;
use super::Known;
use super::condition::FORMS;
use crate::model::{
    CertificatePart, CertificateRule, Condition, Host, InCountries, MaxAge, PathRule,
    ServiceTokenName, Week, WeekError,
};

pub(super) fn anyone(field: Field<'_>) -> Option<Condition> {
    only_true(field).map(|()| Condition::AnyoneSignedIn)
}

pub(super) fn only_true(field: Field<'_>) -> Option<()> {
    match field.boolean()? {
        true => Some(()),
        false => field.refuse("bad_value", "only `true` says something here", FORMS),
    }
}

/// What a certificate has to say.
pub(super) fn certificate(field: Field<'_>) -> Option<Condition> {
    let parts = field.section(&[], |section| {
        let mut read = Vec::new();
        for part in CertificatePart::ALL {
            if let Some(field) = section.optional(part.as_str()) {
                read.push(certificate_part(field, part).map(|value| (part, value)));
            }
        }
        read.into_iter().collect::<Option<Vec<_>>>()
    })??;
    if parts.is_empty() {
        let names: Vec<_> = CertificatePart::ALL.map(CertificatePart::as_str).into();
        let remedy = format!(
            "write one or more of: {}; `anyone_with_certificate` is for whoever has one",
            names.join(", ")
        );
        return field.refuse("bad_value", "nothing of a certificate is named", remedy);
    }
    Some(Condition::Certificate(CertificateRule::new(parts)))
}

fn certificate_part(field: Field<'_>, part: CertificatePart) -> Option<Arc<str>> {
    let text = field.text()?;
    if !part.is_hexadecimal() {
        return match text.is_empty() {
            false => Some(text.into()),
            true => field.no_value(),
        };
    }
    // Other programs print colons between the octets, and capital letters.
    let plain = text.replace([':', ' '], "").to_ascii_lowercase();
    // What keeps a number positive in DER is not part of it, and other programs do not print it.
    let plain = match part {
        CertificatePart::Serial => {
            let from = plain.len() - plain.trim_start_matches('0').len();
            plain[(from - from % 2).min(plain.len().saturating_sub(2))..].to_owned()
        }
        _ => plain,
    };
    let length = plain.len();
    let whole = length > 0 && length % 2 == 0 && plain.bytes().all(|b| b.is_ascii_hexdigit());
    let right = whole && (part != CertificatePart::Fingerprint || length == 64);
    match right {
        true => Some(plain.into()),
        false => field.refuse(
            "bad_value",
            format!("`{text}` is no {} in hexadecimal digits", part.as_str()),
            "write it in quotes as `openssl x509 -noout -serial -fingerprint -sha256` prints it, behind \
             the `=`",
        ),
    }
}

pub(super) fn email(field: Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    let whole = text.split_once('@').is_some_and(|(name, domain)| {
        !name.is_empty() && !domain.is_empty() && !domain.contains('@')
    });
    match whole && text.is_ascii() {
        true => Some(text.into()),
        false => field.refuse(
            "bad_value",
            format!("`{text}` is no e-mail address"),
            "write one, such as `alice@example.com`",
        ),
    }
}

/// A value of `acr` or `amr`: several are asked for with blanks between them.
pub(super) fn word(field: Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    match !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Some(text.into()),
        false => field.refuse(
            "bad_value",
            format!("`{text}` is no value that a provider gives"),
            "write one word as the provider's tokens have it, such as `acr: gold` or `amr: mfa`",
        ),
    }
}

/// The shortest that somebody can keep to who is sent to the provider and back.
const SHORTEST_AGE: Duration = Duration::from_secs(60);

pub(super) fn max_age(field: Field<'_>) -> Option<MaxAge> {
    let age = field.duration()?;
    if age < SHORTEST_AGE {
        return field.refuse(
            "bad_value",
            "nobody could keep to this on the way to the provider and back",
            "write 1m or more",
        );
    }
    Some(MaxAge {
        age,
        text: field.text()?.into(),
    })
}

/// RFC 6749 section 3.3.
pub(super) fn scope(field: Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    match !text.is_empty() && text.bytes().all(plain) {
        true => Some(text.into()),
        false => field.refuse(
            "bad_value",
            format!("`{text}` is no scope"),
            "write one scope as the provider's tokens have it, such as `wiki.read`; several are several \
             lines, or `all: [{ scope: a }, { scope: b }]`",
        ),
    }
}

pub(super) fn domain(field: Field<'_>) -> Option<Arc<str>> {
    const FORM: &str = "write what stands behind the `@`, such as `example.com`";
    let text = field.text()?;
    match Host::parse(text) {
        Ok(Host::Name(name)) => Some(name.to_string().into()),
        Ok(Host::Address(_)) => field.refuse("bad_host", "an address is no mail domain", FORM),
        Err(error) => field.refuse("bad_host", error.to_string(), FORM),
    }
}

pub(super) fn claim(field: Field<'_>) -> Option<Condition> {
    field.section(&[], |section| {
        let name = section.required("name", "department");
        let value = section.required("value", "sales");
        if let Some(field) = name.filter(|field| field.is_word("email")) {
            return field.refuse(
                "unverified",
                "the claim itself may be whatever somebody typed",
                "write `email: alice@example.com` or `email_domain: example.com`: they go by the address \
                 that the provider is trusted with",
            );
        }
        let (name, value) = (name.and_then(Field::text), value.and_then(Field::text));
        Some(Condition::Claim {
            name: name?.into(),
            value: value?.into(),
        })
    })?
}

pub(super) fn networks(field: Field<'_>) -> Option<Vec<IpNet>> {
    field.distinct(front::network)
}

pub(super) fn service_token(field: Field<'_>) -> Option<Condition> {
    let remedy = "write the name that it was given by `gateway service-token create --name`";
    let name = field.parse("bad_name", remedy, ServiceTokenName::new)?;
    Some(Condition::ServiceToken(name.as_str().into()))
}

/// ISO 3166-1 alpha-2, and Kosovo as databases have it.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ \
                         BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM \
                         DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS \
                         GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN \
                         KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ \
                         MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM \
                         PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV \
                         SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI \
                         VN VU WF WS XK YE YT ZA ZM ZW";

/// By codes of ISO 3166-1.
pub(super) fn country(field: Field<'_>, known: &Known<'_>) -> Option<Condition> {
    let codes = field.distinct(|item| {
        let text = item.text()?;
        match COUNTRIES.split(' ').any(|code| code == text) {
            true => Some(Arc::<str>::from(text)),
            false => item.refuse(
                "bad_value",
                format!("`{text}` is no code of a country"),
                "write two capital letters as ISO 3166-1 has them, such as `DE`, or `GB` for the United \
                 Kingdom",
            ),
        }
    });
    match &known.rules.countries {
        Some(Some(database)) => Some(Condition::Country(InCountries {
            codes: codes?.into(),
            database: Arc::clone(database),
        })),
        // What is wrong with it is said there.
        Some(None) => None,
        None => field.refuse(
            "no_country_database",
            "nothing says in which country an address is",
            "add a database of yours in the form of MaxMind at the top of the file, such as \
             `country_database: /var/lib/appproxy/GeoLite2-Country.mmdb`",
        ),
    }
}

pub(super) fn methods(field: Field<'_>) -> Option<Vec<Method>> {
    field.distinct(|item| {
        const FORM: &str = "write methods as they are sent, such as `[GET, HEAD]`";
        let text = item.text()?;
        let known = text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) if known && method != Method::CONNECT => Some(method),
            _ => item.refuse("bad_value", format!("`{text}` is no method"), FORM),
        }
    })
}

pub(super) fn path(field: Field<'_>) -> Option<PathRule> {
    let text = field.text()?;
    match PathRule::new(text) {
        Some(rule) => Some(rule),
        None => field.refuse(
            "bad_path",
            format!("`{text}` is no path that a rule can go by"),
            "write it as the browser's address has it, such as `/admin/`: it begins with `/`, is not \
             `/` alone, and has no `%`, `;`, `?`, `#`, empty or dot segments",
        ),
    }
}

pub(super) fn time(field: Field<'_>) -> Option<Week> {
    field.section(&[], |section| {
        let days = section.optional("days").map(|field| {
            let days = field.distinct(|item| item.text().map(str::to_owned));
            days.map(|days| (days, field))
        });
        let text = |field: Option<Field<'_>>, usual: &'static str| match field {
            Some(field) => field.text().map(str::to_owned),
            None => Some(usual.to_owned()),
        };
        let (at_from, at_to) = (section.optional("from"), section.optional("to"));
        let at_zone = section.required("zone", "Europe/Berlin");
        let (from, to) = (text(at_from, "00:00"), text(at_to, "24:00"));
        let zone = at_zone.and_then(|field| field.text());
        let (days, at_days) = match days {
            Some(read) => {
                let (days, at) = read?;
                (days, Some(at))
            }
            None => (Vec::new(), None),
        };
        let (from, to, zone) = (from?, to?, zone?);
        let days: Vec<&str> = days.iter().map(String::as_str).collect();
        let error = match Week::new(&days, &from, &to, zone) {
            Ok(week) => return Some(week),
            Err(error) => error,
        };
        let (at, remedy) = match &error {
            WeekError::Day(_) => (
                at_days,
                "write days as `[mon, tue, wed, thu, fri, sat, sun]`",
            ),
            WeekError::Zone(_) => (
                at_zone,
                "write a name of the time zone database, such as `Europe/Berlin` or `UTC`",
            ),
            WeekError::Time(text) if *text == to && *text != from => (
                at_to,
                "write hours and minutes in quotes, such as \"18:00\"",
            ),
            WeekError::Time(_) => (
                at_from,
                "write hours and minutes in quotes, such as \"08:00\"",
            ),
            WeekError::Empty => (
                None,
                "write another `to`: an end before `from` is on the next day",
            ),
        };
        at.unwrap_or(field)
            .refuse("bad_time", error.to_string(), remedy)
    })?
}
