//! `rules[].matches`. A condition that cannot be read is a finding, and its rule refuses. What then selects the refusing rule errs on the
//! wide side and keeps its rank: a request that the author meant for this rule must not fall through to a less specific one.

use http::{HeaderName, Method};
use policy::Token;
use policy::config::{Match, PathMatch, StringMatch, ValueMatch};

use super::{expression, method, path};
use crate::finding::{Findings, Flaw};
use crate::model::{PathCondition, RouteMatch, ValueCondition};

/// Any value at all.
const ANYTHING: &str = "(?s).*";

/// The matches of a rule, at least one: "If no matches are specified, the default is a prefix path match on '/'" (HTTPRouteRule.matches).
pub(super) fn matches(given: &[RouteMatch], field: &str, findings: &mut Findings) -> Vec<Match> {
    if given.is_empty() {
        return vec![Match::default()];
    }
    let one = |(nth, one)| compile(one, &format!("{field}.matches[{nth}]"), findings);
    given.iter().enumerate().map(one).collect()
}

/// Whether every match has a prefix that a filter can replace.
pub(super) fn prefixes_only(given: &[RouteMatch]) -> bool {
    given.iter().all(|one| match &one.path {
        PathCondition::Any => true,
        PathCondition::Path(path) => path.kind == "PathPrefix",
        PathCondition::Method(_) => false,
    })
}

fn compile(given: &RouteMatch, field: &str, findings: &mut Findings) -> Match {
    let mut flaws = Vec::new();
    let compiled = Match {
        path: path_condition(&given.path, &mut flaws),
        method: given.method.as_deref().and_then(|text| keep(http_method(text), ".method", &mut flaws)),
        headers: values(&given.headers, header_name, ".headers", &mut flaws),
        query: values(&given.query, parameter_name, ".queryParams", &mut flaws),
    };
    findings.extend(flaws.into_iter().map(|flaw| flaw.accepted(field)));
    compiled
}

fn keep<T>(judged: Result<T, Flaw>, below: &str, flaws: &mut Vec<Flaw>) -> Option<T> {
    judged.map_err(|flaw| flaws.push(flaw.under(below))).ok()
}

fn path_condition(given: &PathCondition, flaws: &mut Vec<Flaw>) -> PathMatch {
    match given {
        PathCondition::Any => PathMatch::default(),
        PathCondition::Path(given) => {
            keep(path::condition(given), ".path", flaws).unwrap_or_else(|| path::everything_below(path::readable(given)))
        }
        PathCondition::Method(given) => {
            keep(method::condition(given), ".method", flaws).unwrap_or_else(|| path::everything_below(&method::readable(given)))
        }
    }
}

fn http_method(text: &str) -> Result<String, Flaw> {
    match Method::from_bytes(text.as_bytes()) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Flaw::new("", "not an HTTP method: use one such as GET or POST")),
    }
}

/// The conditions whose name can be read. One whose value cannot holds for every value, so that it still counts.
fn values(given: &[ValueCondition], name: fn(&str) -> Result<(), Flaw>, below: &str, flaws: &mut Vec<Flaw>) -> Vec<ValueMatch> {
    let mut values = Vec::with_capacity(given.len());
    for (nth, one) in given.iter().enumerate() {
        let below = format!("{below}[{nth}]");
        if keep(name(&one.name), &below, flaws).is_some() {
            let value = keep(value(one), &below, flaws).unwrap_or_else(|| StringMatch::Regex(ANYTHING.to_owned()));
            values.push(ValueMatch { name: one.name.clone(), value });
        }
    }
    values
}

fn header_name(text: &str) -> Result<(), Flaw> {
    HeaderName::try_from(text).map(drop).map_err(|_| Flaw::new(".name", "not a header name: use letters, digits and '-'"))
}

fn parameter_name(text: &str) -> Result<(), Flaw> {
    match text.is_empty() {
        false => Ok(()),
        true => Err(Flaw::new(".name", "a query parameter needs a name")),
    }
}

/// A value that may be a credential is compared as a whole and hidden; an expression could not be.
fn value(given: &ValueCondition) -> Result<StringMatch, Flaw> {
    let is_credential = policy::is_credential_header(&given.name) || policy::is_credential_parameter(&given.name);
    match given.kind.as_str() {
        "Exact" if is_credential => Ok(StringMatch::Sensitive(Token::new(given.value.clone()))),
        "Exact" => Ok(StringMatch::Exact(given.value.clone())),
        "RegularExpression" if is_credential => {
            Err(Flaw::new(".type", "expressions on what may be a credential are not served: use type Exact, whose value is kept hidden"))
        }
        "RegularExpression" => {
            expression::judge(&given.value).map(|()| StringMatch::Regex(given.value.clone())).map_err(|flaw| flaw.under(".value"))
        }
        _ => Err(Flaw::new(".type", "the match type is not known: use Exact or RegularExpression")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(kind: &str, name: &str, value: &str) -> ValueCondition {
        ValueCondition { kind: kind.into(), name: name.into(), value: value.into() }
    }

    #[test]
    fn hides_what_may_be_a_credential() {
        for name in ["Authorization", "x-api-key", "key", "access_token"] {
            let value = value(&condition("Exact", name, "sk-canary")).unwrap();
            assert!(matches!(&value, StringMatch::Sensitive(token) if token.expose() == "sk-canary"), "{name}");
        }
        assert!(value(&condition("RegularExpression", "authorization", "Bearer sk-.*")).is_err());
    }

    #[test]
    fn a_condition_that_cannot_be_read_still_counts() {
        let given = [condition("RegularExpression", "x-a", "("), condition("Fuzzy", "x-b", "b"), condition("Exact", "x c", "c")];
        let mut flaws = Vec::new();
        let values = values(&given, header_name, ".headers", &mut flaws);
        let anything = StringMatch::Regex(ANYTHING.into());
        assert!(values.iter().all(|one| one.value == anything), "{values:?}");
        let fields: Vec<&str> = flaws.iter().map(|flaw| flaw.below.as_str()).collect();
        assert_eq!((values.len(), fields), (2, vec![".headers[0].value", ".headers[1].type", ".headers[2].name"]));
    }
}
