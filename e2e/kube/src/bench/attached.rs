//! Many routes at once: how soon the Gateway's status counts them all, and with how many writes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::StreamExt;
use kube::Api;
use kube::api::{DynamicObject, WatchEvent, WatchParams};
use serde_json::Value;

use super::figure::Figure;
use super::lab::{GATEWAY, Lab};
use crate::Kind;

const PATIENCE: Duration = Duration::from_secs(180);

/// Attaches so many.
pub(super) fn measure(lab: &Lab<'_>, routes: u32) -> Result<Vec<Figure>> {
    let (lag, writes) = lab.cluster.block_on(attach(lab, routes))?;
    Ok(vec![
        Figure::plain("attached routes", "", f64::from(routes)),
        Figure::new("attached: complete after last", "s", lag.as_secs_f64(), 1.0),
        Figure::new("attached: Gateway status writes", "", f64::from(writes), 20.0),
    ])
}

async fn attach(lab: &Lab<'_>, routes: u32) -> Result<(Duration, u32)> {
    let gateways = lab.api(Kind::GATEWAY);
    let version = gateways.get(GATEWAY).await?.metadata.resource_version.context("no resourceVersion")?;
    let counting = tokio::spawn(count(gateways, version, routes));
    lab.put_all(0..routes).await?;
    let last = Instant::now();
    let (complete, writes) = tokio::time::timeout(PATIENCE, counting).await.context("the status never counted all routes")???;
    Ok((complete.saturating_duration_since(last), writes))
}

/// Follows the Gateway until its status counts all routes; gives when that was and after how many writes.
async fn count(gateways: Api<DynamicObject>, version: String, routes: u32) -> Result<(Instant, u32)> {
    let params = WatchParams::default().fields(&format!("metadata.name={GATEWAY}")).timeout(200);
    let mut events = gateways.watch(&params, &version).await?.boxed();
    let mut writes = 0;
    while let Some(event) = events.next().await {
        let WatchEvent::Modified(gateway) = event? else { continue };
        writes += 1;
        let attached = gateway.data.pointer("/status/listeners/0/attachedRoutes").and_then(Value::as_u64);
        if attached == Some(u64::from(routes)) {
            return Ok((Instant::now(), writes));
        }
    }
    anyhow::bail!("the watch ended")
}
