//! A reader of HTTP/1.1 requests that takes nothing twice (RFC 9112), and has nothing in common
//! with the program's own: what it cannot read in one way alone it does not read.

/// What stands at the beginning of some octets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// A request, and how many octets it is long.
    Whole(Seen, usize),
    /// The beginning of one.
    Partial,
    /// Something that another reader may read otherwise.
    Doubtful(String),
}

/// A request that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case, in their order.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

/// Fields that say where a message ends, whom it is for or what becomes of the connection; each of
/// them at most once, and spelt in no other way.
const FRAMING: [&str; 5] = [
    "content-length",
    "transfer-encoding",
    "host",
    "connection",
    "upgrade",
];

/// Reads one request.
pub(crate) fn read(octets: &[u8]) -> Read {
    match request(octets) {
        Ok(Some((seen, length))) => Read::Whole(seen, length),
        Ok(None) => Read::Partial,
        Err(why) => Read::Doubtful(why),
    }
}

type Part<T> = Result<Option<(T, usize)>, String>;

fn request(octets: &[u8]) -> Part<Seen> {
    let Some((first, mut at)) = line(octets)? else {
        return Ok(None);
    };
    let mut words = first.split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(format!("no request line: {first:?}"));
    };
    if method.is_empty() || !method.bytes().all(is_of_token) {
        return Err(format!("no method: {method:?}"));
    }
    let is_path = target.starts_with('/') && !target.contains('#');
    if !(is_path || (target == "*" && method == "OPTIONS")) {
        return Err(format!("no path: {target:?}"));
    }
    let Some((fields, length)) = section(&octets[at..])? else {
        return Ok(None);
    };
    at += length;
    let values = |name: &str| -> Vec<&str> {
        let named = fields.iter().filter(|(n, _)| n == name);
        named.map(|(_, value)| value.as_str()).collect()
    };
    for name in FRAMING {
        if values(name).len() > 1 {
            return Err(format!("{name} stands there twice"));
        }
    }
    if values("host").is_empty() {
        return Err("no Host".into());
    }
    if !matches!(values("upgrade")[..], [] | ["websocket"]) {
        return Err(format!("Upgrade: {:?}", values("upgrade")));
    }
    let mut trailers = Vec::new();
    let body = match (
        &values("content-length")[..],
        &values("transfer-encoding")[..],
    ) {
        ([], []) => Vec::new(),
        ([length], []) => {
            let digits = length.bytes().all(|o| o.is_ascii_digit());
            let count: usize = length
                .parse()
                .ok()
                .filter(|_| digits)
                .ok_or_else(|| format!("Content-Length: {length:?}"))?;
            let Some(body) = octets.get(at..at + count) else {
                return Ok(None);
            };
            at += count;
            body.to_vec()
        }
        ([], ["chunked"]) => {
            let Some((body, length)) = chunks(&octets[at..])? else {
                return Ok(None);
            };
            at += length;
            let Some((read, length)) = section(&octets[at..])? else {
                return Ok(None);
            };
            at += length;
            trailers = read;
            body
        }
        (lengths, codings) => return Err(format!("framed by {lengths:?} and {codings:?}")),
    };
    if let Some((name, _)) = trailers.iter().find(|(n, _)| FRAMING.contains(&n.as_str())) {
        return Err(format!("{name} in trailers"));
    }
    let seen = Seen {
        method: method.to_owned(),
        target: target.to_owned(),
        fields,
        body,
        trailers,
    };
    Ok(Some((seen, at)))
}

/// One line, which ends with CR LF and has neither anywhere else, nor any other control.
fn line(octets: &[u8]) -> Part<String> {
    let Some(end) = octets.iter().position(|o| matches!(o, b'\r' | b'\n')) else {
        return Ok(None);
    };
    let text = &octets[..end];
    if text.iter().any(|&o| (o < b' ' && o != b'\t') || o == 0x7f) {
        return Err(format!("controls: {}", text.escape_ascii()));
    }
    match &octets[end..] {
        [b'\r', b'\n', ..] => {
            // Octets beyond ASCII stand for themselves.
            let text = text.iter().map(|&octet| char::from(octet)).collect();
            Ok(Some((text, end + 2)))
        }
        [b'\r'] => Ok(None),
        _ => Err(format!("a line that ends oddly: {}", text.escape_ascii())),
    }
}

fn is_of_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet)
}

/// Field lines up to an empty line.
fn section(octets: &[u8]) -> Part<Vec<(String, String)>> {
    let (mut fields, mut at) = (Vec::new(), 0);
    loop {
        let Some((text, length)) = line(&octets[at..])? else {
            return Ok(None);
        };
        at += length;
        if text.is_empty() {
            return Ok(Some((fields, at)));
        }
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| format!("no field: {text:?}"))?;
        if name.is_empty() || !name.bytes().all(is_of_token) {
            return Err(format!("no field name: {name:?}"));
        }
        let name = name.to_ascii_lowercase();
        let plain = |o: char| if o.is_ascii_alphanumeric() { o } else { '-' };
        let spelt: String = name.chars().map(plain).collect();
        if spelt != name && FRAMING.contains(&spelt.as_str()) {
            return Err(format!("{name} may be read as {spelt}"));
        }
        let value = value.trim_matches([' ', '\t']).to_owned();
        fields.push((name, value));
    }
}

/// Chunks up to the last, without the trailers.
fn chunks(octets: &[u8]) -> Part<Vec<u8>> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some((size, length)) = line(&octets[at..])? else {
            return Ok(None);
        };
        at += length;
        let is_plain = (1..=8).contains(&size.len()) && size.bytes().all(|o| o.is_ascii_hexdigit());
        if !is_plain {
            return Err(format!("a chunk of {size:?}"));
        }
        let size = usize::from_str_radix(&size, 16).map_err(|e| e.to_string())?;
        if size == 0 {
            return Ok(Some((body, at)));
        }
        let Some(chunk) = octets.get(at..at + size) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        at += size;
        match &octets[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [] | [b'\r'] => return Ok(None),
            _ => return Err("a chunk that does not end where its size says".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_clear_is_read() {
        let octets = b"POST /a?b HTTP/1.1\r\nHost: x\r\ntransfer-encoding: chunked\r\n\r\n\
            5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\nGET";
        let Read::Whole(seen, length) = read(octets) else {
            panic!("{:?}", read(octets));
        };
        assert_eq!(length, octets.len() - 3);
        assert_eq!(
            (seen.method.as_str(), seen.target.as_str()),
            ("POST", "/a?b")
        );
        assert_eq!(seen.body, b"hello");
        assert_eq!(seen.trailers, [("x-sum".to_owned(), "1".to_owned())]);
        for end in 0..length {
            assert_eq!(read(&octets[..end]), Read::Partial, "{end}");
        }
    }

    #[test]
    fn what_is_doubtful_is_not() {
        for octets in [
            "GET / HTTP/1.1\nHost: x\n\n",
            "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /#x HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n x: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nX: a\0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent_Length: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nTransfer.Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: y\r\n\r\n",
        ] {
            assert!(
                matches!(read(octets.as_bytes()), Read::Doubtful(_)),
                "{octets:?}"
            );
        }
    }
}
