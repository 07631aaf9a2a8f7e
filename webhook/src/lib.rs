//! The admission webhook: no inline credential enters a namespace that forbids it, and no good object is held up. What a credential is, it
//! does not know: that is `crds::credentials`.
//!
//! ```text
//! API server ══ TLS ══► serve ─► service ─► Request::decode ─► decide(&Request, &Namespaces) ─► Verdict ─► answer
//!                         ▲                                            ▲          └─ crds::credentials: ratchet::compare
//!                    certificate                                 namespaces ◄── watch: labels of namespaces
//!                         │
//!                         └─► trust ─► caBundle of the ValidatingWebhookConfiguration: kept right, and what readiness asks
//! ```
//!
//! Every replica does all of this; none leads. What they write is the same for all: the CA's Secret, guarded by its resource version, and
//! the caBundle, which is applied and not edited.

pub mod answer;
pub mod certificate;
pub mod decide;
mod follow;
mod message;
pub mod metrics;
pub mod namespaces;
mod options;
mod probes;
pub mod request;
mod serve;
pub mod service;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use pod::client;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::certificate::Certificates;
use crate::probes::{Probes, Serving};
use crate::service::Webhook;
use crate::trust::Trust;

pub use decide::{Verdict, decide};
pub use namespaces::{Levels, Namespaces};
pub use options::Options;
pub use request::Request;

/// Runs the webhook until told to stop.
pub async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    let client = client::infer().await?;
    let webhook = Webhook::new(options.levels(), follow::api(client.clone()), stop.clone());
    let probes = Probes::new(Arc::clone(&webhook));
    let http = tokio::spawn(probes::serve(options.http_listen, Arc::clone(&probes)));
    tokio::spawn(follow::namespaces(follow::api(client.clone()), Arc::clone(&webhook)));

    let certificates = stop.run_until_cancelled(Certificates::start(client.clone(), &options)).await;
    let Some(certificates) = certificates.transpose()? else { return Ok(()) };
    let trust = Trust::new(client, &options)?;
    tokio::spawn(Arc::clone(&trust).run(certificates.bundle()));
    let listener = TcpListener::bind(options.listen).await.with_context(|| format!("listen on {}", options.listen))?;
    let tls = certificates.server_config();
    probes.serve_with(Serving { certificates, trust });
    let reviews = tokio::spawn(serve::serve(listener, tls, webhook, drained(stop, options.drain)));

    tokio::select! {
        ended = http => ended?.context("the HTTP port failed")?,
        ended = reviews => ended.context("serving reviews failed")?,
    }
    Ok(())
}

/// A while after the stop: by then every API server knows that this replica goes.
async fn drained(stop: CancellationToken, drain: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(drain).await;
}
