//! The cookies of sign-in, and nobody else reads or writes them.
//!
//! All have the prefix `__Host-`, so that a sibling domain cannot plant one (RFC 6265bis section
//! 4.1.3.2): a browser takes them from this very host only, over TLS, for all paths. They are read by
//! exact octets: what only some parser would take for one of ours is none. What goes to an
//! application loses every spelling of them (`http::is_own_cookie`), and no application sets one.

use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::certs::{RandomError, random};
use crate::clock::Timestamp;
use crate::http::cookie_pairs;

/// The ticket of a session.
const SESSION: &str = "__Host-appproxy";

/// What ties a sign-in under way to the browser that began it; its identifier follows.
const SIGN_IN: &str = "__Host-appproxy-signin-";

/// Sign-ins under way in one browser, so that many tabs do not fill its head (peers allow any number,
/// and answer 431 in the end).
const MOST_SIGN_INS: usize = 5;

/// Of more than these only a program would send cookies: it hears of the first ones.
const MOST_READ: usize = 20;

/// Browsers keep no more of one site (Chromium; others fewer).
const MOST_FORGOTTEN: usize = 180;

/// Hexadecimal digits of the time in a [`SignInId`]: 40 bits of seconds.
const TIME_DIGITS: usize = 10;

const ATTRIBUTES: &str = "; Path=/; Secure; HttpOnly; SameSite=Lax";

/// One sign-in under way; by its text the older one stands first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct SignInId(String);

impl SignInId {
    /// A new one, of now.
    ///
    /// # Errors
    /// Where the system has no random octets.
    pub fn new(now: Timestamp) -> Result<Self, RandomError> {
        let random = u64::from_be_bytes(random()?) & 0xff_ffff_ffff;
        let time = now.0.cast_unsigned() & 0xff_ffff_ffff;
        Ok(Self(format!("{time:010x}{random:010x}")))
    }

    /// As it stands in the cookie's name: 20 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When it was made.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        let digits = self.0.get(..TIME_DIGITS).unwrap_or_default();
        Timestamp(i64::from_str_radix(digits, 16).unwrap_or(i64::MAX))
    }

    fn read(octets: &[u8]) -> Option<Self> {
        let digit = |octet: &u8| matches!(octet, b'0'..=b'9' | b'a'..=b'f');
        let right = octets.len() == 2 * TIME_DIGITS && octets.iter().all(digit);
        let text = std::str::from_utf8(octets).ok().filter(|_| right)?;
        Some(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SignInId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::read(text.as_bytes()).ok_or("no identifier of a sign-in")
    }
}

/// A cookie of ours came more than once: no browser that keeps `__Host-` to its word sends that, so
/// somebody planted one of them, and nobody can tell which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the browser sent a cookie of this gateway twice")]
pub struct Duplicate;

/// Our cookies of one request.
#[derive(Debug, Clone, Default)]
pub struct OwnCookies<'a> {
    session: Vec<&'a [u8]>,
    sign_ins: Vec<(SignInId, &'a [u8])>,
}

impl<'a> OwnCookies<'a> {
    /// Finds them in all `Cookie` fields. Names are compared octet by octet after blanks and tabs;
    /// quotes hold nothing together, `$Version` and its kin mean nothing, and a cookie without a name
    /// is not the one that its value looks like.
    #[must_use]
    pub fn read(fields: &'a HeaderMap) -> Self {
        let mut own = Self::default();
        for field in fields.get_all(header::COOKIE) {
            for pair in cookie_pairs(field.as_bytes()) {
                own.take(trim(pair));
            }
        }
        own
    }

    fn take(&mut self, pair: &'a [u8]) {
        // The prefix of both: most cookies are other people's.
        let Some(rest) = pair.strip_prefix(SESSION.as_bytes()) else {
            return;
        };
        let Some(equals) = rest.iter().position(|&octet| octet == b'=') else {
            return;
        };
        let (name, value) = (&rest[..equals], &rest[equals + 1..]);
        if name.is_empty() {
            // Two say as much as any number.
            if self.session.len() < 2 {
                self.session.push(value);
            }
        } else if let Some(id) = name.strip_prefix(&SIGN_IN.as_bytes()[SESSION.len()..])
            && let Some(id) = SignInId::read(id)
            && self.sign_ins.len() < MOST_READ
        {
            self.sign_ins.push((id, value));
        }
    }

