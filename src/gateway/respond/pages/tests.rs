//! Every page, as it is written down in `testdata/pages`, and with text that means harm.
//!
//! `BLESS=1 cargo nextest run pages::tests` writes the files anew; read the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use http::Method;
use http_body_util::BodyExt as _;
use proptest::prelude::*;

use super::asset::FIXED;
use super::*;
use crate::model::{Brand, Colour, LogoFile, Place, SupportLink};

const FOLDER: &str = "testdata/pages";

/// Pages in the files, each in two languages.
const SHOWN: usize = 21;

fn path(text: &str) -> OwnPath {
    OwnPath::parse(text).unwrap()
}

fn web(text: &str) -> WebUrl {
    WebUrl::parse(text).unwrap()
}

fn id() -> RequestId {
    RequestId::from_random([0xab; 8])
}

/// Every page, with `text` wherever text comes from outside.
#[expect(
    clippy::too_many_lines,
    reason = "a list of every page with all it can show"
)]
fn every_page(text: &str, mut show: impl FnMut(&'static str, &Page<'_>)) {
    let sign_in = Link::from(web(
        "https://login.example.com/.appproxy/sign-in?state=a&b='c'",
    ));
    let target = path("/start?a=1&b=\"2\"#part");
    let own = Link::from(path("/.appproxy/again?x=1&y=2"));
    let site = web("https://a.apps.example.com:8443/");
    let action = path("/.appproxy/confirm");
    let (icon, wiki) = (
        path("/.appproxy/icons/wiki.png"),
        web("https://wiki.example.com/start"),
    );
    let provider = web("https://idp.example.com/logout");

    let state = text;
    show(
        "keep",
        &Page::Keep {
            state,
            sign_in: &sign_in,
        },
    );
    show(
        "return",
        &Page::Return {
            state,
            target: &target,
            clears: false,
        },
    );
    show("frame", &Page::Frame { open: &own });
    let providers = [
        Choice {
            name: text,
            begin: &sign_in,
        },
        Choice {
            name: "Guests",
            begin: &own,
        },
    ];
    show(
        "chooser",
        &Page::Chooser {
            providers: &providers,
        },
    );
    let fields = [("state", text), (text, "again")];
    let (site, action) = (&site, &action);
    show("enter", &Page::Enter { action, code: text });
    show(
        "confirm",
        &Page::Confirm(Confirm {
            site,
            action,
            fields: &fields,
        }),
    );

    let sign_out = SignOut {
        action,
        token: text,
        provider: Some(&provider),
    };
    let applications = [
        Tile {
            name: text,
            description: Some(text),
            url: &wiki,
            icon: None,
        },
        Tile {
            name: "Wiki",
            description: None,
            url: site,
            icon: Some(&icon),
        },
    ];
    let launcher = Launcher {
        person: text,
        applications: &applications,
        sign_out,
    };
    show("launcher", &Page::Launcher(launcher));
    let empty = Launcher {
        applications: &[],
        ..launcher
    };
    show("launcher-empty", &Page::Launcher(empty));
    show(
        "sign-out",
        &Page::SignOut(SignOut {
            provider: None,
            ..sign_out
        }),
    );
    for (name, provider) in [
        ("signed-out-everywhere", ProviderSession::Ended),
        ("signed-out-here", ProviderSession::Kept),
    ] {
        show(
            name,
            &Page::SignedOut {
                sign_in: &own,
                provider,
            },
        );
    }

    let refused = Stopped::Refused {
        person: text,
        other: &own,
    };
    for (name, stopped) in [
        ("stopped-no-cookie", Stopped::NoCookie),
        ("stopped-loop", Stopped::Loop),
        ("stopped-expired", Stopped::Expired),
        ("stopped-other-person", Stopped::OtherPerson),
        ("stopped-provider", Stopped::Provider),
        ("stopped-cancelled", Stopped::Cancelled),
        ("stopped-refused", refused),
    ] {
        let again = (name != "stopped-refused").then_some(&sign_in);
        let explained = Explained {
            stopped,
            finding: text,
            again,
        };
        show(name, &Page::Explained(explained));
    }

    let fields = [
        (format!("f{text}"), text.to_owned()),
        ("new_Password".to_owned(), "hunter2".to_owned()),
        ("notes".to_owned(), "one\r\ntwo".to_owned()),
    ];
    let expired = Expired {
        action,
        fields: &fields,
        sign_in: &sign_in,
    };
    show("expired", &Page::Expired(expired));
    let error = Page::Error {
        code: ErrorCode::Maintenance,
        notice: Some(text),
    };
    show("error", &error);
}

