//! Listeners of one Gateway that stand in each other's way. Within one object, "implementations MUST NOT pick one conflicting Listener as
//! the winner" (GatewaySpec.listeners): none of them is served. Between objects the first wins: the Gateway, then the oldest ListenerSet.

use std::collections::{BTreeMap, BTreeSet};

use policy::{Family, Hostname, Protocol, Transport};

use super::listener::Listener;
use crate::finding::{Aspect, Finding, UNSUPPORTED_VALUE};

/// What is not told apart by anything shares its port with nobody, not even its like.
fn is_alone(family: Family) -> bool {
    matches!(family, Family::Stream | Family::Datagram)
}

/// Marks every listener that is in conflict with another. They stand object by object, the one that wins first.
pub(super) fn mark(listeners: &mut [Listener]) {
    let mut taken = Taken::default();
    for of_object in listeners.chunk_by_mut(|one, next| one.holder == next.holder) {
        let lost: Vec<Option<Finding>> = of_object.iter().map(|listener| taken.refuses(listener)).collect();
        add(of_object, lost);
        let found: Vec<Option<Finding>> = (0..of_object.len()).map(|nth| conflict(of_object, nth)).collect();
        // Also those that are about to be refused: a mistake of the Gateway's gives its hosts to nobody else.
        of_object.iter().filter(|listener| is_standing(listener)).for_each(|listener| taken.add(listener));
        add(of_object, found);
    }
    mark_names(listeners);
}

fn add(listeners: &mut [Listener], findings: Vec<Option<Finding>>) {
    for (listener, finding) in listeners.iter_mut().zip(findings) {
        listener.findings.extend(finding);
    }
}

/// One that lost to another object stands in nobody's way.
fn is_standing(listener: &Listener) -> bool {
    listener.findings.first(Aspect::Conflicted).is_none()
}

/// TCP and UDP number their ports separately.
type Number = (i32, Transport);

/// What the objects before have.
#[derive(Debug, Default)]
struct Taken {
    ports: BTreeMap<Number, BTreeSet<Family>>,
    hosts: BTreeSet<(Number, Option<Hostname>)>,
}

impl Taken {
    fn add(&mut self, listener: &Listener) {
        let Some(protocol) = listener.protocol else { return };
        let number = (listener.port, protocol.transport());
        self.ports.entry(number).or_default().insert(protocol.family());
        if let Ok(hostname) = &listener.hostname {
            self.hosts.insert((number, hostname.clone()));
        }
    }

    /// "Implementations SHOULD be cautious about what information from the parent or siblings are reported" (ListenerSetSpec.listeners): a
    /// ListenerSet is not told whose listener it is.
    fn refuses(&self, listener: &Listener) -> Option<Finding> {
        let protocol = listener.protocol?;
        let (own, number) = (protocol.family(), (listener.port, protocol.transport()));
        let (port, who) = (listener.port, "the Gateway, or an older ListenerSet of it,");
        if self.ports.get(&number)?.iter().any(|family| is_alone(own) || *family != own) {
            let message =
                format!("{who} uses port {port}, and this protocol cannot share it: this listener is not served; use another port");
            return Some(Finding::conflict(format!("{}.protocol", listener.field), "ProtocolConflict", message));
        }
        let hostname = listener.hostname.as_ref().ok()?;
        let message = format!("{who} has a listener with the same port and hostname: this one is not served; change or remove it");
        let is_taken = self.hosts.contains(&(number, hostname.clone()));
        is_taken.then(|| Finding::conflict(format!("{}.hostname", listener.field), "HostnameConflict", message))
    }
}

/// Why one of an object's listeners cannot be served beside the others of it.
fn conflict(listeners: &[Listener], nth: usize) -> Option<Finding> {
    let own = listeners.get(nth).filter(|own| is_standing(own))?;
    let protocol = own.protocol?;
    let others = || others(listeners, nth, protocol).filter(|(other, _)| is_standing(other));
    let alone = is_alone(protocol.family());
    if let Some((other, with)) = others().find(|(_, other)| alone || other.family() != protocol.family()) {
        let message = format!("port {} is also used by listener {} with protocol {}", own.port, other.section, with.as_str());
        let message = format!("{message}: neither is served; give one of them another port");
        return Some(Finding::conflict(format!("{}.protocol", own.field), "ProtocolConflict", message));
    }
    // A hostname that cannot be read is nobody's: it must not take a sound listener out of service.
    let hostname = own.hostname.as_ref().ok()?;
    let (same, _) = others().find(|(other, _)| other.hostname.as_ref() == Ok(hostname))?;
    let hostname = hostname.as_ref().map_or_else(|| "all hostnames".to_owned(), |hostname| format!("hostname {hostname}"));
    let message = format!("listener {} has the same port and {hostname}: neither is served; change or remove one of them", same.section);
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
        let message = format!("several listeners have the name {}: none of them is served; give each its own", listener.section);
        listener.findings.push(Finding::accepted(format!("{}.name", listener.field), UNSUPPORTED_VALUE, message));
    }
}