    /// The ticket of the session.
    ///
    /// # Errors
    /// Where there is more than one.
    pub fn session(&self) -> Result<Option<&'a [u8]>, Duplicate> {
        match self.session[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(Duplicate),
        }
    }

    /// What this browser was given when that sign-in began.
    ///
    /// # Errors
    /// Where there is more than one.
    pub fn sign_in(&self, id: &SignInId) -> Result<Option<&'a [u8]>, Duplicate> {
        let mut found = self.sign_ins.iter().filter(|(own, _)| own == id);
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some((_, value)), None) => Ok(Some(value)),
            (Some(_), Some(_)) => Err(Duplicate),
        }
    }

    /// Gives the browser what ties a new sign-in to it, for as long as that may take, and takes back
    /// what is left of the oldest ones beyond five.
    pub fn begin_sign_in(
        &self,
        answer: &mut HeaderMap,
        id: &SignInId,
        nonce: &SecretString,
        within: Duration,
    ) {
        let mut known: Vec<_> = self.sign_ins.iter().map(|(id, _)| id).collect();
        known.sort_unstable();
        known.dedup();
        let too_many = (known.len() + 1).saturating_sub(MOST_SIGN_INS);
        for old in known.into_iter().filter(|old| *old != id).take(too_many) {
            end_sign_in_cookie(answer, old);
        }
        let (id, nonce, seconds) = (id.as_str(), nonce.expose_secret(), within.as_secs());
        append(
            answer,
            format!("{SIGN_IN}{id}={nonce}{ATTRIBUTES}; Max-Age={seconds}"),
        );
    }
}

/// Takes back what tied a sign-in to the browser.
pub fn end_sign_in_cookie(answer: &mut HeaderMap, id: &SignInId) {
    let id = id.as_str();
    append(answer, format!("{SIGN_IN}{id}={ATTRIBUTES}; Max-Age=0"));
}

/// Gives the browser the ticket of its session, for as long as it is open.
pub fn set_session_cookie(answer: &mut HeaderMap, ticket: &SecretString) {
    let ticket = ticket.expose_secret();
    append(answer, format!("{SESSION}={ticket}{ATTRIBUTES}"));
}

/// Takes the ticket back.
pub fn clear_session_cookie(answer: &mut HeaderMap) {
    append(answer, format!("{SESSION}={ATTRIBUTES}; Max-Age=0"));
}

/// Takes back what the application gave the browser for somebody else, as far as that can be: cookies of
/// this host for all paths. Many applications go by their own cookie alone,
/// and would take the next person for the one before.
pub fn forget_somebody_else(fields: &HeaderMap, answer: &mut HeaderMap) {
    let all = fields.get_all(header::COOKIE).iter();
    let pairs = all.flat_map(|field| cookie_pairs(field.as_bytes()));
    let names = pairs.filter_map(|pair| {
        let pair = trim(pair);
        let equals = pair.iter().position(|&octet| octet == b'=')?;
        std::str::from_utf8(&pair[..equals]).ok()
    });
    // RFC 6265 section 4.1.1: what is no token is no name that anybody set.
    let token = |name: &&str| {
        let octet = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        !name.is_empty() && name.bytes().all(octet)
    };
    let foreign = names
        .filter(token)
        .filter(|name| !name.starts_with(SESSION));
    for name in foreign.take(MOST_FORGOTTEN) {
        append(answer, format!("{name}=; Path=/; Secure; Max-Age=0"));
    }
}

/// Has the browser clear what pages of this host stored. Not `cookies`: that would be those of every host
/// of the domain, ours among them.
pub fn clear_storage(answer: &mut HeaderMap) {
    let stored = HeaderValue::from_static("\"storage\"");
    answer.insert("clear-site-data", stored);
}

fn append(answer: &mut HeaderMap, cookie: String) {
    // Tickets and nonces are letters, digits, `-`, `_` and `.`; anything else would be a fault of
    // ours, and sets nothing.
    if let Ok(mut value) = HeaderValue::try_from(cookie) {
        value.set_sensitive(true);
        answer.append(header::SET_COOKIE, value);
    }
}