/// What the operator of the files likes.
fn branded() -> Theme {
    let folder = tempfile::tempdir().unwrap();
    let logo = folder.path().join("logo.svg");
    fs::write(&logo, "<svg xmlns=\"http://www.w3.org/2000/svg\"/>").unwrap();
    Theme::new(
        &Brand {
            name: Some("Example & Works".into()),
            logo: Some(LogoFile {
                path: logo,
                place: Place::default(),
            }),
            colour: Colour::parse("#003366"),
            support: SupportLink::parse("https://example.com/help?a=1&b=2"),
        },
        [],
    )
    .unwrap()
}

fn plain() -> Theme {
    Theme::new(&Brand::default(), []).unwrap()
}

/// What is different with each change of a stylesheet.
fn without_hashes(html: &Html, theme: &Theme) -> String {
    let mut text = format!("<!-- {} -->\n{}", html.policy, html.text);
    text = text.replace(&theme.inline_source, "'sha256-HASH'");
    text = text.replace(&theme.inline, "STYLE");
    let own = theme.logo.iter().chain(&theme.colours);
    for served in FIXED.all().into_iter().chain(own) {
        let (before, after) = served.path.rsplit_once('-').unwrap();
        let (_, extension) = after.split_once('.').unwrap();
        text = text.replace(&served.path, &format!("{before}-HASH.{extension}"));
    }
    text
}

#[test]
fn pages_are_as_they_are_written_down() {
    let bless = std::env::var_os("BLESS").is_some();
    let (branded, plain, id) = (branded(), plain(), id());
    let mut names = BTreeSet::new();
    let mut wrong = String::new();
    let mut check = |name: &str, page: &Page<'_>, theme: &Theme| {
        for language in [Language::English, Language::German] {
            let html = render(
                page,
                &Look {
                    language,
                    theme,
                    id: &id,
                },
            );
            let file = format!("{FOLDER}/{name}.{}.html", language.tag());
            let text = without_hashes(&html, theme);
            if bless {
                fs::write(&file, &text).unwrap();
            }
            if fs::read_to_string(&file).unwrap_or_default() != text {
                wrong += &format!("=== {file}\n{text}");
            }
            names.insert(file);
        }
    };
    every_page("Zoë", |name, page| check(name, page, &branded));
    let error = Page::Error {
        code: ErrorCode::NoRoute,
        notice: None,
    };
    check("error-plain", &error, &plain);
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(names.len(), SHOWN * 2, "{names:?}");
    let files = fs::read_dir(FOLDER).unwrap().map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        Path::new(FOLDER).join(name).to_str().unwrap().to_owned()
    });
    assert_eq!(files.collect::<BTreeSet<_>>(), names);
}

/// A piece of a document.
#[derive(Debug, PartialEq)]
enum Piece {
    Open(String, BTreeMap<String, String>),
    Close(String),
    Text(String),
}

/// Reads what we write, and nothing looser: every attribute is quoted or has no value.
fn pieces(html: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut rest = html;
    while !rest.is_empty() {
        let Some(tag) = rest.strip_prefix('<') else {
            let end = rest.find('<').unwrap_or(rest.len());
            assert!(!rest[..end].contains('>'), "{}", &rest[..end]);
            out.push(Piece::Text(unescaped(&rest[..end])));
            rest = &rest[end..];
            continue;
        };
        let name_end = tag.find([' ', '>']).unwrap();
        let name = tag[..name_end].to_owned();
        rest = &tag[name_end..];
        if let Some(name) = name.strip_prefix('/') {
            out.push(Piece::Close(name.to_owned()));
            rest = rest.strip_prefix('>').unwrap();
            continue;
        }
        let mut attributes = BTreeMap::new();
        while let Some(attribute) = rest.strip_prefix(' ') {
            let end = attribute.find(['=', ' ', '>']).unwrap();
            let key = attribute[..end].to_owned();
            let mut value = String::new();
            rest = &attribute[end..];
            if let Some(quoted) = rest.strip_prefix("=\"") {
                let (inner, after) = quoted.split_once('"').unwrap();
                assert!(!inner.contains(['<', '>']), "{inner}");
                (value, rest) = (unescaped(inner), after);
            }
            assert!(attributes.insert(key, value).is_none(), "{name}");
        }
        rest = rest
            .strip_prefix('>')
            .unwrap_or_else(|| panic!("{name}: {rest}"));
        let is_style = name == "style";
        out.push(Piece::Open(name, attributes));
        if is_style {
            rest = rest.split_once("</style>").unwrap().1;
            out.push(Piece::Close("style".to_owned()));
        }
    }
    out
}

