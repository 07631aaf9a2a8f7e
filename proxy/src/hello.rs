//! The first words of a TLS connection, heard before anybody answers: the name that the client asks for says who is to. Until then nothing
//! is written, so that a connection that is for nobody ends without an alert.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use policy::normalize_host;
use rustls::ServerConfig;
use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{Accept, LazyConfigAcceptor, StartHandshake};

/// Bytes of a ClientHello that are heard out, in however many records. Post-quantum key shares take two thousand.
const LONGEST: usize = 64 * 1024;

/// A connection whose ClientHello was heard.
pub(crate) struct Hello<S> {
    /// The SNI, as a host.
    pub(crate) name: Option<String>,
    /// In a box: it is large, and gone long before its connection.
    accepted: Box<Accepted>,
    heard: Heard<S>,
}

/// Waits for a client's first words.
pub(crate) async fn hear<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> io::Result<Hello<S>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), Heard { stream, bytes: Vec::new() }).await?;
    let name = start.client_hello().server_name().map(|name| normalize_host(name).into_owned());
    Ok(Hello { name, accepted: Box::new(start.accepted), heard: start.io })
}

impl<S: AsyncRead + AsyncWrite + Unpin> Hello<S> {
    /// Answers.
    pub(crate) fn handshake(self, config: Arc<ServerConfig>) -> Accept<S> {
        StartHandshake::from_parts(*self.accepted, self.heard.stream).into_stream(config)
    }

    /// What was heard, for somebody else to answer, and the connection that goes on after it.
    pub(crate) fn into_parts(self) -> (Vec<u8>, S) {
        (self.heard.bytes, self.heard.stream)
    }
}

/// Keeps what is read, and writes nothing.
struct Heard<S> {
    stream: S,
    bytes: Vec<u8>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.bytes.extend_from_slice(&buf.filled()[before..]);
        if self.bytes.len() > LONGEST {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "its ClientHello is too long")));
        }
        polled
    }
}

impl<S: Unpin> AsyncWrite for Heard<S> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// What a client that asks for `name` says first.
    fn client_hello(name: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
        let mut said = Vec::new();
        client.write_tls(&mut said).unwrap();
        said
    }

    #[tokio::test]
    async fn hears_a_name_out_in_pieces_and_keeps_every_byte() {
        let said = client_hello("A.example.com");
        let (mut client, server) = duplex(64);
        let spoken = said.clone();
        let speaker = tokio::spawn(async move {
            for piece in spoken.chunks(7) {
                client.write_all(piece).await.unwrap();
            }
            client
        });
        let hello = hear(server).await.unwrap();
        assert_eq!(hello.name.as_deref(), Some("a.example.com"));
        assert_eq!(hello.into_parts().0, said);
        drop(speaker.await.unwrap());
    }

    #[tokio::test]
    async fn knows_no_name_of_a_client_that_asks_for_an_address() {
        let (mut client, server) = duplex(4096);
        client.write_all(&client_hello("10.0.0.1")).await.unwrap();
        assert_eq!(hear(server).await.unwrap().name, None);
    }

    #[tokio::test]
    async fn answers_nothing_to_what_is_no_client_hello() {
        let (mut client, server) = duplex(4096);
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert!(hear(server).await.is_err());
        let mut answer = Vec::new();
        assert_eq!(client.read_to_end(&mut answer).await.unwrap(), 0);
    }
}
