//! What holds for any page.

use proptest::prelude::*;

use super::{CORP, Table, css, html};

/// Pieces a page is made of; `{}` is where a URL goes.
const MARKUP: [&str; 30] = [
    "<a href=\"{}\">",
    "<a href='{}' class=x>",
    "<A\n  HREF={} \t title=\"a > b\">",
    "<img src=\"{}\" srcset=\"{} 1x, {} 2x\">",
    "<div style=\"background: url({}) no-repeat\">",
    "<div style='background:url(&quot;{}&quot;)'>",
    "<style>@import \"{}\"; a { background: url({}) } /* {} */</style>",
    "<style>.x{background:image-set('{}' 1x, url( {} ) 2x)}",
    "</style>",
    "<script>var u = \"{}\"; if (a < b) '<a href=\"{}\">'</script>",
    "<!-- <a href=\"{}\"> -->",
    "<textarea><a href={}></textarea>",
    "<svg><use xlink:href=\"{}#a\"/><style>a{fill:url({})}</style></svg>",
    "<noscript><img src={}></noscript>",
    "<iframe srcdoc=\"<a href='{}'>\"></iframe>",
    "<meta http-equiv=refresh content=\"5; url={}\">",
    "<form action=\"{}?u={}&amp;v=1#f\">",
    "<template><a ping=\"{} {}\"></template>",
    "text {} more & more",
    "<p>",
    "</p>",
    "<br/>",
    "<a href=",
    "\"",
    "'",
    ">",
    "<",
    "é\u{FFFD}",
    "<![CDATA[ <a href='{}'> ]]>",
    "<object data={} archive='{} {}'></object>",
];

const SHEET: [&str; 22] = [
    "a{background:url({})}",
    "a{background:url( '{}' )}",
    "@import \"{}\";",
    "@import/**/url({}) screen;",
    "a{background:image-set('{}' 1x, \"{}\" 2x type(\"image/png\"))}",
    "/* url({}) */",
    "a::before{content:\"url({})\"}",
    "\"",
    "'",
    "(",
    ")",
    "\\",
    "/",
    "*/",
    "@",
    "url(",
    "\n",
    "u\\72l({})",
    "ident-",
    "é",
    "10url({})",
    "#url({})",
];

fn url() -> impl Strategy<Value = String> {
    let bases = CORP.map(|(from, _)| from).to_vec();
    let known = (
        prop::sample::select(bases),
        "[a-z0-9/._-]{0,12}(\\?[a-z=]{0,5})?",
    );
    prop_oneof![
        4 => known.clone().prop_map(|(base, rest)| format!("{base}{rest}")),
        1 => known.clone().prop_map(|(base, rest)| format!("{}{rest}", &base[base.find(':').unwrap() + 1..])),
        1 => "/app/[a-z/]{0,8}",
        1 => "[a-z./]{0,8}",
        1 => "https://elsewhere\\.test/[a-z]{0,5}",
        1 => known.prop_map(|(base, rest)| {
            let encoded = base.replace(':', "%3A").replace('/', "%2F");
            format!("/go?u={encoded}{rest}&x=1")
        }),
    ]
}

/// Pieces with URLs put in.
fn text_of(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    let piece = prop::sample::select(pieces);
    let piece = (piece, prop::collection::vec(url(), 3));
    let piece = piece.prop_map(|(piece, urls)| {
        let mut text = piece.to_owned();
        for url in urls {
            text = text.replacen("{}", &url, 1);
        }
        text
    });
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// Pages whose pieces are whole, so that a URL is always where it seems.
fn tidy_page() -> impl Strategy<Value = String> {
    text_of(&MARKUP[..7])
}

/// A table whose two sides share nothing, so that it can be turned round.
fn ascii_table() -> Table {
    let pairs = &CORP[..5];
    Table::new(pairs, Some(("/app/", "/portal/")))
}

fn chunked(text: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    let mut rest = text;
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        chunks.push(chunk.to_vec());
        rest = after;
    }
    chunks
}

