//! `rules[].matches`. A condition that cannot be read is a finding, and its rule refuses. What then selects the refusing rule errs on the
//! wide side: a request that the author meant for this rule must not fall through to a less specific one.

use http::{HeaderName, Method};
use policy::Token;
use policy::config::{Match, PathMatch, StringMatch, ValueMatch};

use super::path;
use crate::finding::{Findings, Flaw};
use crate::model::{PathCondition, RouteMatch, ValueCondition};

/// The matches of a rule, at least one: "If no matches are specified, the default is a prefix path match on '/'" (HTTPRouteRule.matches).
pub(super) fn matches(given: &[RouteMatch], field: &str, findings: &mut Findings) -> Vec<Match> {
    if given.is_empty() {
        return vec![Match::default()];
    }
    let one = |(nth, one)| compile(one, &format!("{field}.matches[{nth}]"), findings);
    given.iter().enumerate().map(one).collect()
}

fn compile(given: &RouteMatch, field: &str, findings: &mut Findings) -> Match {
    let mut flaws = Vec::new();
    let compiled = Match {
        path: path(&given.path).unwrap_or_else(|flaw| {
            flaws.push(flaw.under(&format!(".{}", given.path.field)));
            wider(&given.path)
        }),
        method: given.method.as_deref().and_then(|text| keep(method(text), ".method", &mut flaws)),
        headers: values(&given.headers, header, ".headers", &mut flaws),
        query: values(&given.query, parameter, ".queryParams", &mut flaws),
    };
    findings.extend(flaws.into_iter().map(|flaw| flaw.accepted(field)));
    compiled
}

fn keep<T>(judged: Result<T, Flaw>, below: &str, flaws: &mut Vec<Flaw>) -> Option<T> {
    judged.map_err(|flaw| flaws.push(flaw.under(below))).ok()
}

fn path(given: &PathCondition) -> Result<PathMatch, Flaw> {
    let value = &given.value;
    let sound = |path: fn(String) -> PathMatch| match path::flaw(value) {
        None => Ok(path(value.clone())),
        Some(flaw) => Err(Flaw::new(".value", format!("path {:?} {flaw}", path::printable(value)))),
    };
    match given.kind.as_str() {
        "Exact" => sound(PathMatch::Exact),
        "PathPrefix" => sound(PathMatch::Prefix),
        "RegularExpression" => regex(value).map(|()| PathMatch::Regex(value.clone())),
        other => Err(Flaw::new(".type", format!("match type {other:?} is not known: use Exact, PathPrefix or RegularExpression"))),
    }
}

/// A prefix of every path that an unreadable condition could have meant.
fn wider(given: &PathCondition) -> PathMatch {
    let literal = match given.kind.as_str() {
        "Exact" | "PathPrefix" => given.value.split(|c: char| !c.is_ascii_graphic() || matches!(c, '?' | '#')).next(),
        _ if given.value.contains('|') => None,
        _ => given.value.split(|c: char| !c.is_ascii_graphic() || r"\.+*?()[]{}^$#".contains(c)).next().and_then(whole_elements),
    };
    PathMatch::Prefix(format!("/{}", literal.unwrap_or_default().trim_start_matches('/')))
}

/// Up to the last slash: what follows may be repeated or optional.
fn whole_elements(literal: &str) -> Option<&str> {
    literal.rsplit_once('/').map(|(elements, _)| elements)
}

fn method(text: &str) -> Result<String, Flaw> {
    match Method::from_bytes(text.as_bytes()) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Flaw::new("", format!("{text:?} is not an HTTP method"))),
    }
}

type Judge = fn(&ValueCondition) -> Result<ValueMatch, Flaw>;

fn values(given: &[ValueCondition], judge: Judge, below: &str, flaws: &mut Vec<Flaw>) -> Vec<ValueMatch> {
    given.iter().enumerate().filter_map(|(nth, one)| keep(judge(one), &format!("{below}[{nth}]"), flaws)).collect()
}

fn header(given: &ValueCondition) -> Result<ValueMatch, Flaw> {
    match HeaderName::try_from(given.name.as_str()) {
        Ok(_) => Ok(ValueMatch { name: given.name.clone(), value: string(given)? }),
        Err(_) => Err(Flaw::new(".name", format!("{:?} is not a header name", given.name))),
    }
}

fn parameter(given: &ValueCondition) -> Result<ValueMatch, Flaw> {
    match given.name.is_empty() {
        false => Ok(ValueMatch { name: given.name.clone(), value: string(given)? }),
        true => Err(Flaw::new(".name", "a query parameter needs a name")),
    }
}

fn string(given: &ValueCondition) -> Result<StringMatch, Flaw> {
    match given.kind.as_str() {
        "Exact" if policy::is_credential_header(&given.name) => Ok(StringMatch::Sensitive(Token::new(given.value.clone()))),
        "Exact" => Ok(StringMatch::Exact(given.value.clone())),
        "RegularExpression" => regex(&given.value).map(|()| StringMatch::Regex(given.value.clone())),
        other => Err(Flaw::new(".type", format!("match type {other:?} is not known: use Exact or RegularExpression"))),
    }
}

/// Whether the proxy will be able to compile it: anchored at both ends, and of limited size since strangers write it.
fn regex(pattern: &str) -> Result<(), Flaw> {
    policy::whole(pattern).map(drop).map_err(|error| {
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Flaw::new(".value", format!("not a regular expression that can be used: {last} (syntax: https://docs.rs/regex, no look-around)"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(kind: &str, value: &str) -> PathCondition {
        PathCondition { kind: kind.into(), value: value.into(), field: "path" }
    }

    #[test]
    fn widens_what_it_cannot_read_to_a_prefix_that_covers_it() {
        for (kind, value, expected) in [
            ("RegularExpression", "/api/v[0-9", "/api"),
            ("RegularExpression", "/a/b?(", "/a"),
            ("RegularExpression", "/a|/b(", "/"),
            ("RegularExpression", "(", "/"),
            ("RegularExpression", ".*(", "/"),
            ("Exact", "a/b", "/a/b"),
            ("PathPrefix", "/a?key=x", "/a"),
            ("Exact", "/a b", "/a"),
            ("Glob", "/a/*", "/a"),
        ] {
            assert!(path(&condition(kind, value)).is_err() || kind == "Exact" || kind == "PathPrefix", "{value}");
            assert_eq!(wider(&condition(kind, value)), PathMatch::Prefix(expected.into()), "{kind} {value}");
        }
    }

    #[test]
    fn refuses_expressions_that_take_too_much_memory() {
        assert!(regex("(a{1000}){1000}").is_err());
    }
}
