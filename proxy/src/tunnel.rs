//! After 101 Switching Protocols: two connections become one, byte for byte.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::session::{Counted, Via};

/// Copies both ways until both sides are done. Holding `via` keeps a draining port waiting for it.
pub(crate) async fn join(via: Arc<Via>, client: OnUpgrade, backend: OnUpgrade) {
    let _counted = Counted::new(&via);
    let copied = async {
        let (client, backend) = tokio::try_join!(client, backend).map_err(std::io::Error::other)?;
        tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(backend)).await
    };
    match copied.await {
        Ok((up, down)) => {
            via.worker.metrics.request_bytes.inc_by(up);
            via.worker.metrics.response_bytes.inc_by(down);
        }
        Err(error) => tracing::debug!(%error, "a tunnel ended"),
    }
}
