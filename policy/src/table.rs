//! What a request meets: ports, listeners, hosts, paths. Never changed while a request looks at it: [`crate::Compiler`] makes the next
//! one, which shares with it whatever did not change.

pub(crate) mod hosts;
pub(crate) mod paths;
pub(crate) mod served;
pub(crate) mod sharded;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, Method};
use smallvec::SmallVec;

use crate::config::{ClientAuth, Config, HostPair, Secret};
use crate::precedence::HostRank;
use crate::rule::CompiledRule;
use crate::table::hosts::HostMap;
use crate::table::paths::PathTable;
use crate::table::served::Served;
use crate::wire::Delta;
use crate::{Compiler, Family, Hostname, Port, Protocol};

/// Why a configuration cannot be used. The proxy keeps the last good one. Names resources; quotes no value of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{resource}: {problem}")]
pub struct CompileError {
    /// Kind and name of the resource.
    pub resource: String,
    /// What is wrong with it.
    pub problem: String,
}

/// The part of a request that routing looks at.
#[derive(Clone, Copy, Debug)]
pub struct Head<'r> {
    /// As [`crate::normalize_host`] gives it.
    pub host: &'r str,
    /// Method.
    pub method: &'r Method,
    /// Path, without query.
    pub path: &'r str,
    /// Query, without `?`.
    pub query: Option<&'r str>,
    /// Headers as received.
    pub headers: &'r HeaderMap,
}

/// All ports of a Gateway. A clone costs a few pointers.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub(crate) ports: BTreeMap<Port, Arc<PortTable>>,
    pub(crate) problems: Arc<[CompileError]>,
}

/// The listeners of one port.
#[derive(Clone, Debug)]
pub struct PortTable {
    /// What connections to it have in common.
    pub family: Family,
    pub(crate) listeners: HostMap<Arc<ListenerTable>>,
}

/// The routes of one listener.
#[derive(Clone, Debug)]
pub struct ListenerTable {
    /// Its name.
    pub name: Arc<str>,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Each a [`Secret::Certificate`]; the same `Arc` for as long as the secret is the same.
    pub certificates: Arc<[Arc<Secret>]>,
    /// What its clients' certificates are measured by; `None`: they are not asked for one.
    pub client_auth: Option<Arc<ClientAuth>>,
    pub(crate) hosts: HostMap<HostTable>,
}

/// Rules of one served host, by the specificity of the route hostname they came from: nearly always one.
pub(crate) type HostTable = Arc<SmallVec<[Ranked; 1]>>;

/// Rules whose route hostnames are equally specific.
#[derive(Clone, Debug)]
pub(crate) struct Ranked {
    rank: HostRank,
    paths: PathTable,
}

/// Where a listener is found.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) port: Port,
    pub(crate) hostname: Option<Hostname>,
}

impl Table {
    /// Prepares a configuration for requests.
    pub fn compile(config: &Config) -> Result<Self, CompileError> {
        Compiler::default().apply(Delta::from(config)).map(|applied| applied.table)
    }

    /// Rules that could not be compiled and refuse every request.
    pub fn problems(&self) -> &[CompileError] {
        &self.problems
    }

    /// The ports to accept on, and what is spoken there.
    pub fn ports(&self) -> impl Iterator<Item = (Port, &PortTable)> {
        self.ports.iter().map(|(port, table)| (*port, &**table))
    }

    /// The listeners of a TCP port.
    pub fn port(&self, number: u16) -> Option<&PortTable> {
        self.ports.get(&Port::tcp(number)).map(|table| &**table)
    }

    /// The listeners of a UDP port.
    pub fn udp_port(&self, number: u16) -> Option<&PortTable> {
        self.ports.get(&Port::udp(number)).map(|table| &**table)
    }

    /// A listener, for this table alone.
    pub(crate) fn listener_mut(&mut self, place: &Place) -> Option<&mut ListenerTable> {
        let port = Arc::make_mut(self.ports.get_mut(&place.port)?);
        port.listeners.get_mut(place.hostname.as_ref()).map(Arc::make_mut)
    }
}

impl PortTable {
    /// The one listener that serves a host or an SNI: the most specific, and no other (listener isolation). The empty text, where there
    /// is no SNI or no such thing, is for the one that serves all.
    pub fn listener(&self, host: &str) -> Option<&Arc<ListenerTable>> {
        self.listeners.candidates(host).next()
    }

    /// All listeners.
    pub fn listeners(&self) -> impl Iterator<Item = &Arc<ListenerTable>> {
        self.listeners.values()
    }
}

impl ListenerTable {
    /// The rule with the highest precedence among those that match, and how much of the path its prefix matched.
    pub fn find(&self, head: &Head<'_>) -> Option<(&Arc<CompiledRule>, usize)> {
        self.hosts.candidates(head.host).flat_map(|host| host.iter()).find_map(|ranked| ranked.paths.find(head))
    }

    /// Serves a rule under these hosts.
    pub(crate) fn attach(&mut self, hosts: &[HostPair], served: &Served) {
        for pair in hosts {
            for (slot, entry) in served.entries() {
                self.paths(pair).insert(&slot, entry);
            }
        }
    }

    /// Undoes [`Self::attach`].
    pub(crate) fn detach(&mut self, hosts: &[HostPair], served: &Served) {
        for pair in hosts {
            let (host, rank) = (pair.host.as_ref(), HostRank::of(pair.original.as_ref()));
            let Some(table) = self.hosts.get_mut(host).map(Arc::make_mut) else { continue };
            for ranked in table.iter_mut().filter(|ranked| ranked.rank == rank) {
                served.entries().for_each(|(slot, entry)| ranked.paths.remove(&slot, &entry.rule));
            }
            table.retain(|ranked| !ranked.paths.is_empty());
            if table.is_empty() {
                self.hosts.remove(host);
            }
        }
    }

    /// The paths of a host, made where there are none.
    fn paths(&mut self, pair: &HostPair) -> &mut PathTable {
        let table = Arc::make_mut(self.hosts.entry(pair.host.as_ref()));
        let rank = HostRank::of(pair.original.as_ref());
        let at = table.partition_point(|known| known.rank < rank);
        if table.get(at).is_none_or(|known| known.rank != rank) {
            table.insert(at, Ranked { rank, paths: PathTable::default() });
        }
        &mut table[at].paths
    }
}
