//! Cross-origin resource sharing: what a preflight is answered and which headers a response gets (Gateway API `HTTPCORSFilter`,
//! WHATWG Fetch "CORS protocol").

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::config::Cors;

/// Headers of the CORS protocol that the gateway answers for, and a backend therefore does not.
const OWNED: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// Headers for a response, prepared from the request.
#[derive(Debug, Clone, Default)]
pub(crate) struct CorsGrant(Vec<(HeaderName, HeaderValue)>);

impl CorsGrant {
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for name in &OWNED {
            headers.remove(name);
        }
        for (name, value) in &self.0 {
            headers.insert(name, value.clone());
        }
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}

/// Whether a request asks for permission rather than for a resource.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Headers of a preflight answer; none but `Vary` for an origin that is not allowed.
pub(crate) fn preflight(cors: &Cors, headers: &HeaderMap) -> CorsGrant {
    let Some(mut grant) = origin_grant(cors, headers) else { return CorsGrant::default() };
    let requested = headers.get(ACCESS_CONTROL_REQUEST_METHOD);
    grant.list(ACCESS_CONTROL_ALLOW_METHODS, &cors.allow_methods, requested, cors.allow_credentials);
    grant.list(ACCESS_CONTROL_ALLOW_HEADERS, &cors.allow_headers, headers.get(ACCESS_CONTROL_REQUEST_HEADERS), cors.allow_credentials);
    grant.0.push((ACCESS_CONTROL_MAX_AGE, HeaderValue::from(cors.max_age)));
    // Fetch asks for it on the response itself only; the conformance suite looks for it here as well (HTTPRouteCORS, 1.7.0).
    grant.list(ACCESS_CONTROL_EXPOSE_HEADERS, &cors.expose_headers, None, cors.allow_credentials);
    grant
}

/// Headers of an actual response, when the request has an `Origin`.
pub(crate) fn response(cors: &Cors, headers: &HeaderMap) -> Option<CorsGrant> {
    headers.get(ORIGIN)?;
    let Some(mut grant) = origin_grant(cors, headers) else { return Some(CorsGrant::default()) };
    grant.list(ACCESS_CONTROL_EXPOSE_HEADERS, &cors.expose_headers, None, cors.allow_credentials);
    Some(grant)
}

fn origin_grant(cors: &Cors, headers: &HeaderMap) -> Option<CorsGrant> {
    let origin = headers.get(ORIGIN)?;
    let text = origin.to_str().ok()?;
    let any = cors.allow_origins.iter().any(|allowed| allowed == "*");
    if !any && !cors.allow_origins.iter().any(|allowed| origin_matches(allowed, text)) {
        return None;
    }
    // "*" must not go with credentials, so the origin is said by name.
    let allowed = if any && !cors.allow_credentials { HeaderValue::from_static("*") } else { origin.clone() };
    let mut grant = CorsGrant(vec![(ACCESS_CONTROL_ALLOW_ORIGIN, allowed)]);
    if cors.allow_credentials {
        grant.0.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
    }
    Some(grant)
}

impl CorsGrant {
    /// Adds a list header. A `*` cannot go with credentials: then what was asked for is granted by name.
    fn list(&mut self, name: HeaderName, allowed: &[String], requested: Option<&HeaderValue>, credentials: bool) {
        let any = allowed.iter().any(|value| value == "*");
        let value = match (any, credentials, requested) {
            (true, true, Some(requested)) => Some(requested.clone()),
            (true, true, None) => None,
            (true, false, _) => Some(HeaderValue::from_static("*")),
            (false, _, _) if allowed.is_empty() => None,
            (false, _, _) => HeaderValue::try_from(allowed.join(", ")).ok(),
        };
        self.0.extend(value.map(|value| (name, value)));
    }
}

/// A browser leaves a scheme's own port out of `Origin`.
fn without_default_port(origin: &str) -> &str {
    match origin.split_once("://") {
        Some(("https", host)) if host.ends_with(":443") => &origin[..origin.len() - 4],
        Some(("http", host)) if host.ends_with(":80") => &origin[..origin.len() - 3],
        Some(_) | None => origin,
    }
}

/// `https://*` allows every host of the scheme; `https://*.bar.com` allows any one or more labels in place of the `*`; scheme and port must be equal.
fn origin_matches(allowed: &str, origin: &str) -> bool {
    let allowed = without_default_port(allowed);
    if let Some(scheme) = allowed.strip_suffix("://*") {
        return origin.split_once("://").is_some_and(|(origin_scheme, _)| origin_scheme.eq_ignore_ascii_case(scheme));
    }
    match allowed.split_once("://*.") {
        None => allowed.eq_ignore_ascii_case(origin),
        Some((scheme, suffix)) => origin.split_once("://").is_some_and(|(origin_scheme, host)| {
            let cut = host.len().checked_sub(suffix.len() + 1).filter(|cut| *cut > 0);
            origin_scheme.eq_ignore_ascii_case(scheme)
                && cut.and_then(|cut| host.get(cut..)).is_some_and(|tail| tail.starts_with('.') && tail[1..].eq_ignore_ascii_case(suffix))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn matches_origins_by_scheme_labels_and_port() {
        for (allowed, origin, expected) in [
            ("https://www.foo.com", "https://www.foo.com", true),
            ("https://www.foo.com", "http://www.foo.com", false),
            ("https://www.foo.com:8443", "https://www.foo.com", false),
            ("https://*.bar.com", "https://www.bar.com", true),
            ("https://*.bar.com", "https://a.b.bar.com", true),
            ("https://*.bar.com", "https://bar.com", false),
            ("https://*.bar.com", "https://evilbar.com", false),
            ("https://*.bar.com", "https://a.bar.com:8080", false),
            ("https://*", "https://any.where:8443", true),
            ("https://*", "http://any.where", false),
            ("https://a.com:443", "https://a.com", true),
        ] {
            assert_eq!(origin_matches(allowed, origin), expected, "{allowed} {origin}");
        }
    }

    proptest! {
        #[test]
        fn any_origin_is_judged_without_panic(allowed in "\\PC{0,20}", origin in "\\PC{0,20}") {
            let _ = origin_matches(&format!("https://*.{allowed}"), &origin);
        }
    }
}
