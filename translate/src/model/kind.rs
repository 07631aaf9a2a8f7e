//! The kinds of routes that are served, and how they differ.

use policy::Transport;

/// A kind of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the API's own names")]
pub enum RouteKind {
    Http,
    Grpc,
    Tls,
    Tcp,
    Udp,
}

impl RouteKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Http, Self::Grpc, Self::Tls, Self::Tcp, Self::Udp];

    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
            Self::Tls => "TLSRoute",
            Self::Tcp => "TCPRoute",
            Self::Udp => "UDPRoute",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether its rules are about requests. Others pass connections or flows on as they are.
    pub(crate) fn has_requests(self) -> bool {
        match self {
            Self::Http | Self::Grpc => true,
            Self::Tls | Self::Tcp | Self::Udp => false,
        }
    }

    /// Whether its routes say for which hosts they are.
    pub(crate) fn has_hostnames(self) -> bool {
        match self {
            Self::Http | Self::Grpc | Self::Tls => true,
            Self::Tcp | Self::Udp => false,
        }
    }

    /// What carries what it routes, towards backends as well.
    pub(crate) fn transport(self) -> Transport {
        match self {
            Self::Http | Self::Grpc | Self::Tls | Self::Tcp => Transport::Tcp,
            Self::Udp => Transport::Udp,
        }
    }
}
