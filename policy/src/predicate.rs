//! Conditions of a match besides the path: method, headers, query.

use std::borrow::Cow;

use http::header::HeaderMap;
use http::{HeaderName, Method};
use percent_encoding::percent_decode_str;
use regex::{Regex, RegexBuilder};

use crate::Token;
use crate::config::{Match, StringMatch, ValueMatch};
use crate::table::Head;

/// Memory a compiled regular expression may take: manifests are written by strangers.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// Compiles a regular expression that must match the whole value.
pub fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    let compile = |pattern: &str| RegexBuilder::new(pattern).size_limit(REGEX_SIZE_LIMIT).dfa_size_limit(REGEX_SIZE_LIMIT).build();
    // By itself first: a pattern such as "a)|(?:b" would step out of the anchors.
    compile(pattern)?;
    compile(&format!("^(?:{pattern})$"))
}

/// As [`whole`], with words that do not quote the expression: it may be compared with a credential.
pub(crate) fn expression(pattern: &str) -> Result<Regex, String> {
    whole(pattern).map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => format!("a regular expression takes more than {limit} bytes of memory"),
        _ => "a regular expression cannot be read".to_owned(),
    })
}

#[derive(Debug)]
pub(crate) struct Predicates {
    method: Option<Method>,
    headers: Vec<(HeaderName, ValueTest)>,
    query: Vec<(String, ValueTest)>,
}

#[derive(Debug)]
enum ValueTest {
    Exact(String),
    Sensitive(Token),
    Regex(Regex),
}

impl Predicates {
    /// `None` when the match has no condition besides its path.
    pub(crate) fn compile(matched: &Match) -> Result<Option<Self>, String> {
        if matched.method.is_none() && matched.headers.is_empty() && matched.query.is_empty() {
            return Ok(None);
        }
        let method = matched.method.as_deref().map(|m| Method::from_bytes(m.as_bytes())).transpose().map_err(|e| e.to_string())?;
        let mut headers: Vec<(HeaderName, ValueTest)> = Vec::with_capacity(matched.headers.len());
        for ValueMatch { name, value } in &matched.headers {
            let name = HeaderName::try_from(name.as_str()).map_err(|_| "a header to match has no valid name".to_owned())?;
            // "If multiple entries specify equivalent header names, only the first entry … MUST be considered" (HTTPRouteMatch.headers).
            if headers.iter().all(|(known, _)| *known != name) {
                headers.push((name, ValueTest::compile(value)?));
            }
        }
        let mut query: Vec<(String, ValueTest)> = Vec::with_capacity(matched.query.len());
        for ValueMatch { name, value } in &matched.query {
            if query.iter().all(|(known, _)| known != name) {
                query.push((name.clone(), ValueTest::compile(value)?));
            }
        }
        Ok(Some(Self { method, headers, query }))
    }

    pub(crate) fn hold(&self, head: &Head<'_>) -> bool {
        self.method.as_ref().is_none_or(|method| method == head.method)
            && self.headers.iter().all(|(name, test)| header(head.headers, name).is_some_and(|value| test.holds(&value)))
            && self.query.iter().all(|(name, test)| parameter(head.query, name).is_some_and(|value| test.holds(&value)))
    }
}

impl ValueTest {
    fn compile(value: &StringMatch) -> Result<Self, String> {
        match value {
            StringMatch::Exact(text) => Ok(Self::Exact(text.clone())),
            StringMatch::Sensitive(token) => Ok(Self::Sensitive(token.clone())),
            StringMatch::Regex(pattern) => expression(pattern).map(Self::Regex),
        }
    }

    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => text == value,
            Self::Sensitive(token) => token.expose() == value,
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

/// The value of a header; repeated ones joined by a comma, as RFC 9110 section 5.2 allows.
fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Cow<'h, str>> {
    let mut values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let first = values.next()?;
    Some(values.fold(first, |joined, value| Cow::Owned(format!("{joined},{value}"))))
}

/// The first value of a query parameter (HTTPQueryParamMatch).
fn parameter<'q>(query: Option<&'q str>, name: &str) -> Option<Cow<'q, str>> {
    query?
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| form_decode(key) == name)
        .map(|(_, value)| form_decode(value))
}

fn form_decode(text: &str) -> Cow<'_, str> {
    match text.contains('+') {
        true => Cow::Owned(percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()),
        false => percent_decode_str(text).decode_utf8_lossy(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_the_first_value_of_a_parameter_decoded() {
        let query = Some("a=1&b=x%20y+z&a=2&c");
        assert_eq!(parameter(query, "a").as_deref(), Some("1"));
        assert_eq!(parameter(query, "b").as_deref(), Some("x y z"));
        assert_eq!(parameter(query, "c").as_deref(), Some(""));
        assert_eq!(parameter(query, "d"), None);
    }

    #[test]
    fn refuses_a_regex_that_would_eat_the_memory() {
        assert!(whole("(a{1000}){1000}").is_err());
    }

    #[test]
    fn refuses_a_regex_that_would_step_out_of_its_anchors() {
        assert!(whole("a)|(?:b").is_err());
        assert!(!whole("a|b").unwrap().is_match("ab"));
    }

    proptest! {
        #[test]
        fn any_query_is_read_without_panic(query in "\\PC*", name in "\\PC{0,4}") {
            let _ = parameter(Some(&query), &name);
        }
    }
}
