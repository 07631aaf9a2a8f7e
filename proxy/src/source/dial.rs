//! A connection to the control plane: by its name, verified by its own authority alone, before anything is sent.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::rt::TokioIo;
use policy::Token;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use super::{ControlPlane, SourceError};
use crate::dns::Dns;
use crate::options::ConnectTo;
use crate::tls;

/// For each address: behind a Service, the next attempt finds another replica.
const TCP: Duration = Duration::from_secs(1);
/// For resolving, connecting and the handshake together.
const ALL: Duration = Duration::from_secs(5);
/// A ping is sent after so long without a word, and answered within as long, or the connection is given up: a partition closes nothing.
const PING: Duration = Duration::from_secs(5);

/// `https://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdsAddress {
    host: String,
    port: u16,
    /// As requests name it.
    origin: Uri,
    /// The same with the scheme `http`: TLS is ours, tonic must not look for its own.
    inner: Uri,
}

/// A text is not an [`XdsAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address of a control plane: write https://HOST:PORT, without a path")]
pub struct AddressError;

impl FromStr for XdsAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let origin: Uri = text.parse().map_err(|_| AddressError)?;
        let host = origin.host().ok_or(AddressError)?.trim_matches(['[', ']']).to_ascii_lowercase();
        let bare = origin.path() == "/" && origin.query().is_none() && !text.contains('@');
        if origin.scheme() != Some(&Scheme::HTTPS) || !bare || ServerName::try_from(host.as_str()).is_err() {
            return Err(AddressError);
        }
        let mut parts = origin.clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        let inner = Uri::from_parts(parts).map_err(|_| AddressError)?;
        Ok(Self { host, port: origin.port_u16().unwrap_or(443), origin, inner })
    }
}

impl fmt::Display for XdsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "https://[{}]:{}", self.host, self.port),
            false => write!(f, "https://{}:{}", self.host, self.port),
        }
    }
}

/// Connects and verifies. Reads the authority's file.
pub(super) async fn connect(plane: &ControlPlane, connect_to: &[ConnectTo]) -> Result<Channel, SourceError> {
    let config = tls::control_plane(&plane.ca).map_err(SourceError::Ca)?;
    let stream = timeout(ALL, secure(&plane.address, TlsConnector::from(Arc::new(config)), connect_to));
    let stream = stream.await.map_err(|_| SourceError::Connect("timed out".to_owned()))??;
    let endpoint = Endpoint::from(plane.address.inner.clone()).origin(plane.address.origin.clone());
    let endpoint = endpoint.http2_keep_alive_interval(PING).keep_alive_timeout(PING).keep_alive_while_idle(true);
    // One connection, one stream: another connection means another attempt, with files read anew.
    let mut once = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: Uri| {
        let stream = once.take();
        async move { stream.ok_or_else(|| std::io::Error::other("the connection has ended")) }
    });
    Ok(endpoint.connect_with_connector(connector).await?)
}

async fn secure(address: &XdsAddress, connector: TlsConnector, connect_to: &[ConnectTo]) -> Result<TlsStream<TcpStream>, SourceError> {
    // A resolver of its own each time: that a Service was not there yet is remembered no longer than this attempt.
    let addresses = Dns::new(connect_to).addresses(&address.host, address.port).await.map_err(SourceError::Dns)?;
    let stream = tcp(&addresses).await?;
    let name = ServerName::try_from(address.host.clone()).map_err(|error| SourceError::Tls(error.to_string()))?;
    connector.connect(name, stream).await.map_err(|error| SourceError::Tls(error.to_string()))
}

async fn tcp(addresses: &[SocketAddr]) -> Result<TcpStream, SourceError> {
    let mut last = "no address".to_owned();
    for address in addresses {
        match timeout(TCP, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = format!("{address}: {error}"),
            Err(_) => last = format!("{address}: timed out"),
        }
    }
    Err(SourceError::Connect(last))
}

/// The token of a file, as the header has it.
pub(super) fn bearer(path: &Path) -> Result<MetadataValue<Ascii>, SourceError> {
    let problem = |what: String| SourceError::Token(format!("{}: {what}", path.display()));
    let token = std::fs::read_to_string(path).map(Token::new).map_err(|error| problem(error.to_string()))?;
    let text = token.expose().trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(problem("holds no token".to_owned()));
    }
    let mut value = MetadataValue::<Ascii>::try_from(format!("Bearer {text}")).map_err(|_| problem("holds no token".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_https_with_a_host_and_nothing_else() {
        let address: XdsAddress = "https://keyward-operator.keyward-system.svc:18000".parse().unwrap();
        assert_eq!((address.host.as_str(), address.port), ("keyward-operator.keyward-system.svc", 18000));
        assert_eq!(address.to_string(), "https://keyward-operator.keyward-system.svc:18000");
        assert_eq!("https://[::1]:1".parse::<XdsAddress>().unwrap().to_string(), "https://[::1]:1");
        for bad in
            ["", "operator:18000", "http://operator:18000", "https://", "https://a/b", "https://u:p@a:1", "https://a:1/?q", "https://a_!"]
        {
            assert_eq!(bad.parse::<XdsAddress>(), Err(AddressError), "{bad}");
        }
    }
}