fn unescaped(text: &str) -> String {
    let plain = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#13;", "\r"),
        ("&amp;", "&"),
    ];
    plain
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The elements and the names of their attributes, in order.
fn skeleton(pieces: &[Piece]) -> Vec<String> {
    let element = |piece: &Piece| match piece {
        Piece::Open(name, attributes) => {
            let names: Vec<_> = attributes.keys().map(String::as_str).collect();
            Some(format!("<{name} {}", names.join(" ")))
        }
        Piece::Close(name) => Some(format!("</{name}")),
        Piece::Text(_) => None,
    };
    pieces.iter().filter_map(element).collect()
}

/// Each page in each language, taken apart.
fn every_document(text: &str, theme: &Theme, mut show: impl FnMut(&str, &Html, &[Piece])) {
    let id = id();
    for language in Language::ALL {
        every_page(text, |name, page| {
            let html = render(
                page,
                &Look {
                    language,
                    theme,
                    id: &id,
                },
            );
            let name = format!("{name}.{}", language.tag());
            show(&name, &html, &pieces(&html.text));
        });
    }
}

const HOSTILE: [&str; 6] = [
    "</bdi></main><script>alert(1)</script><!--",
    "\" onmouseover=\"alert(1)\" x=\"",
    "' autofocus onfocus='alert(1)",
    "{person}{host}{count}%7B&lt;script&gt;&#60;",
    "\u{202e}gnihton\u{2069}\u{2066}\u{200f}\u{feff}",
    "a\r\nSet-Cookie: x=1\u{1b}[31m\u{85}\u{7f}\t\u{b}",
];

#[test]
fn hostile_text_changes_no_page() {
    let theme = branded();
    let mut expected = BTreeMap::new();
    every_document("x", &theme, |name, _, pieces| {
        expected.insert(name.to_owned(), skeleton(pieces));
    });
    for hostile in HOSTILE {
        let mut seen = 0;
        every_document(hostile, &theme, |name, html, pieces| {
            assert_eq!(skeleton(pieces), expected[name], "{name}: {hostile:?}");
            assert!(!html.text.contains('\r'), "{name}");
            assert!(
                !html.policy.contains(['\r', '\n', '"', '<']),
                "{name}: {}",
                html.policy
            );
            seen += 1;
        });
        assert_eq!(seen, expected.len());
    }
}

/// What people are shown: text from outside is within `bdi`, and turns nothing around it.
#[test]
fn text_from_outside_is_isolated() {
    let theme = plain();
    let hostile = "<b>\u{202e}&\u{7}";
    let shown = "<b>\u{fffd}&\u{fffd}";
    let mut isolated = BTreeSet::new();
    every_document(hostile, &theme, |name, html, pieces| {
        let mut in_bdi = false;
        let mut in_code_or_notice = false;
        for piece in pieces {
            match piece {
                Piece::Open(element, _) => {
                    in_bdi |= element == "bdi";
                    in_code_or_notice = element == "code" || element == "p";
                }
                Piece::Close(element) => in_bdi &= element != "bdi",
                Piece::Text(text) if in_bdi => {
                    if text.contains(shown) {
                        isolated.insert(name.to_owned());
                    }
                }
                Piece::Text(text) => {
                    // A finding is a word of ours, and a notice the operator's.
                    assert!(!text.contains("<b>") || in_code_or_notice, "{name}: {text}");
                }
            }
        }
        let title = html.text.split("<title>").nth(1).unwrap();
        assert!(
            !title
                .split("</title>")
                .next()
                .unwrap()
                .contains("&lt;b&gt;"),
            "{name}"
        );
    });
    // Chooser, launchers, refused and expired.
    assert_eq!(isolated.len(), 5 * Language::ALL.len(), "{isolated:?}");
}

