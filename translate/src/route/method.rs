//! `matches[].method` of a GRPCRoute. gRPC calls are `POST /package.Service/Method` (gRPC over HTTP/2, "Path"), so it is a condition on the
//! path. That the request is a POST is the backend's to check.

use policy::config::PathMatch;

use super::expression;
use crate::finding::Flaw;
use crate::model::GrpcMethod;

pub(super) fn condition(given: &GrpcMethod) -> Result<PathMatch, Flaw> {
    let (service, method) = (given.service.as_str(), given.method.as_str());
    match (given.kind.as_str(), service.is_empty(), method.is_empty()) {
        // "At least one of Service and Method MUST be a non-empty string" (GRPCMethodMatch).
        (_, true, true) => {
            Err(Flaw::new("", "neither service nor method is named: name one of them, or leave method out to match all calls"))
        }
        ("Exact", false, false) => Ok(PathMatch::Exact(format!("/{}/{}", name(service, ".service")?, name(method, ".method")?))),
        ("Exact", false, true) => Ok(PathMatch::Prefix(format!("/{}", name(service, ".service")?))),
        ("Exact", true, false) => Ok(PathMatch::GrpcMethod(name(method, ".method")?.to_owned())),
        ("RegularExpression", ..) => {
            let path = format!("/(?:{})/(?:{})", pattern(service, ".service")?, pattern(method, ".method")?);
            expression::judge(&path).map(|()| PathMatch::Regex(path))
        }
        _ => Err(Flaw::new(".type", "the match type is not known: use Exact or RegularExpression")),
    }
}

/// The part of a condition's path that is beyond doubt although the whole cannot be read.
pub(super) fn readable(given: &GrpcMethod) -> String {
    match given.kind == "Exact" && name(&given.service, "").is_ok() {
        true => format!("/{}", given.service),
        false => String::new(),
    }
}

/// What the CRD's patterns allow, and no more characters than they do.
fn name<'g>(text: &'g str, below: &str) -> Result<&'g str, Flaw> {
    let sound = (1..=1024).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
    match sound && policy::check_path(&format!("/{text}")).is_ok() {
        true => Ok(text),
        false => Err(Flaw::new(below, "not a name that a gRPC call has: use letters, digits, '_' and '.'")),
    }
}

/// Each by itself, so that no part can step out of its group. Without one, any.
fn pattern<'g>(text: &'g str, below: &str) -> Result<&'g str, Flaw> {
    match text {
        "" => Ok("[^/]+"),
        text => expression::judge(text).map(|()| text).map_err(|flaw| flaw.under(below)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(kind: &str, service: &str, method: &str) -> GrpcMethod {
        GrpcMethod { kind: kind.into(), service: service.into(), method: method.into() }
    }

    #[test]
    fn makes_conditions_on_the_path() {
        for (given, expected) in [
            (("Exact", "a.B", "C"), PathMatch::Exact("/a.B/C".into())),
            (("Exact", "a.B", ""), PathMatch::Prefix("/a.B".into())),
            (("Exact", "", "C"), PathMatch::GrpcMethod("C".into())),
            (("RegularExpression", "a|b", ""), PathMatch::Regex("/(?:a|b)/(?:[^/]+)".into())),
        ] {
            assert_eq!(condition(&method(given.0, given.1, given.2)), Ok(expected), "{given:?}");
        }
    }

    #[test]
    fn refuses_what_names_nothing_or_something_else() {
        for (given, expected) in [
            (("Exact", "", ""), ""),
            (("Exact", "a.B", "C/D"), "/a.B"),
            (("Exact", "a B", "C"), ""),
            (("Exact", "..", ""), ""),
            (("RegularExpression", "a)|(?:b", ""), ""),
            (("Fuzzy", "a.B", ""), ""),
        ] {
            let given = method(given.0, given.1, given.2);
            assert!(condition(&given).is_err(), "{expected:?}");
            assert_eq!(readable(&given), expected);
        }
    }
}
