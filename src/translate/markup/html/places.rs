//! Which attributes hold URLs, and of what shape.

/// What an attribute's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A URL.
    Url,
    /// Text that may be a whole absolute URL.
    MayBeUrl,
    /// `srcset`
    Candidates,
    /// URLs between blanks.
    List,
    /// Declarations of CSS.
    Style,
    /// A script: what happens on an event.
    Script,
    /// A page.
    Page,
    /// The content of a `meta` element, which depends on its other attributes.
    Content,
}

/// The longest name below.
const LONGEST: usize = 15;

/// The shape of an attribute, by the lower-case name of the element and the name of the attribute
/// as it is written.
///
/// More general than the list of the model: an attribute that names a URL on one element does so
/// on custom elements too, and a URL that is not published stays as it is anyway.
pub(super) fn shape(tag: &[u8], is_svg: bool, name: &[u8]) -> Option<Shape> {
    // What most attributes are.
    if matches!(
        name,
        b"class" | b"id" | b"alt" | b"title" | b"name" | b"type" | b"width" | b"rel"
    ) {
        return None;
    }
    let mut lower = [0; LONGEST];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"href" | b"src" | b"action" | b"formaction" | b"poster" | b"cite" | b"longdesc"
        | b"background" | b"data-src" | b"data-background" | b"xlink:href" => Shape::Url,
        b"style" => Shape::Style,
        b"srcset" | b"imagesrcset" | b"data-srcset" => Shape::Candidates,
        b"ping" => Shape::List,
        b"data" | b"codebase" if tag == b"object" || tag == b"applet" => Shape::Url,
        b"archive" if tag == b"object" => Shape::List,
        b"profile" if tag == b"head" => Shape::Url,
        b"manifest" if tag == b"html" => Shape::Url,
        b"icon" if tag == b"menuitem" => Shape::Url,
        b"content" if tag == b"meta" => Shape::Content,
        b"value" if tag == b"input" || tag == b"param" => Shape::MayBeUrl,
        b"srcdoc" if tag == b"iframe" => Shape::Page,
        b"fill" | b"stroke" | b"filter" | b"mask" | b"clip-path" | b"cursor" | b"marker-start"
        | b"marker-mid" | b"marker-end"
            if is_svg =>
        {
            Shape::Style
        }
        [b'o', b'n', b'a'..=b'z', ..] => Shape::Script,
        _ => return None,
    })
}

/// Whether people do not edit an `input` element of this type: a value they edit is saved, and
/// must not be an external URL then.
pub(super) fn is_fixed_input(kind: &str) -> bool {
    ["hidden", "button", "submit", "reset", "image"]
        .iter()
        .any(|fixed| kind.eq_ignore_ascii_case(fixed))
}

/// What a `meta` element's content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meta {
    Refresh,
    Policy,
    /// Of a name whose values are often URLs, in any form.
    UrlLike,
    /// Text that may be a whole absolute URL.
    Other,
}

/// By the attributes `http-equiv`, and `property` or `name`.
pub(super) fn meta(http_equiv: Option<&str>, name: Option<&str>) -> Meta {
    let is = |known: &str| http_equiv.is_some_and(|name| name.trim().eq_ignore_ascii_case(known));
    let begins = |known: &str| {
        let begin = name.and_then(|name| name.trim_start().get(..known.len()));
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(known))
    };
    if is("refresh") {
        Meta::Refresh
    } else if is("content-security-policy") || is("content-security-policy-report-only") {
        Meta::Policy
    } else if begins("og:") || begins("twitter:") || begins("msapplication-") {
        Meta::UrlLike
    } else {
        Meta::Other
    }
}
