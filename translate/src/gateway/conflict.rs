//! Listeners of one Gateway that stand in each other's way. "Implementations MUST NOT pick one conflicting Listener as the winner"
//! (GatewaySpec.listeners): none of them is served.

use std::collections::BTreeMap;

use policy::{Family, Protocol};

use super::listener::Listener;
use crate::finding::{Finding, UNSUPPORTED_VALUE};

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
    let protocol = own.protocol?;
    let others = || others(listeners, nth, protocol);
    // What is not told apart by anything shares its port with nobody, not even its like.
    let alone = matches!(protocol.family(), Family::Stream | Family::Datagram);
    if let Some((other, with)) = others().find(|(_, other)| alone || other.family() != protocol.family()) {
        let message = format!("port {} is also used by listener {} with protocol {}", own.port, other.name, with.as_str());
        let message = format!("{message}: neither is served; give one of them another port");
        return Some(Finding::conflict(format!("{}.protocol", own.field), "ProtocolConflict", message));
    }
    // A hostname that cannot be read is nobody's: it must not take a sound listener out of service.
    let hostname = own.hostname.as_ref().ok()?;
    let (same, _) = others().find(|(other, _)| other.hostname.as_ref() == Ok(hostname))?;
    let hostname = hostname.as_ref().map_or_else(|| "all hostnames".to_owned(), |hostname| format!("hostname {hostname}"));
    let message = format!("listener {} has the same port and {hostname}: neither is served; change or remove one of them", same.name);
    Some(Finding::conflict(format!("{}.hostname", own.field), "HostnameConflict", message))
}

/// The other listeners on the same port, and what they speak. TCP and UDP number theirs separately, and what we do not know is refused
/// anyway.
fn others(listeners: &[Listener], nth: usize, own: Protocol) -> impl Iterator<Item = (&Listener, Protocol)> {
    let port = listeners.get(nth).map(|listener| listener.port);
    let others = listeners.iter().enumerate().filter(move |(at, other)| *at != nth && Some(other.port) == port);
    let known = others.filter_map(|(_, other)| Some((other, other.protocol?)));
    known.filter(move |(_, protocol)| protocol.transport() == own.transport())
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