fn attributes<'a>(
    pieces: &'a [Piece],
    element: &'a str,
) -> impl Iterator<Item = &'a BTreeMap<String, String>> {
    pieces.iter().filter_map(move |piece| match piece {
        Piece::Open(name, attributes) if name == element => Some(attributes),
        _ => None,
    })
}

fn hidden_fields(pieces: &[Piece]) -> Vec<(String, String)> {
    let inputs = attributes(pieces, "input");
    let hidden = inputs.filter(|input| input["type"] == "hidden");
    hidden
        .map(|input| (input["name"].clone(), input["value"].clone()))
        .collect()
}

/// What a browser would send: it reads line breaks of a document as line feeds (HTML 13.2.3.5), and
/// sends them as both (HTML 4.10.22.4).
fn as_sent(text: &str) -> String {
    text.replace("\r\n", "\n")
        .replace('\r', "\n")
        .replace('\n', "\r\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_changes_a_page(text in any::<String>()) {
        let text = text.replace(['\0', '\u{fffd}'], "");
        let theme = plain();
        let id = id();
        let mut expected = Vec::new();
        let look = Look { language: Language::English, theme: &theme, id: &id };
        every_page("x", |_, page| expected.push(skeleton(&pieces(&render(page, &look).text))));
        let mut at = 0;
        every_page(&text, |name, page| {
            let html = render(page, &look);
            assert_eq!(skeleton(&pieces(&html.text)), expected[at], "{name}");
            at += 1;
        });
    }

    #[test]
    fn a_form_is_sent_again_as_it_was(
        fields in prop::collection::vec(("[^\0\r\u{fffd}]{1,8}", "[^\0\r\u{fffd}]{0,20}"), 0..6),
    ) {
        let fields: Vec<_> = fields
            .into_iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("_charset_"))
            .map(|(name, value)| (as_sent(&name), as_sent(&value)))
            .collect();
        let (action, sign_in) = (path("/send"), Link::from(path("/in")));
        let page = Page::Expired(Expired { action: &action, fields: &fields, sign_in: &sign_in });
        let (theme, id) = (plain(), id());
        let html = render(&page, &Look { language: Language::French, theme: &theme, id: &id });
        let sent: Vec<_> = hidden_fields(&pieces(&html.text))
            .into_iter()
            .map(|(name, value)| (as_sent(&name), as_sent(&value)))
            .collect();
        prop_assert_eq!(sent, fields);
    }
}

fn of_expired(fields: &[(&str, &str)]) -> (Html, Vec<Piece>) {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let fields: Vec<_> = fields.iter().map(owned).collect();
    let (action, sign_in) = (path("/send"), Link::from(path("/in")));
    let page = Page::Expired(Expired {
        action: &action,
        fields: &fields,
        sign_in: &sign_in,
    });
    let (theme, id) = (plain(), id());
    let html = render(
        &page,
        &Look {
            language: Language::English,
            theme: &theme,
            id: &id,
        },
    );
    let pieces = pieces(&html.text);
    (html, pieces)
}

#[test]
fn a_form_that_a_browser_would_change_is_not_sent_again() {
    for fields in [
        [("a\0", "b")],
        [("a", "b\0")],
        [("", "b")],
        [("_CharSet_", "utf-8")],
    ] {
        let (html, pieces) = of_expired(&fields);
        assert_eq!(attributes(&pieces, "form").count(), 0, "{fields:?}");
        assert!(html.text.contains("cannot be sent again"));
        assert!(
            html.policy.contains("form-action 'none'"),
            "{}",
            html.policy
        );
    }
}

#[test]
fn secrets_are_sent_and_not_shown_and_long_values_cut() {
    let long = "é".repeat(2001);
    let fields = [
        ("PassWord", "hunter2"),
        ("csrfToken", "hunter2"),
        ("api-secret", "hunter2"),
        ("user", "zoë"),
        ("long", long.as_str()),
    ];
    let (html, pieces) = of_expired(&fields);
    assert_eq!(hidden_fields(&pieces).len(), fields.len());
    let (table, form) = html.text.split_once("</table>").unwrap();
    assert!(!table.contains("hunter2"));
    assert_eq!(table.matches("(not shown)").count(), 3);
    assert_eq!(form.matches("hunter2").count(), 3);
    assert!(table.contains(&format!("<bdi>{}…</bdi>", "é".repeat(2000))));
    assert!(form.contains(&long));
}

