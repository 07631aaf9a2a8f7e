//! TLS and HTTP/1.1 for API servers: "Use http/1.1 instead of http/2" (apiserver, `util/webhook/client.go`), so that their connections
//! spread over replicas.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::service::{Webhook, respond};

/// A handshake takes no longer.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Reviews in flight at the end take no longer, since API servers do not wait longer.
const LAST_REVIEWS: Duration = Duration::from_secs(10);
/// After a failed accept, which means that there are no file descriptors.
const BREATH: Duration = Duration::from_millis(50);

/// Serves until `end`, then lets reviews in flight be answered.
pub(crate) async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, webhook: Arc<Webhook>, end: impl Future<Output = ()>) {
    let acceptor = TlsAcceptor::from(tls);
    let connections = GracefulShutdown::new();
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(connection(acceptor.clone(), stream, Arc::clone(&webhook), connections.watcher()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(BREATH).await;
                }
            },
        }
    }
    let _ = tokio::time::timeout(LAST_REVIEWS, connections.shutdown()).await;
}

/// Idle connections are kept for as long as the API server keeps them: one closed here could have the next review on its way.
async fn connection(acceptor: TlsAcceptor, stream: TcpStream, webhook: Arc<Webhook>, watcher: Watcher) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = handshake(&acceptor, stream).await else { return };
    let service = service_fn(move |request: Request<Incoming>| {
        let webhook = Arc::clone(&webhook);
        async move { Ok::<_, Infallible>(respond(&webhook, request).await) }
    });
    // No API server looks at the date of an answer. Answers are short: they are copied behind their heads.
    let mut http = http1::Builder::new();
    http.header_read_timeout(None::<Duration>).auto_date_header(false).writev(false);
    let connection = http.serve_connection(TokioIo::new(tls), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended");
    }
}

async fn handshake(acceptor: &TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    let shaken = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await.ok()?;
    shaken.inspect_err(|error| tracing::warn!(%error, "a handshake failed: is the caBundle right?")).ok()
}
