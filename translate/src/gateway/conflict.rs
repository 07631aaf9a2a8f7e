//! Listeners of one Gateway that stand in each other's way. "Implementations MUST NOT pick one conflicting Listener as the winner"
//! (GatewaySpec.listeners): none of them is served.

use std::collections::BTreeMap;

use super::listener::{Listener, Protocol};
use crate::finding::{Finding, UNSUPPORTED_VALUE};

/// What can share a port. UDP has ports of its own, and what we do not know is refused anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Plain,
    /// Told apart by SNI.
    Encrypted,
    Raw,
}

fn family(protocol: Protocol) -> Option<Family> {
    match protocol {
        Protocol::Http => Some(Family::Plain),
        Protocol::Https | Protocol::Tls => Some(Family::Encrypted),
        Protocol::Tcp => Some(Family::Raw),
        Protocol::Udp | Protocol::Unknown => None,
    }
}

/// Marks every listener that is in conflict with another.
pub(super) fn mark(listeners: &mut [Listener]) {
    let found: Vec<Option<Finding>> = (0..listeners.len()).map(|nth| conflict(listeners, nth)).collect();
    for (listener, finding) in listeners.iter_mut().zip(found) {
        listener.findings.extend(finding);
    }
    mark_names(listeners);
}

fn conflict(listeners: &[Listener], nth: usize) -> Option<Finding> {
    let own = listeners.get(nth)?;
    let family_of_own = family(own.protocol)?;
    let others = || listeners.iter().enumerate().filter(|(at, other)| *at != nth && other.port == own.port).map(|(_, other)| other);
    if let Some(other) = others().find(|other| family(other.protocol).is_some_and(|family| family != family_of_own)) {
        let message = format!("port {} is also used by listener {} with protocol {}", own.port, other.name, other.protocol.as_str());
        let message = format!("{message}: neither is served; give one of them another port");
        return Some(Finding::conflict(format!("{}.protocol", own.field), "ProtocolConflict", message));
    }
    // A hostname that cannot be read is nobody's: it must not take a sound listener out of service.
    let hostname = own.hostname.as_ref().ok()?;
    let same = others().find(|other| family(other.protocol).is_some() && other.hostname.as_ref() == Ok(hostname))?;
    let hostname = hostname.as_ref().map_or_else(|| "all hostnames".to_owned(), |hostname| format!("hostname {hostname}"));
    let message = format!("listener {} has the same port and {hostname}: neither is served; change or remove one of them", same.name);
    Some(Finding::conflict(format!("{}.hostname", own.field), "HostnameConflict", message))
}

/// Names tell listeners apart for routes and proxies; the API server sees to it that they are unique, files may not.
fn mark_names(listeners: &mut [Listener]) {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for listener in listeners.iter() {
        *times.entry(listener.name.clone()).or_default() += 1;
    }
    for listener in listeners.iter_mut().filter(|listener| times.get(&listener.name).is_some_and(|times| *times > 1)) {
        let message = format!("several listeners have the name {}: none of them is served; give each its own", listener.name);
        listener.findings.push(Finding::accepted(format!("{}.name", listener.field), UNSUPPORTED_VALUE, message));
    }
}
