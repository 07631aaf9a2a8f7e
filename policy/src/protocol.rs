//! What listeners speak, which of them can share a port, and how ports are told apart.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP/1.1, and HTTP/2 with prior knowledge.
    Http,
    /// HTTP/1.1 or HTTP/2 by ALPN, inside TLS.
    Https,
    /// Anything inside TLS that ends here.
    Tls,
    /// TLS that ends at the backend: nothing of it is read but the name that the client asks for.
    TlsPassthrough,
    /// Any stream.
    Tcp,
    /// Any datagrams.
    Udp,
}

/// Listeners of one family can share a port, if they have different hostnames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Told apart by the request's host.
    Plain,
    /// Told apart by SNI.
    Encrypted,
    /// Not told apart.
    Stream,
    /// Not told apart.
    Datagram,
}

/// What carries a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A port to accept on. TCP and UDP number theirs separately. Prints as `443`, or as `53/UDP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// Whose number that is.
    pub transport: Transport,
}

impl Protocol {
    /// With which others it can share a port.
    pub fn family(self) -> Family {
        match self {
            Self::Http => Family::Plain,
            Self::Https | Self::Tls | Self::TlsPassthrough => Family::Encrypted,
            Self::Tcp => Family::Stream,
            Self::Udp => Family::Datagram,
        }
    }

    /// What carries it.
    pub fn transport(self) -> Transport {
        match self.family() {
            Family::Plain | Family::Encrypted | Family::Stream => Transport::Tcp,
            Family::Datagram => Transport::Udp,
        }
    }

    /// Whether what comes in is requests. All else is passed on as it is.
    pub fn has_requests(self) -> bool {
        match self {
            Self::Http | Self::Https => true,
            Self::Tls | Self::TlsPassthrough | Self::Tcp | Self::Udp => false,
        }
    }

    /// Whether TLS ends here, which takes a certificate.
    pub fn terminates_tls(self) -> bool {
        match self {
            Self::Https | Self::Tls => true,
            Self::Http | Self::TlsPassthrough | Self::Tcp | Self::Udp => false,
        }
    }

    /// `listener.protocol` as Gateway API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Tls | Self::TlsPassthrough => "TLS",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

impl Transport {
    /// As Kubernetes spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

impl Port {
    /// A TCP port.
    pub fn tcp(number: u16) -> Self {
        Self { number, transport: Transport::Tcp }
    }

    /// A UDP port.
    pub fn udp(number: u16) -> Self {
        Self { number, transport: Transport::Udp }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::Tcp => write!(f, "{}", self.number),
            Transport::Udp => write!(f, "{}/UDP", self.number),
        }
    }
}