/// Without blanks and tabs at either end, the only white space there is here (RFC 6265bis section
/// 5.6): some parsers trim more, and would find our name behind it.
fn trim(mut pair: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = pair {
        pair = rest;
    }
    pair
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sign_in_tells_when_it_began() {
        for seconds in [0, 1_800_000_000, (1 << 40) - 1] {
            let id = SignInId::new(Timestamp(seconds)).unwrap();
            assert_eq!(id.began(), Timestamp(seconds));
        }
    }

    #[test]
    fn cookies_of_somebody_else_are_taken_back_and_ours_are_not() {
        let fields = fields(&[
            b"JSESSIONID=1; __Host-appproxy=t; theme=dark",
            b"__Host-appproxy-signin-0=x; a b=1; =nameless; \xff=1; __Secure-x=2",
        ]);
        let mut answer = HeaderMap::new();
        forget_somebody_else(&fields, &mut answer);
        let set: Vec<_> = answer.get_all("set-cookie").iter().collect();
        assert_eq!(
            set,
            [
                "JSESSIONID=; Path=/; Secure; Max-Age=0",
                "theme=; Path=/; Secure; Max-Age=0",
                "__Secure-x=; Path=/; Secure; Max-Age=0",
            ]
        );
    }

    fn fields(cookies: &[&[u8]]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for cookie in cookies {
            fields.append("cookie", HeaderValue::from_bytes(cookie).unwrap());
        }
        fields
    }

    fn session(cookies: &[&[u8]]) -> Result<Option<Vec<u8>>, Duplicate> {
        let fields = fields(cookies);
        let own = OwnCookies::read(&fields);
        own.session().map(|one| one.map(<[u8]>::to_vec))
    }

    fn id(seconds: i64) -> SignInId {
        SignInId::new(Timestamp(seconds)).unwrap()
    }

    fn set(answer: &HeaderMap) -> Vec<&str> {
        let all = answer.get_all("set-cookie").iter();
        all.map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn ours_are_found_by_exact_octets() {
        for cookies in [
            &[&b"__Host-appproxy=x"[..]][..],
            &[b"a=1; __Host-appproxy=x; b=2"],
            &[b"a=1", b"b=2;\t__Host-appproxy=x \t;c=3"],
            &[b"$Version=1; __Host-appproxy=x; $Path=/"],
            &[b"__Host-appproxy=x; __HOST-APPPROXY=y; __Host-appproxy-to-1=z"],
            &[b"__Host-appproxy=x; \xe2\x80\x80__Host-appproxy=y; =__Host-appproxy=z"],
        ] {
            assert_eq!(session(cookies), Ok(Some(b"x".to_vec())), "{cookies:?}");
        }
    }

    #[test]
    fn rule_7_what_only_looks_like_ours_is_not() {
        for cookie in [
            &b"=__Host-appproxy=x"[..],
            b"\xe2\x80\x80__Host-appproxy=x",
            b"\xc2\xa0__Host-appproxy=x",
            b"\x0b__Host-appproxy=x",
            b"__host-appproxy=x",
            b"__Host-appproxy =x",
            b"__Host-appproxy",
            b"\"__Host-appproxy\"=x",
            b"$__Host-appproxy=x",
            b"a=1,__Host-appproxy=x",
            b"a=\"__Host-appproxy=x\"",
            b"__Host-appproxyx=1",
            b"__Host-appproxy%3dx",
        ] {
            // Not every octet can stand in a field; what cannot has been refused before.
            if HeaderValue::from_bytes(cookie).is_ok() {
                assert_eq!(session(&[cookie]), Ok(None), "{cookie:?}");
            }
        }
        // A sandwich of quotes holds nothing together, so ours stays what it is.
        let sandwich: &[u8] = b"$Version=1; a=\"1; __Host-appproxy=x; b=2\"";
        assert_eq!(session(&[sandwich]), Ok(Some(b"x".to_vec())));
    }

    #[test]
    fn two_of_ours_are_none() {
        for cookies in [
            &[&b"__Host-appproxy=x; __Host-appproxy=x"[..]][..],
            &[b"__Host-appproxy=x", b"__Host-appproxy=y"],
            &[b"__Host-appproxy=; a=1; __Host-appproxy=y; __Host-appproxy=z"],
        ] {
            assert_eq!(session(cookies), Err(Duplicate));
        }
        let id = id(5);
        let name = format!("__Host-appproxy-signin-{}", id.as_str());
        let fields = fields(&[format!("{name}=a; {name}=b").as_bytes()]);
        assert_eq!(OwnCookies::read(&fields).sign_in(&id), Err(Duplicate));
    }

    #[test]
    fn rule_7_ours_are_found_beside_32_kib_of_foreign_cookies() {
        let foreign = "k=0123456789abcdef; ".repeat(32 * 1024 / 20);
        let begin = format!("{foreign}__Host-appproxy=x");
        let end = format!("__Host-appproxy=x; {foreign}");
        for cookies in [[begin.as_bytes(), b"a=1"], [b"a=1", end.as_bytes()]] {
            assert_eq!(session(&cookies), Ok(Some(b"x".to_vec())));
        }
    }

    #[test]
    fn a_session_is_set_and_cleared() {
        let mut answer = HeaderMap::new();
        set_session_cookie(&mut answer, &"s1.abc.de".into());
        clear_session_cookie(&mut answer);
        assert_eq!(
            set(&answer),
            [
                "__Host-appproxy=s1.abc.de; Path=/; Secure; HttpOnly; SameSite=Lax",
                "__Host-appproxy=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0",
            ]
        );
        for value in answer.get_all("set-cookie") {
            assert!(value.is_sensitive());
            assert!(crate::http::is_own_cookie(value.as_bytes()));
        }
        let mut broken = HeaderMap::new();
        set_session_cookie(&mut broken, &"a\r\nb".into());
        assert!(broken.is_empty());
    }

    #[test]
    fn five_sign_ins_are_under_way_at_most_and_the_oldest_goes() {
        let ids: Vec<_> = (0..8).map(|n| id(1_800_000_000 + n)).collect();
        let brought: Vec<_> = [6, 2, 4, 0, 3]
            .map(|n: usize| format!("__Host-appproxy-signin-{}=n{n}", ids[n].as_str()))
            .into();
        let fields = fields(&[brought.join("; ").as_bytes()]);
        let own = OwnCookies::read(&fields);
        assert_eq!(own.sign_in(&ids[4]), Ok(Some(&b"n4"[..])));
        assert_eq!(own.sign_in(&ids[5]), Ok(None));
        let mut answer = HeaderMap::new();
        own.begin_sign_in(
            &mut answer,
            &ids[7],
            &"nonce".into(),
            Duration::from_secs(900),
        );
        let name = |n: usize| format!("__Host-appproxy-signin-{}=", ids[n].as_str());
        let attributes = "; Path=/; Secure; HttpOnly; SameSite=Lax";
        assert_eq!(
            set(&answer),
            [
                format!("{}{attributes}; Max-Age=0", name(0)),
                format!("{}nonce{attributes}; Max-Age=900", name(7)),
            ]
        );
        // With four of them nothing goes.
        let four = self::fields(&[brought[..4].join("; ").as_bytes()]);
        let mut answer = HeaderMap::new();
        let own = OwnCookies::read(&four);
        own.begin_sign_in(
            &mut answer,
            &ids[7],
            &"nonce".into(),
            Duration::from_secs(900),
        );
        assert_eq!(set(&answer).len(), 1);
    }

    #[test]
    fn a_program_that_sends_a_thousand_is_not_sent_a_thousand() {
        let many: Vec<_> = (0..1000)
            .map(|n| format!("__Host-appproxy-signin-{}=x", id(n).as_str()))
            .collect();
        let fields = fields(&[many.join(";").as_bytes()]);
        let mut answer = HeaderMap::new();
        let own = OwnCookies::read(&fields);
        own.begin_sign_in(&mut answer, &id(5000), &"n".into(), Duration::from_secs(1));
        assert!(set(&answer).len() <= MOST_READ);
    }

    #[test]
    fn an_identifier_is_digits_and_nothing_else() {
        let one = id(1_800_000_000);
        assert_eq!(SignInId::try_from(one.as_str().to_owned()), Ok(one.clone()));
        let upper = one.as_str().to_uppercase().replace(char::is_numeric, "A");
        for bad in [
            "",
            "0",
            &one.as_str()[1..],
            &format!("{}0", one.as_str()),
            &upper,
        ] {
            assert!(SignInId::try_from((*bad).to_owned()).is_err(), "{bad}");
        }
        assert!(id(1_799_999_999) < one);
    }

    proptest! {
        #[test]
        fn no_foreign_cookie_hides_or_becomes_ours(
            before in "[ -:<-~\t]{0,40}", after in "[ -:<-~\t]{0,40}",
        ) {
            let ours = |text: &str| text.trim().starts_with("__Host-appproxy");
            prop_assume!(!ours(&before) && !ours(&after));
            let line = format!("{before};__Host-appproxy=x;{after}");
            prop_assert_eq!(session(&[line.as_bytes()]), Ok(Some(b"x".to_vec())));
            let line = format!("{before};{after}");
            prop_assert_eq!(session(&[line.as_bytes()]), Ok(None));
        }
    }
}
