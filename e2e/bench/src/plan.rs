//! What a subject has to serve, whatever kind it is: the same routes for all.

use std::net::{Ipv4Addr, SocketAddr};

/// What a subject has to serve.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Its routes.
    pub routes: Routes,
    /// Whether there is a TLS port too.
    pub tls: bool,
    /// Whether answers must be passed on event by event, where a subject has to be told.
    pub streaming: bool,
}

/// The routes of the one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routes {
    /// `/openai`, to the backend.
    One,
    /// That many prefixes, all to the backend. Each rewrites its prefix; two request headers are set.
    Prefixes(u32),
    /// That many prefixes, each with a Service and an endpoint of its own, of which only the last one's exists. Each rewrites its
    /// prefix; no header is set, as no subject shares them alike.
    Own(u32),
}

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Unique.
    pub name: String,
    /// Path prefix.
    pub prefix: String,
    /// Where it leads.
    pub endpoint: SocketAddr,
}

impl Plan {
    /// The one route of the guide, over plain HTTP.
    pub const ONE: Self = Self { routes: Routes::One, tls: false, streaming: false };

    /// Other routes, over plain HTTP.
    pub fn of(routes: Routes) -> Self {
        Self { routes, ..Self::ONE }
    }
}

impl Routes {
    /// All routes, in the order in which they are configured.
    pub fn list(self, backend: SocketAddr) -> Vec<Route> {
        let route = |nth: u32, endpoint| Route { name: format!("route-{nth:05}"), prefix: prefix(nth), endpoint };
        match self {
            Self::One => vec![Route { name: "openai".into(), prefix: "/openai".into(), endpoint: backend }],
            Self::Prefixes(count) => (0..count).map(|nth| route(nth, backend)).collect(),
            Self::Own(count) => (0..count).map(|nth| route(nth, if nth + 1 == count { backend } else { fictional(nth) })).collect(),
        }
    }

    /// The path that hits the last route.
    pub fn last_path(self) -> String {
        match self {
            Self::One => "/openai".into(),
            Self::Prefixes(count) | Self::Own(count) => prefix(count.saturating_sub(1)),
        }
    }

    /// Whether the subject sets the credential and the header.
    pub fn sets_headers(self) -> bool {
        !matches!(self, Self::Own(_))
    }
}

fn prefix(nth: u32) -> String {
    format!("/r/{nth:05}")
}

/// An address of loopback where nobody listens, another for each route.
fn fictional(nth: u32) -> SocketAddr {
    let [_, high, middle, low] = nth.to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, high.saturating_add(1), middle, low), 8080))
}