fn html_chunks(text: &[u8], sizes: &[usize]) -> Vec<u8> {
    let links = std::sync::Arc::new(Table::corp());
    let mut rewriting = super::super::HtmlRewriting::new(links, super::options()).unwrap();
    let mut out = Vec::new();
    for chunk in chunked(text, sizes) {
        let _ = rewriting.push(&chunk, &mut out);
    }
    rewriting.end(&mut out);
    out
}

fn css_chunks(text: &[u8], sizes: &[usize]) -> Vec<u8> {
    let links = std::sync::Arc::new(Table::corp());
    let mut rewriting = super::super::CssRewriting::new(links, encoding_rs::UTF_8).unwrap();
    let mut out = Vec::new();
    for chunk in chunked(text, sizes) {
        rewriting.push(&chunk, &mut out);
    }
    rewriting.end(&mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn chunks_of_a_page_do_not_matter(
        page in text_of(&MARKUP),
        sizes in prop::collection::vec(1_usize..40, 1..5),
    ) {
        let whole = html(Table::corp(), page.as_bytes(), page.len());
        let out = html_chunks(page.as_bytes(), &sizes);
        prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&whole));
    }

    #[test]
    fn chunks_of_a_style_sheet_do_not_matter(
        sheet in text_of(&SHEET),
        sizes in prop::collection::vec(1_usize..40, 1..5),
    ) {
        let whole = css(Table::corp(), sheet.as_bytes(), sheet.len());
        let out = css_chunks(sheet.as_bytes(), &sizes);
        prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&whole));
    }

    #[test]
    fn there_and_back_is_the_page_itself(page in tidy_page()) {
        let table = ascii_table();
        let back = table.back();
        let page = page.replace("http://büro.corp", "http://foreign.test");
        let out = html(table, page.as_bytes(), page.len());
        let again = html(back, &out, out.len());
        prop_assert_eq!(String::from_utf8_lossy(&again), page);
    }

    #[test]
    fn twice_is_once(page in text_of(&MARKUP), sheet in text_of(&SHEET)) {
        let once = html(Table::corp(), page.as_bytes(), page.len());
        let twice = html(Table::corp(), &once, once.len());
        prop_assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&once));
        let once = css(Table::corp(), sheet.as_bytes(), sheet.len());
        let twice = css(Table::corp(), &once, once.len());
        prop_assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&once));
    }

    #[test]
    fn without_a_host_nothing_changes(page in text_of(&MARKUP), sheet in text_of(&SHEET)) {
        let none = || Table::new(&[("http://nobody.corp/", "https://nobody.example.com/")], None);
        prop_assert_eq!(html(none(), page.as_bytes(), 13), page.as_bytes());
        prop_assert_eq!(css(none(), sheet.as_bytes(), 13), sheet.as_bytes());
    }

    #[test]
    fn any_octets_pass(
        octets in prop::collection::vec(any::<u8>(), 0..300),
        page in text_of(&MARKUP),
        at in any::<prop::sample::Index>(),
        size in 1_usize..50,
    ) {
        let mut text = page.into_bytes();
        let at = at.index(text.len() + 1);
        text.splice(at..at, octets);
        html(Table::corp(), &text, size);
        css(Table::corp(), &text, size);
        for encoding in [encoding_rs::SHIFT_JIS, encoding_rs::GB18030, encoding_rs::EUC_JP, encoding_rs::WINDOWS_1252] {
            let none = || Table::new(&[("http://nobody.corp/", "https://nobody.example.com/")], None);
            let options = || super::super::HtmlOptions { encoding, ..super::options() };
            let (out, _) = super::html_with(none(), options(), &text, size);
            prop_assert_eq!(&out, &text);
            prop_assert_eq!(&super::css_with(none(), encoding, &text, size), &text);
            let whole = super::css_with(Table::corp(), encoding, &text, text.len());
            prop_assert_eq!(super::css_with(Table::corp(), encoding, &text, size), whole);
            let (whole, _) = super::html_with(Table::corp(), options(), &text, text.len());
            let (out, _) = super::html_with(Table::corp(), options(), &text, size);
            prop_assert_eq!(out, whole);
        }
    }
}
