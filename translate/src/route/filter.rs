//! `filters` of rules and backendRefs. "If a reference to a custom filter type cannot be resolved, the filter MUST NOT be skipped. Instead,
//! requests that would have been processed by that filter MUST receive a HTTP error response" (HTTPRouteFilter.extensionRef): so does
//! every filter that cannot be served.

use std::net::Ipv6Addr;

use http::{HeaderName, Method};
use policy::Hostname;
use policy::config::{Cors, Filters, Mirror, PathChange, Redirect, Rewrite};

use super::{Compiler, Scope, header, path};
use crate::finding::{Finding, Flaw};
use crate::model;

impl Compiler<'_, '_> {
    /// The filters of a rule or backendRef; what cannot be served is a finding.
    pub(super) fn filters(&mut self, given: &[model::Filter], scope: Scope<'_>) -> Filters {
        let mut filters = Filters::default();
        for (nth, filter) in given.iter().enumerate() {
            let field = format!("{}.filters[{nth}]", scope.field);
            let seen = given.iter().take(nth).any(|earlier| earlier.kind == filter.kind);
            let outcome = match filter.kind.as_str() {
                "RequestMirror" => self.mirror(filter, &field).map(|mirror| filters.mirrors.extend(mirror)),
                _ if seen => Err(Flaw::new(".type", "a filter of this type may be used once: merge the two")),
                _ => add(&mut filters, filter, scope),
            };
            if let Err(flaw) = outcome {
                self.findings.push(flaw.accepted(&field));
            }
        }
        if filters.redirect.is_some() && filters.rewrite != Rewrite::default() {
            let message = "RequestRedirect and URLRewrite exclude each other: a request is either answered or forwarded; remove one";
            self.findings.push(Finding::accepted(format!("{}.filters", scope.field), "IncompatibleFilters", message));
        }
        filters
    }

    /// `None`: its backend does not resolve, which is said of the reference, and the copy is not sent ("the controller … must NOT
    /// configure this backend in the underlying implementation").
    fn mirror(&mut self, filter: &model::Filter, field: &str) -> Result<Option<Mirror>, Flaw> {
        let given = body(filter.request_mirror.as_deref(), "requestMirror")?;
        let (numerator, denominator) = share(given).map_err(|flaw| flaw.under(".requestMirror"))?;
        let backend = self.resolve(&given.backend_ref, &format!("{field}.requestMirror.backendRef"));
        Ok(backend.ok().map(|backend| Mirror { backend, numerator, denominator }))
    }
}

fn add(filters: &mut Filters, filter: &model::Filter, scope: Scope<'_>) -> Result<(), Flaw> {
    match filter.kind.as_str() {
        "RequestHeaderModifier" => {
            filters.request = part(filter.request_header_modifier.as_deref(), "requestHeaderModifier", header::changes)?
        }
        "ResponseHeaderModifier" => {
            filters.response = part(filter.response_header_modifier.as_deref(), "responseHeaderModifier", header::changes)?;
        }
        "RequestRedirect" => {
            let redirect = part(filter.request_redirect.as_deref(), "requestRedirect", |given| redirect(given, scope))?;
            filters.redirect = Some(Box::new(redirect));
        }
        "URLRewrite" => filters.rewrite = part(filter.url_rewrite.as_deref(), "urlRewrite", |given| rewrite(given, scope))?,
        "CORS" => filters.cors = Some(Box::new(part(filter.cors.as_deref(), "cors", cors)?)),
        known @ ("ExtensionRef" | "ExternalAuth") => return Err(not_served(&format!("filter {known}"))),
        _ => return Err(not_served("a filter of this type")),
    }
    Ok(())
}

fn not_served(what: &str) -> Flaw {
    Flaw::new(".type", format!("{what} is not served: remove it; until then requests that it is for are refused"))
}

fn body<'m, M>(given: Option<&'m M>, name: &str) -> Result<&'m M, Flaw> {
    given.ok_or_else(|| Flaw::new(format!(".{name}"), format!("the filter's type asks for a field {name}: add it")))
}

fn part<M, T>(given: Option<&M>, name: &str, judge: impl FnOnce(&M) -> Result<T, Flaw>) -> Result<T, Flaw> {
    judge(body(given, name)?).map_err(|flaw| flaw.under(&format!(".{name}")))
}

/// Numerator and denominator of a mirror's share; all, if nothing is said.
fn share(given: &model::RequestMirror) -> Result<(u32, u32), Flaw> {
    let (numerator, denominator, below) = match (given.percent, &given.fraction) {
        (None, None) => return Ok((1, 1)),
        (Some(percent), None) => (percent, 100, ".percent"),
        (None, Some(fraction)) => (fraction.numerator, fraction.denominator.unwrap_or(100), ".fraction"),
        (Some(_), Some(_)) => return Err(Flaw::new(".fraction", "percent and fraction exclude each other: keep one")),
    };
    match (u32::try_from(numerator), u32::try_from(denominator)) {
        (Ok(numerator), Ok(denominator)) if denominator > 0 && numerator <= denominator => Ok((numerator, denominator)),
        _ => Err(Flaw::new(below, format!("{numerator} of {denominator} is not a share: use 0 to 100 percent, or a fraction from 0 to 1"))),
    }
}

