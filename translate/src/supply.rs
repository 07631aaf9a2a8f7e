//! What rules refer to, each made once however many rules of however many Gateways do: a Service's port with its endpoints, or an Upstream
//! with its token. Endpoints come and go, and tokens are renewed, without a look at any route.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy::Transport;
use policy::config::{AppProtocol, Backend};
use policy::wire::{Named, Resource};

use crate::index::Index;
use crate::memo::Memo;
use crate::objects::{Dep, Objects};
use crate::route::service;
use crate::upstream::Upstreams;
use crate::{Kind, ObjectKey, backend_tls};

/// Where a backend comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    Service { key: ObjectKey, port: i64, transport: Transport, protocol: AppProtocol },
    Upstream(ObjectKey),
}

/// Backends with their names, sorted.
pub(crate) type Sources = Box<[(String, Source)]>;

/// A backend, and the endpoints or the token that it refers to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bundle {
    pub(crate) backend: Arc<Backend>,
    pub(crate) below: Option<Named>,
}

/// All backends that any route refers to.
#[derive(Default)]
pub(crate) struct Supply {
    /// By name, with the number of routes that refer to it.
    sources: BTreeMap<String, (Source, usize)>,
    bundles: Memo<String, Bundle>,
}

impl Supply {
    pub(crate) fn get(&self, name: &String) -> Option<&Bundle> {
        self.bundles.get(name)
    }

    pub(crate) fn changed(&mut self, dep: &Dep) {
        self.bundles.changed(dep);
    }

    /// A route refers to these.
    pub(crate) fn acquire(&mut self, sources: &Sources) {
        for (name, source) in sources.iter() {
            let (known, users) = self.sources.entry(name.clone()).or_insert_with(|| (source.clone(), 0));
            if *users == 0 || known != source {
                *known = source.clone();
                self.bundles.touch(name.clone());
            }
            *users += 1;
        }
    }

    /// A route no longer refers to these. Acquire what it refers to instead first, so that nothing is made twice.
    pub(crate) fn release(&mut self, sources: &Sources) {
        for (name, _) in sources.iter() {
            let Some((_, users)) = self.sources.get_mut(name) else { continue };
            *users -= 1;
            if *users == 0 {
                self.sources.remove(name);
                self.bundles.touch(name.clone());
            }
        }
    }

    /// Makes anew what changed; gives its names.
    pub(crate) fn refresh(&mut self, objects: &Objects, upstreams: &Upstreams) -> BTreeSet<String> {
        let stale = self.bundles.take_stale();
        stale.into_iter().filter(|name| self.refresh_one(objects, upstreams, name)).collect()
    }

    fn refresh_one(&mut self, objects: &Objects, upstreams: &Upstreams, name: &String) -> bool {
        let index = Index::new(objects);
        let source = self.sources.get(name);
        let bundle = source.and_then(|(source, _)| make(&index, upstreams, source));
        let made = bundle.map(|bundle| (bundle, index.seen()));
        let before = self.bundles.put(name.clone(), made);
        before.as_ref() != self.bundles.get(name)
    }
}

/// `None`: it is no more, and the routes that still say its name are about to be judged anew.
fn make(index: &Index<'_>, upstreams: &Upstreams, source: &Source) -> Option<Bundle> {
    match source {
        Source::Service { key, port, transport, protocol } => {
            let endpoints = service::endpoints_name(key, *port, *transport);
            let port = service::port(index.service(key)?, *port, *transport)?;
            let found = service::endpoints(&index.slices(key), port);
            let below = Named { name: endpoints.clone(), resource: Resource::Endpoints(Arc::new(found)) };
            // A policy for all ports of a Service is not about datagrams.
            let tls = match transport {
                Transport::Tcp => backend_tls::of_port(index, key, port),
                Transport::Udp => None,
            };
            Some(Bundle { backend: Arc::new(Backend::Service { endpoints, protocol: *protocol, tls }), below: Some(below) })
        }
        Source::Upstream(key) => {
            index.note(Kind::Upstream, key);
            let judged = upstreams.get(key)?;
            let secret = judged.secret.as_ref().map(|(name, secret)| (name.clone(), Resource::Secret(Arc::clone(secret))));
            let below = secret.map(|(name, resource)| Named { name, resource });
            Some(Bundle { backend: judged.backend.clone().ok()?, below })
        }
    }
}