/// WCAG 2.2: language, landmarks, headings, labels, names; and what a page may lead to and load.
#[test]
fn pages_are_accessible_and_lead_nowhere_odd() {
    let theme = branded();
    every_document("Zoë", &theme, |name, _, pieces| {
        let of = |element| attributes(pieces, element).collect::<Vec<_>>();
        let tag = name.rsplit_once('.').unwrap().1;
        assert_eq!(of("html")[0]["lang"], tag);
        for once in ["html", "head", "title", "body", "main", "h1"] {
            assert_eq!(of(once).len(), 1, "{name}: {once}");
        }
        assert!(of("header").len() == 1 && of("footer").len() == 1, "{name}");
        let inputs = of("input");
        for input in inputs.iter().filter(|input| input["type"] != "hidden") {
            let labels = of("label");
            assert!(
                labels.iter().any(|label| label["for"] == input["id"]),
                "{name}"
            );
        }
        assert!(
            of("img").iter().all(|image| image.contains_key("alt")),
            "{name}"
        );
        for (element, attribute) in [
            ("a", "href"),
            ("form", "action"),
            ("img", "src"),
            ("script", "src"),
            ("link", "href"),
        ] {
            for found in of(element) {
                let leads = &found[attribute];
                let is_web = leads.starts_with("https://") && (element == "a");
                assert!(OwnPath::parse(leads).is_some() || is_web, "{name}: {leads}");
                if matches!(element, "script" | "link") {
                    assert!(theme.asset(leads).is_some(), "{name}: {leads}");
                }
                if found.get("target").is_some() {
                    assert_eq!(
                        (found["target"].as_str(), found["rel"].as_str()),
                        ("_blank", "noopener")
                    );
                }
            }
        }
        for form in of("form") {
            assert_eq!(form["method"], "post", "{name}");
            assert!(form.get("enctype").is_none(), "{name}");
        }
        for piece in pieces {
            let Piece::Open(_, attributes) = piece else {
                continue;
            };
            for attribute in attributes.keys() {
                let odd = ["style", "autofocus", "tabindex", "http-equiv", "srcdoc"];
                let is_odd = odd.contains(&attribute.as_str()) || attribute.starts_with("on");
                assert!(!is_odd, "{name}: {attribute}");
            }
        }
        balanced(name, pieces);
    });
}

fn balanced(page: &str, pieces: &[Piece]) {
    const VOID: [&str; 5] = ["!doctype", "meta", "link", "img", "input"];
    let mut open = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Open(name, _) if !VOID.contains(&name.as_str()) => open.push(name.as_str()),
            Piece::Close(name) => assert_eq!(open.pop(), Some(name.as_str()), "{page}"),
            _ => {}
        }
    }
    assert_eq!(open, Vec::<&str>::new(), "{page}");
}

#[test]
fn policies_allow_what_a_page_does_and_nothing_else() {
    let theme = branded();
    let scripted = ["keep", "return", "launcher"];
    let mut seen = 0;
    every_document("Zoë", &theme, |name, html, pieces| {
        let page = name.split_once('.').unwrap().0;
        let policy = &html.policy;
        let directives: BTreeMap<_, _> = policy
            .split("; ")
            .map(|directive| directive.split_once(' ').unwrap())
            .collect();
        assert_eq!(directives["default-src"], "'none'");
        assert_eq!(directives["base-uri"], "'none'");
        assert!(
            !policy.contains("unsafe") && !policy.contains("data:"),
            "{policy}"
        );
        let ancestors = if page == "frame" { "*" } else { "'none'" };
        assert_eq!(directives["frame-ancestors"], ancestors, "{name}");
        let script = directives.get("script-src");
        assert_eq!(
            script,
            scripted.contains(&page).then_some(&"'self'"),
            "{name}"
        );
        assert_eq!(
            attributes(pieces, "script").count(),
            script.iter().count(),
            "{name}"
        );
        assert_eq!(directives.get("img-src"), Some(&"'self'"), "the logo");
        let forms = match page {
            "confirm" => "'self' https://a.apps.example.com:8443",
            "launcher" | "launcher-empty" => "'self' https://idp.example.com",
            "sign-out" | "enter" => "'self'",
            "expired" => "'self' https: http:",
            _ => "'none'",
        };
        assert_eq!(directives["form-action"], forms, "{name}");
        let has_form = attributes(pieces, "form").next().is_some();
        assert_eq!(has_form, forms != "'none'", "{name}");
        let style = match page {
            "error" => theme.inline_source.as_str(),
            _ => "'self'",
        };
        assert_eq!(directives["style-src"], style, "{name}");
        seen += 1;
    });
    // One of them is in the files twice: with a brand, and without.
    assert_eq!(seen, (SHOWN - 1) * Language::ALL.len());
}

