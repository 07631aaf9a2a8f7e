//! A request's head as text: `METHOD TARGET [VERSION [DRAW]]`, then one header per line. Lines that are no header are left out, as hyper
//! would refuse them; what hyper lets through is let through here.

use http::request::{self, Request};
use http::{HeaderName, HeaderValue, Method, Uri, Version};

/// A head as it comes from hyper, and the number drawn for it.
#[derive(Debug)]
pub struct Received {
    /// Target in any form, headers in any number.
    pub head: request::Parts,
    /// What picks among weighted backends.
    pub draw: u64,
}

/// `None`: the first line is none.
pub fn read(text: &[u8]) -> Option<Received> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.trim_ascii().split(|byte| *byte == b' ');
    let mut head = Request::new(()).into_parts().0;
    head.method = Method::from_bytes(words.next()?).ok()?;
    head.uri = Uri::try_from(words.next()?).ok()?;
    head.version = version(words.next());
    for (name, value) in lines.filter_map(header) {
        head.headers.try_append(name, value).ok()?;
    }
    Some(Received { head, draw: words.next().map_or(0, number) })
}

fn version(word: Option<&[u8]>) -> Version {
    match word {
        Some(b"HTTP/1.0") => Version::HTTP_10,
        Some(b"HTTP/2") => Version::HTTP_2,
        Some(_) | None => Version::HTTP_11,
    }
}

fn number(word: &[u8]) -> u64 {
    std::str::from_utf8(word).ok().and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value.trim_ascii()).ok()?))
}
