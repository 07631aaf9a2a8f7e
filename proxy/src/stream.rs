//! Connections that are passed on as they are: joined to a pod of their backend, byte for byte. It never looks at what is inside.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use policy::Passage;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;

use crate::error::UpstreamError;
use crate::metrics::{Carried, Streams};
use crate::session::Via;

/// Bytes on the way in each direction: a connection has two of these for as long as it is open.
const BUFFER: usize = 16 * 1024;
/// A connection may say nothing for hours, and whoever is at its other end may have gone without a word.
const SILENCE: Duration = Duration::from_secs(60);

/// Joins a client's connection, of which `first` was read already, to a backend until both are done.
pub(crate) async fn join<C>(via: &Via, client: C, passage: Passage, first: Vec<u8>, carried: Carried)
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let backend = match Box::pin(via.worker.dial_any(passage.endpoints())).await {
        Ok(backend) => backend,
        Err(error) => return failed(via, &passage, &error),
    };
    ask_for_life(&backend);
    let Some(tls) = passage.tls().cloned() else {
        // What it was compiled from may be gone long before the connection is.
        drop(passage);
        return copy(via, client, backend, first, carried).await;
    };
    let secured = Box::pin(via.worker.secure_pod(backend, &tls, &[])).await;
    match secured {
        Ok(secured) => {
            drop((passage, tls));
            Box::pin(copy(via, client, secured, first, carried)).await;
        }
        Err(error) => failed(via, &passage, &error),
    }
}

fn failed(via: &Via, passage: &Passage, error: &UpstreamError) {
    via.worker.metrics.upstream_failed(error);
    tracing::info!(%error, upstream.name = passage.backend(), listener.port = via.port, "no connection to a backend");
}

async fn copy<C, B>(via: &Via, mut client: C, backend: B, first: Vec<u8>, carried: Carried)
where
    C: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let streams = &via.worker.metrics.streams;
    streams.opened(carried);
    let mut backend = Metered { stream: backend, streams };
    let copied = async {
        backend.write_all(&first).await?;
        drop(first);
        copy_bidirectional_with_sizes(&mut client, &mut backend, BUFFER, BUFFER).await
    };
    if let Err(error) = copied.await {
        tracing::debug!(%error, listener.port = via.port, "a connection was cut");
    }
}

/// Has the system ask a silent peer whether it is still there.
pub(crate) fn ask_for_life(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE));
}

/// A connection to a backend whose bytes are counted as they pass.
struct Metered<'m, B> {
    stream: B,
    streams: &'m Streams,
}

impl<B: AsyncRead + Unpin> AsyncRead for Metered<'_, B> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.streams.sent((buf.filled().len() - before) as u64);
        polled
    }
}

impl<B: AsyncWrite + Unpin> AsyncWrite for Metered<'_, B> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = &polled {
            self.streams.received(*written as u64);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