/// A visitor without scripts is not held up, and a fragment is kept and found under the same name.
#[test]
fn scripts_follow_links_that_are_there_for_everybody() {
    let theme = plain();
    every_document("abc", &theme, |name, _, pieces| {
        let page = name.split_once('.').unwrap().0;
        let links = attributes(pieces, "a");
        let go: Vec<_> = links.filter(|a| a.contains_key("data-go")).collect();
        let state = attributes(pieces, "main").next().unwrap().get("data-state");
        if matches!(page, "keep" | "return") {
            assert_eq!((go.len(), state.map(String::as_str)), (1, Some("abc")));
        } else {
            assert_eq!((go.len(), state), (0, None), "{name}");
        }
    });
    for served in FIXED.all() {
        let text = str::from_utf8(&served.asset.octets).unwrap();
        for odd in [
            "innerHTML",
            "eval(",
            "Function(",
            "document.write",
            "http:",
            "https:/",
            "import",
        ] {
            assert!(!text.contains(odd), "{}: {odd}", served.path);
        }
    }
}

#[tokio::test]
async fn pages_and_assets_are_responses() {
    let (theme, id) = (branded(), id());
    let look = Look {
        language: Language::Japanese,
        theme: &theme,
        id: &id,
    };
    let sign_in = Link::from(path("/in"));
    let page_of = |method| {
        let keep = Page::Keep {
            state: "s",
            sign_in: &sign_in,
        };
        page(&keep, &look, &method)
    };
    let response = page_of(Method::GET);
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let headers = response.headers().clone();
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(headers["x-request-id"], id.as_str());
    assert_eq!(headers["appproxy-answer"], "gateway");
    assert!(headers.contains_key("www-authenticate"));
    let octets = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(headers["content-length"], octets.len().to_string());
    let head = page_of(Method::HEAD);
    assert_eq!(head.headers(), &headers);
    assert!(
        head.into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );

    let served = theme.asset(&FIXED.keep.path).unwrap();
    let response = asset(served.clone(), &Method::GET, &id);
    let headers = response.headers().clone();
    assert_eq!(
        headers["cache-control"],
        "public, max-age=31536000, immutable"
    );
    assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("sandbox") && !policy.contains("script"),
        "{policy}"
    );
    let octets = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(octets, served.octets);
    for absent in ["/.appproxy/assets/", "/.appproxy/assets/keep.js", "/", ""] {
        assert!(theme.asset(absent).is_none(), "{absent}");
    }
}

#[test]
fn each_page_has_its_status() {
    let mut statuses = BTreeMap::<u16, BTreeSet<&str>>::new();
    every_page("x", |name, page| {
        let status = page.status().as_u16();
        let kind = name.split("-").next().unwrap();
        statuses.entry(status).or_default().insert(kind);
    });
    let expected = [
        (
            200,
            vec![
                "chooser", "confirm", "enter", "launcher", "return", "sign", "signed",
            ],
        ),
        (401, vec!["expired", "frame", "keep"]),
        (403, vec!["stopped"]),
        (503, vec!["error"]),
    ];
    let expected = expected.map(|(status, kinds)| (status, kinds.into_iter().collect()));
    assert_eq!(statuses, BTreeMap::from(expected));
}

/// The variables of the stylesheet, by day and at night.
fn colours(style: &str) -> [BTreeMap<String, Colour>; 2] {
    let mut blocks = style.split(":root{").skip(1).map(|rest| {
        let block = rest.split_once('}').unwrap().0;
        let variables = block.split(';').filter_map(|part| {
            let (name, value) = part.strip_prefix("--")?.split_once(':')?;
            let value = match value {
                "#fff" => "#ffffff",
                "#000" => "#000000",
                value => value,
            };
            Some((name.to_owned(), Colour::parse(value).unwrap()))
        });
        variables.collect()
    });
    let both = [blocks.next().unwrap(), blocks.next().unwrap()];
    assert!(blocks.next().is_none());
    both
}

