//! Where a provider is: its own host, or `customHost`; and which path is asked for there.

use std::net::IpAddr;

use crds::CustomHost;
use policy::Hostname;
use policy::config::ProviderPaths;

use super::text;
use crate::finding::Flaw;

/// Host and port to connect to, and the name that the certificate must have.
#[derive(Debug, PartialEq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) hostname: String,
}

/// The address of a provider whose own host is `default`.
pub(super) fn of(default: Option<&str>, custom: Option<&CustomHost>, tls: bool) -> Result<Address, Flaw> {
    let default_port = if tls { 443 } else { 80 };
    match custom {
        None => Address::new(default, None, default_port),
        Some(custom) => custom_address(default, custom, default_port).map_err(|flaw| flaw.under(".customHost")),
    }
}

fn custom_address(default: Option<&str>, custom: &CustomHost, default_port: u16) -> Result<Address, Flaw> {
    let port = match custom.port {
        None => default_port,
        Some(given) => u16::try_from(given)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| Flaw::new(".port", format!("port {given} is not a port: use 1 to 65535, or leave it out for {default_port}")))?,
    };
    Address::new(text::set(&custom.host).or(default), text::set(&custom.hostname), port)
}

impl Address {
    fn new(host: Option<&str>, hostname: Option<&str>, port: u16) -> Result<Self, Flaw> {
        let missing = || Flaw::new(".host", "there is no host to connect to: name one");
        let host = name(host.ok_or_else(missing)?, ".host")?;
        let hostname = hostname.map_or_else(|| Ok(host.clone()), |hostname| name(hostname, ".hostname"))?;
        Ok(Self { host, port, hostname })
    }
}

/// A DNS name in lower case, or an IP address as such (no brackets).
pub(super) fn name(given: &str, below: &str) -> Result<String, Flaw> {
    let bare = given.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(given);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    match Hostname::parse(given) {
        Ok(hostname) if hostname.wildcard_suffix().is_none() => Ok(hostname.as_str().to_owned()),
        Ok(_) | Err(_) => {
            // Not repeated: a URL may carry a password.
            Err(Flaw::new(below, "neither a DNS name nor an IP address: write the name alone, without scheme, user, port and path"))
        }
    }
}

/// The paths of a provider, as `customHost.pathOverride` changes them.
pub(super) fn overridden(mut paths: ProviderPaths, custom: Option<&CustomHost>) -> Result<ProviderPaths, Flaw> {
    let Some(given) = custom.and_then(|custom| custom.path_override.as_ref()) else { return Ok(paths) };
    let (full, base) = (text::set(&given.full_path), text::set(&given.base_path));
    let below = |field: &str| format!(".customHost.pathOverride.{field}");
    if full.is_some() && base.is_some() {
        return Err(Flaw::new(below("basePath"), "fullPath and basePath exclude each other: keep one"));
    }
    if let Some(full) = full {
        let (path, query) = full.split_once('?').map_or((full, None), |(path, query)| (path, Some(query)));
        text::path(path, &below("fullPath"))?;
        query.map_or(Ok(()), |query| text::query(query, &below("fullPath")))?;
        paths.full = Some(full.to_owned());
    }
    if let Some(base) = base {
        text::path(base, &below("basePath"))?;
        paths.base = Some(base.to_owned());
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_and_addresses_and_nothing_else() {
        for (given, expected) in
            [("API.openai.com", "api.openai.com"), ("10.0.0.1", "10.0.0.1"), ("[::1]", "::1"), ("localhost", "localhost")]
        {
            assert_eq!(name(given, ""), Ok(expected.to_owned()));
        }
        for bad in ["", "https://a.b", "a.b:443", "a.b/c", "*.a.b", "a b", "a.b\r\nx: y", "user@a.b", "a_b"] {
            assert!(name(bad, "").is_err(), "{bad:?}");
        }
    }

    #[test]
    fn refuses_ports_that_are_none() {
        let custom = |port| CustomHost { host: Some("a.b".into()), port: Some(port), ..CustomHost::default() };
        for port in [0, -1, 65536, 4_294_967_295] {
            assert_eq!(of(None, Some(&custom(port)), true).map_err(|flaw| flaw.below), Err(".customHost.port".to_owned()), "{port}");
        }
        assert_eq!(of(None, Some(&custom(8443)), true), Ok(Address { host: "a.b".into(), port: 8443, hostname: "a.b".into() }));
    }
}