fn redirect(given: &model::RequestRedirect, scope: Scope<'_>) -> Result<Redirect, Flaw> {
    let scheme = given.scheme.as_deref();
    if scheme.is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
        return Err(Flaw::new(".scheme", "the scheme is not served: use http or https"));
    }
    let port = |port: i64| u16::try_from(port).ok().filter(|port| *port > 0);
    let status = given.status_code.unwrap_or(302);
    Ok(Redirect {
        scheme: scheme.map(str::to_owned),
        hostname: given.hostname.as_deref().map(precise_hostname).transpose()?,
        port: match given.port {
            None => None,
            Some(given) => Some(port(given).ok_or_else(|| Flaw::new(".port", format!("port {given} is not a port: use 1 to 65535")))?),
        },
        path: given.path.as_ref().map(|path| path_change(path, scope)).transpose()?,
        status: u16::try_from(status)
            .ok()
            .filter(|status| matches!(status, 301 | 302 | 303 | 307 | 308))
            .ok_or_else(|| Flaw::new(".statusCode", format!("status {status} is no redirect: use 301, 302, 303, 307 or 308")))?,
    })
}

fn rewrite(given: &model::UrlRewrite, scope: Scope<'_>) -> Result<Rewrite, Flaw> {
    Ok(Rewrite {
        hostname: given.hostname.as_deref().map(precise_hostname).transpose()?,
        path: given.path.as_ref().map(|path| path_change(path, scope)).transpose()?,
    })
}

fn precise_hostname(text: &str) -> Result<String, Flaw> {
    match Hostname::parse(text) {
        Ok(hostname) if hostname.wildcard_suffix().is_none() => Ok(hostname.as_str().to_owned()),
        Ok(_) => Err(Flaw::new(".hostname", "the hostname has a wildcard: name one host")),
        Err(error) => Err(Flaw::new(".hostname", error.to_string())),
    }
}

fn path_change(given: &model::PathModifier, scope: Scope<'_>) -> Result<PathChange, Flaw> {
    let change = match given.kind.as_str() {
        "ReplaceFullPath" => full_path(given),
        "ReplacePrefixMatch" if scope.prefixes_only => prefix(given),
        "ReplacePrefixMatch" => {
            Err(Flaw::new(".type", "ReplacePrefixMatch needs a matched prefix: give every match of the rule a path of type PathPrefix"))
        }
        _ => Err(Flaw::new(".type", "the path type is not known: use ReplaceFullPath or ReplacePrefixMatch")),
    };
    change.map_err(|flaw| flaw.under(".path"))
}

fn full_path(given: &model::PathModifier) -> Result<PathChange, Flaw> {
    let missing = || Flaw::new(".replaceFullPath", "ReplaceFullPath needs a field replaceFullPath: add it");
    let path = given.replace_full_path.as_ref().ok_or_else(missing)?;
    new_path(path, ".replaceFullPath").map(|()| PathChange::Full(path.clone()))
}

/// The empty text is a prefix too: it removes the matched one (table at HTTPPathModifier.replacePrefixMatch).
fn prefix(given: &model::PathModifier) -> Result<PathChange, Flaw> {
    let missing = || Flaw::new(".replacePrefixMatch", "ReplacePrefixMatch needs a field replacePrefixMatch: add it");
    let path = given.replace_prefix_match.as_ref().ok_or_else(missing)?;
    let judged = if path.is_empty() { Ok(()) } else { new_path(path, ".replacePrefixMatch") };
    judged.map(|()| PathChange::Prefix(path.clone()))
}

fn new_path(path: &str, below: &str) -> Result<(), Flaw> {
    match path::flaw(path) {
        None => Ok(()),
        Some(flaw) => Err(Flaw::new(below, format!("the path {flaw}"))),
    }
}

fn cors(given: &model::Cors) -> Result<Cors, Flaw> {
    all(&given.allow_origins, ".allowOrigins", is_origin, "an origin: use scheme://host[:port], scheme://*.host or *")?;
    all(&given.allow_methods, ".allowMethods", |text| Method::from_bytes(text.as_bytes()).is_ok(), "an HTTP method: use one such as GET")?;
    all(&given.allow_headers, ".allowHeaders", is_header, "a header name: use letters, digits and '-'")?;
    all(&given.expose_headers, ".exposeHeaders", is_header, "a header name: use letters, digits and '-'")?;
    // "maxAge … defaults to 5" (seconds, HTTPCORSFilter.maxAge).
    let max_age = given.max_age.unwrap_or(5);
    Ok(Cors {
        allow_origins: given.allow_origins.clone(),
        allow_credentials: given.allow_credentials,
        allow_methods: given.allow_methods.clone(),
        allow_headers: given.allow_headers.clone(),
        expose_headers: given.expose_headers.clone(),
        max_age: u32::try_from(max_age).map_err(|_| Flaw::new(".maxAge", format!("{max_age} is no number of seconds: use 1 or more")))?,
    })
}

/// `*` is a valid token, hence a valid method and header name, too.
fn all(given: &[String], below: &str, is_valid: fn(&str) -> bool, what: &str) -> Result<(), Flaw> {
    match given.iter().position(|text| !is_valid(text)) {
        None => Ok(()),
        Some(nth) => Err(Flaw::new(format!("{below}[{nth}]"), format!("not {what}"))),
    }
}

fn is_header(text: &str) -> bool {
    HeaderName::try_from(text).is_ok()
}

/// "The `Origin` consists of a scheme and a host, with an optional port … Valid values for scheme are: `http` and `https`"
/// (HTTPCORSFilter.allowOrigins): no user, no path.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return text == "*" };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = host == "*" || Hostname::parse(host).is_ok() || address.is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    matches!(scheme, "http" | "https") && is_host && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_origins_and_nothing_else() {
        for good in ["*", "https://a.com", "http://a.com:8080", "https://*.a.com", "https://*", "http://[::1]:80", "http://10.0.0.1"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "a.com",
            "https://",
            "https://u:p@a.com",
            "https://a.com/",
            "https://a.com:x",
            "https://a.com:",
            "ftp://a.com",
            "http://a.com:0",
            "https://[::1",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
