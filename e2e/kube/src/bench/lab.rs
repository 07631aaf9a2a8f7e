//! Where the benchmark works: a namespace with one Gateway, and a backend in this very process, so that nothing else is measured.

use std::net::SocketAddr;

use anyhow::Result;
use futures::StreamExt;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::backend::Backend;
use crate::manifests::gateway_with;
use crate::{Cluster, Kind, Namespace};

/// The Gateway's name.
pub(super) const GATEWAY: &str = "gw";
const LISTENERS: &str = "[{name: http, protocol: HTTP, port: 8080}]";
/// Writes at a time, where it is not the writes that are measured.
const WRITERS: usize = 16;

/// An open lab.
pub(super) struct Lab<'c> {
    pub(super) cluster: &'c Cluster,
    pub(super) namespace: Namespace<'c>,
    /// Where the Gateway takes requests.
    pub(super) address: SocketAddr,
    _backend: Backend,
}

impl<'c> Lab<'c> {
    pub(super) fn open(cluster: &'c Cluster, name: &str) -> Result<Self> {
        let namespace = Namespace::create(cluster, &format!("bench-{name}"))?;
        let backend = Backend::start(cluster.node_address()?)?;
        namespace.apply(&(gateway_with(GATEWAY, LISTENERS, None) + &backend.manifests()))?;
        let address = namespace.address(GATEWAY)?;
        Ok(Self { cluster, namespace, address, _backend: backend })
    }

    /// Applies one route by server-side apply, as a user's tool does, and returns once the API server has it.
    pub(super) fn put(&self, nth: u32, header: &str) -> Result<()> {
        self.cluster.put(Kind::HTTP_ROUTE, self.namespace.name(), &name(nth), &route(nth, header))
    }

    /// Applies many at once.
    pub(super) async fn put_all(&self, all: std::ops::Range<u32>) -> Result<()> {
        let api = self.api(Kind::HTTP_ROUTE);
        let params = PatchParams::apply("keyward-bench").force();
        let put = |nth: u32| {
            let (api, params) = (api.clone(), params.clone());
            async move { api.patch(&name(nth), &params, &Patch::Apply(route(nth, "added-value"))).await.map(drop) }
        };
        let mut puts = futures::stream::iter(all).map(put).buffer_unordered(WRITERS);
        while let Some(put) = puts.next().await {
            put?;
        }
        Ok(())
    }

    /// The API of a kind, in the lab's namespace.
    pub(super) fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.cluster.client(), self.namespace.name(), &kind.resource())
    }
}

fn name(nth: u32) -> String {
    format!("{nth}-route")
}

/// The route of gateway-api-bench's probe: a host of its own, a rule that leads to the backend, and one that leads nowhere.
fn route(nth: u32, header: &str) -> Value {
    let modifier = |name: &str| json!({ "add": [{ "name": name, "value": header }] });
    let filters = json!([
        { "type": "RequestHeaderModifier", "requestHeaderModifier": modifier("added-header") },
        { "type": "ResponseHeaderModifier", "responseHeaderModifier": modifier("added-resp-header") },
    ]);
    let rule = |path: String, backend: &str| {
        json!({
            "matches": [{ "path": { "type": "PathPrefix", "value": path } }],
            "filters": filters,
            "backendRefs": [{ "name": backend, "port": 80 }],
        })
    };
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": { "name": name(nth) },
        "spec": {
            "parentRefs": [{ "name": GATEWAY }],
            "hostnames": [format!("{nth}-route.example.com")],
            "rules": [rule(format!("/{nth}"), "backend"), rule("/".to_owned(), "invalid-backend")],
        },
    })
}