/// What lies on what, and the contrast it needs (WCAG 2.2: 1.4.3 for text, 1.4.11 for the rest).
const PAIRS: [(&str, &str, f64); 13] = [
    ("text", "card", 4.5),
    ("text", "back", 4.5),
    ("soft", "card", 4.5),
    ("soft", "back", 4.5),
    ("link", "card", 4.5),
    ("link", "back", 4.5),
    ("on", "accent", 4.5),
    ("accent", "card", 3.0),
    ("edge", "card", 3.0),
    // The outline of what has the focus.
    ("text", "card", 3.0),
    ("text", "back", 3.0),
    // A page is told from what is around it.
    ("accent", "back", 3.0),
    ("edge", "back", 3.0),
];

/// Between what is apart anyway.
const DECORATIVE: [&str; 1] = ["line"];

#[test]
fn every_pair_of_colours_has_its_contrast() {
    let style = str::from_utf8(&FIXED.style.asset.octets).unwrap();
    let [day, night] = colours(style);
    assert_eq!(
        day.keys().collect::<Vec<_>>(),
        night.keys().collect::<Vec<_>>()
    );
    assert_eq!(night["card"], theme::DARK_CARD);
    let mut known: BTreeSet<&str> = DECORATIVE.into();
    for (front, back, least) in PAIRS {
        known.extend([front, back]);
        for (when, colours) in [("day", &day), ("night", &night)] {
            let ratio = colours[front].contrast(colours[back]);
            assert!(ratio >= least, "{front} on {back} by {when}: {ratio:.2}");
        }
    }
    assert_eq!(
        day.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        known
    );
    // Every rule that sets both is one of the pairs, and no rule has a colour of its own.
    let mut both = 0;
    for rule in style.split('}').filter(|rule| !rule.contains(":root{")) {
        let Some((selector, rule)) = rule.split_once('{') else {
            continue;
        };
        assert!(
            !rule.contains('#') && !rule.contains("rgb") && !rule.contains("hsl"),
            "{rule}"
        );
        let variable = |key: &str| {
            let value = rule.split(';').find_map(|part| part.strip_prefix(key))?;
            Some(value.strip_prefix("var(--")?.strip_suffix(')')?.to_owned())
        };
        if let (Some(front), Some(back)) = (variable("color:"), variable("background:")) {
            let is_known = PAIRS
                .iter()
                .any(|(f, b, _)| (*f, *b) == (front.as_str(), back.as_str()));
            assert!(is_known, "{selector}: {front} on {back}");
            both += 1;
        }
    }
    assert_eq!(both, 5, "rules with both colours");
}

/// Nothing moves, the focus is seen, and what is loaded is ours.
#[test]
fn the_stylesheet_is_calm() {
    let style = str::from_utf8(&FIXED.style.asset.octets).unwrap();
    for odd in [
        "animation",
        "transition",
        "scroll-behavior",
        "url(",
        "@import",
        "outline:none",
        "outline:0",
    ] {
        assert!(!style.contains(odd), "{odd}");
    }
    assert!(style.contains(":focus-visible{outline:3px solid"));
    // Targets of 24 pixels and more (WCAG 2.2, 2.5.8): 2.75rem is 44.
    for large in [
        ".button,button{display:inline-block;min-height:2.75rem",
        "input{width:100%;min-height:2.75rem",
        "footer a{display:inline-block;min-width:24px;line-height:24px",
    ] {
        assert!(style.contains(large), "{large}");
    }
}

/// The sentences of the error pages, in every language.
#[test]
fn errors_are_told_in_the_visitor_s_language() {
    let (theme, id) = (plain(), id());
    for language in Language::ALL {
        let mut seen = BTreeSet::new();
        for &code in ErrorCode::ALL {
            let look = Look {
                language,
                theme: &theme,
                id: &id,
            };
            let html = render(&Page::Error { code, notice: None }, &look).text;
            assert!(html.contains(&format!("<html lang=\"{}\">", language.tag())));
            assert!(html.contains(&format!("<code>{code}</code>")));
            seen.insert(language.say(super::super::words::message(code)));
            balanced(code.as_str(), &pieces(&html));
        }
        assert_eq!(seen.len(), ErrorCode::ALL.len(), "{}", language.tag());
    }
}
