//! `requestHeaderModifier` and `responseHeaderModifier`. A value may be a credential and never gets into a message.

use http::{HeaderName, HeaderValue};
use policy::config::{HeaderChanges, HeaderLiteral, HeaderText};
use policy::{Token, is_credential_header};

use crate::finding::Flaw;
use crate::model::{Header, HeaderModifier};

/// Headers that belong to one connection or say where a message ends (RFC 9110, 7.6.1; RFC 9112, 6): changed by a manifest, they would
/// make two readers disagree about what a request is. The host has a filter of its own.
const NOT_TO_CHANGE: [&str; 9] =
    ["connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

pub(super) fn changes(given: &HeaderModifier) -> Result<HeaderChanges, Flaw> {
    Ok(HeaderChanges {
        set: literals(&given.set, ".set")?,
        add: literals(&given.add, ".add")?,
        remove: given
            .remove
            .iter()
            .enumerate()
            .map(|(nth, text)| name(text).map_err(|flaw| flaw.under(&format!(".remove[{nth}]"))))
            .collect::<Result<_, _>>()?,
    })
}

/// "If multiple entries specify equivalent header names, the first entry … MUST be considered" (HTTPHeader.name).
fn literals(given: &[Header], below: &str) -> Result<Vec<HeaderLiteral>, Flaw> {
    let mut literals: Vec<HeaderLiteral> = Vec::with_capacity(given.len());
    for (nth, header) in given.iter().enumerate() {
        let literal = literal(header).map_err(|flaw| flaw.under(&format!("{below}[{nth}]")))?;
        if literals.iter().all(|known| !known.name.eq_ignore_ascii_case(&literal.name)) {
            literals.push(literal);
        }
    }
    Ok(literals)
}

fn literal(given: &Header) -> Result<HeaderLiteral, Flaw> {
    let name = name(&given.name).map_err(|flaw| flaw.under(".name"))?;
    if HeaderValue::try_from(given.value.as_str()).is_err() {
        return Err(Flaw::new(
            ".value",
            format!("the value of header {name} has a character that cannot stand in a header, such as a line break"),
        ));
    }
    let value = match is_credential_header(&name) {
        true => HeaderText::Sensitive(Token::new(given.value.clone())),
        false => HeaderText::Plain(given.value.clone()),
    };
    Ok(HeaderLiteral { name, value })
}

fn name(text: &str) -> Result<String, Flaw> {
    match HeaderName::try_from(text) {
        Ok(name) if NOT_TO_CHANGE.contains(&name.as_str()) => Err(Flaw::new(
            "",
            format!("header {name} must not be changed by a filter: for the host use URLRewrite, and leave framing to the proxy"),
        )),
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Flaw::new("", "not a header name: use letters, digits and '-'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> Result<HeaderChanges, Flaw> {
        changes(&HeaderModifier { set: vec![Header { name: name.into(), value: value.into() }], add: vec![], remove: vec![] })
    }

    #[test]
    fn conceals_literals_that_are_credentials() {
        let changed = set("X-Api-Key", "sk-canary").unwrap();
        assert!(matches!(&changed.set[0].value, HeaderText::Sensitive(token) if token.expose() == "sk-canary"));
        assert!(!format!("{changed:?}").contains("canary"));
    }

    #[test]
    fn refuses_names_and_values_that_break_a_message() {
        for (name, value) in [("", "a"), ("a b", "a"), ("x", "a\r\ny: b"), ("Content-Length", "0"), ("Transfer-encoding", "chunked")] {
            let flaw = set(name, value).unwrap_err();
            assert!(!flaw.message.contains("y: b"), "{flaw:?}");
        }
    }
}
