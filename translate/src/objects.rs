//! Everything that exists, by kind and name. It says what a change touches; it judges nothing. Not printable: it holds Secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_api::experimental::gatewayclasses::GatewayClass;
use gateway_api::experimental::gateways::Gateway;
use gateway_api::experimental::referencegrants::ReferenceGrant;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::model::{RouteId, RouteKind};
use crate::{BackendTlsPolicy, InlineCredentials, Kind, ListenerSet, Object, ObjectKey, Route, authority};

/// The label that ties an EndpointSlice to its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Something that a judgement can look at. An EndpointSlice stands under its Service, a ReferenceGrant under its namespace alone, and
/// cluster-scoped kinds have no namespace. A BackendTLSPolicy stands for itself; to all others it is a part of its Services.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Dep(pub(crate) Kind, pub(crate) ObjectKey);

impl Dep {
    /// The grants of a namespace.
    pub(crate) fn grants(namespace: &str) -> Self {
        Self(Kind::ReferenceGrant, ObjectKey::new(namespace, ""))
    }

    /// A Namespace.
    pub(crate) fn namespace(name: &str) -> Self {
        Self(Kind::Namespace, ObjectKey::new("", name))
    }
}

#[derive(Default)]
pub(crate) struct Objects {
    pub(crate) classes: BTreeMap<ObjectKey, Arc<GatewayClass>>,
    pub(crate) gateways: BTreeMap<ObjectKey, Arc<Gateway>>,
    pub(crate) listener_sets: BTreeMap<ObjectKey, Arc<ListenerSet>>,
    pub(crate) routes: BTreeMap<RouteId, Arc<Route>>,
    /// How many of those are of each kind.
    routes_by_kind: BTreeMap<RouteKind, usize>,
    pub(crate) upstreams: BTreeMap<ObjectKey, Arc<crds::Upstream>>,
    pub(crate) parameters: BTreeMap<ObjectKey, Arc<crds::GatewayParameters>>,
    pub(crate) namespaces: BTreeMap<ObjectKey, Arc<Namespace>>,
    pub(crate) services: BTreeMap<ObjectKey, Arc<Service>>,
    pub(crate) secrets: BTreeMap<ObjectKey, Arc<Secret>>,
    pub(crate) policies: BTreeMap<ObjectKey, Arc<BackendTlsPolicy>>,
    /// What ConfigMaps hold of certificates of authorities.
    pub(crate) authorities: BTreeMap<ObjectKey, Arc<String>>,
    grants: BTreeMap<ObjectKey, Arc<ReferenceGrant>>,
    slices: BTreeMap<ObjectKey, Arc<EndpointSlice>>,
    /// Names of slices, by the Service that they are of.
    slices_of: BTreeMap<ObjectKey, BTreeSet<String>>,
    /// ListenerSets, by the Gateway that they refer to.
    sets_of: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// Names of BackendTLSPolicies, by each Service that they target.
    policies_of: BTreeMap<ObjectKey, BTreeSet<String>>,
    /// Of objects that have some.
    inline: BTreeMap<(Kind, ObjectKey), InlineCredentials>,
}

impl Objects {
    /// Adds or replaces an object. Gives what that touches: nothing, if it says what it said.
    pub(crate) fn set(&mut self, object: Object) -> Vec<Dep> {
        let (kind, key) = object.identity();
        let changed = match object {
            Object::GatewayClass(one) => replace(&mut self.classes, &key, one),
            Object::Gateway(one) => replace(&mut self.gateways, &key, one),
            Object::ReferenceGrant(one) => replace(&mut self.grants, &key, one),
            Object::Namespace(one) => replace(&mut self.namespaces, &key, one),
            Object::Service(one) => replace(&mut self.services, &key, one),
            Object::Secret(one) => replace(&mut self.secrets, &key, one),
            Object::Upstream(one) => replace(&mut self.upstreams, &key, one),
            Object::GatewayParameters(one) => replace(&mut self.parameters, &key, one),
            Object::Route(one) => {
                let kind = one.kind;
                if self.routes.insert(one.id(), one).is_none() {
                    *self.routes_by_kind.entry(kind).or_default() += 1;
                }
                true
            }
            Object::ConfigMap(one) => match authority::of_config_map(&one) {
                Some(text) => replace(&mut self.authorities, &key, Arc::new(text.clone())),
                None => self.authorities.remove(&key).is_some(),
            },
            Object::EndpointSlice(one) => return self.set_slice(&key, one),
            Object::ListenerSet(one) => return self.set_listener_set(&key, one),
            Object::BackendTlsPolicy(one) => return self.set_policy(&key, one),
        };
        if changed { vec![dep(kind, key)] } else { Vec::new() }
    }

    /// An object is gone. Gives what that touches.
    pub(crate) fn remove(&mut self, kind: Kind, key: &ObjectKey) -> Vec<Dep> {
        let was_there = match kind {
            Kind::GatewayClass => self.classes.remove(key).is_some(),
            Kind::Gateway => self.gateways.remove(key).is_some(),
            Kind::Route(kind) => self.remove_route(kind, key),
            Kind::ReferenceGrant => self.grants.remove(key).is_some(),
            Kind::Namespace => self.namespaces.remove(key).is_some(),
            Kind::Service => self.services.remove(key).is_some(),
            Kind::Secret => self.secrets.remove(key).is_some(),
            Kind::Upstream => self.upstreams.remove(key).is_some(),
            Kind::GatewayParameters => self.parameters.remove(key).is_some(),
            Kind::ConfigMap => self.authorities.remove(key).is_some(),
            Kind::EndpointSlice => return self.remove_slice(key).into_iter().collect(),
            Kind::ListenerSet => return self.remove_listener_set(key),
            Kind::BackendTlsPolicy => return self.remove_policy(key),
        };
        if was_there { vec![dep(kind, key.clone())] } else { Vec::new() }
    }

    /// How many objects of a kind there are.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::GatewayClass => self.classes.len(),
            Kind::Gateway => self.gateways.len(),
            Kind::ListenerSet => self.listener_sets.len(),
            Kind::Route(kind) => self.routes_by_kind.get(&kind).copied().unwrap_or_default(),
            Kind::ReferenceGrant => self.grants.len(),
            Kind::Namespace => self.namespaces.len(),
            Kind::Service => self.services.len(),
            Kind::Secret => self.secrets.len(),
            Kind::Upstream => self.upstreams.len(),
            Kind::GatewayParameters => self.parameters.len(),
            Kind::EndpointSlice => self.slices.len(),
            Kind::BackendTlsPolicy => self.policies.len(),
            Kind::ConfigMap => self.authorities.len(),
        }
    }

    fn remove_route(&mut self, kind: RouteKind, key: &ObjectKey) -> bool {
        let was_there = self.routes.remove(&RouteId::new(kind, key)).is_some();
        if let Some(count) = self.routes_by_kind.get_mut(&kind).filter(|_| was_there) {
            *count -= 1;
        }
        was_there
    }

    /// What was found in an object. Gives whether that is news.
    pub(crate) fn set_inline(&mut self, kind: Kind, key: &ObjectKey, found: InlineCredentials) -> bool {
        let id = (kind, key.clone());
        if found == InlineCredentials::default() {
            return self.inline.remove(&id).is_some();
        }
        let news = self.inline.get(&id) != Some(&found);
        self.inline.insert(id, found);
        news
    }

    pub(crate) fn inline(&self, kind: Kind, key: &ObjectKey) -> Option<&InlineCredentials> {
        self.inline.get(&(kind, key.clone()))
    }

    /// Of all objects of a kind in a namespace.
    pub(crate) fn count_inline(&self, kind: Kind, namespace: &str) -> usize {
        let from = self.inline.range((kind, ObjectKey::new(namespace, ""))..);
        from.take_while(|(id, _)| id.0 == kind && id.1.namespace == namespace).map(|(_, found)| found.count()).sum()
    }

    /// A namespace's labels; none if it is not known.
    pub(crate) fn labels_of(&self, namespace: &str) -> BTreeMap<String, String> {
        let known = self.namespaces.get(&ObjectKey::new("", namespace));
        known.and_then(|known| known.metadata.labels.clone()).unwrap_or_default()
    }

    /// The slices of a Service.
    pub(crate) fn slices(&self, service: &ObjectKey) -> Vec<&EndpointSlice> {
        let names = self.slices_of.get(service).into_iter().flatten();
        names.filter_map(|name| self.slices.get(&ObjectKey::new(&service.namespace, name))).map(|slice| &**slice).collect()
    }

    /// The ListenerSets that refer to a Gateway.
    pub(crate) fn sets_of<'o>(&'o self, gateway: &ObjectKey) -> impl Iterator<Item = &'o ObjectKey> + use<'o> {
        self.sets_of.get(gateway).into_iter().flatten()
    }

    /// The policies that target a Service.
    pub(crate) fn policies(&self, service: &ObjectKey) -> Vec<&BackendTlsPolicy> {
        self.policies_of(service).filter_map(|key| self.policies.get(&key)).map(|policy| &**policy).collect()
    }

    /// The keys of the policies that target a Service.
    pub(crate) fn policies_of(&self, service: &ObjectKey) -> impl Iterator<Item = ObjectKey> {
        self.policies_of.get(service).into_iter().flatten().map(move |name| ObjectKey::new(&service.namespace, name))
    }

    /// The grants of a namespace.
    pub(crate) fn grants<'o>(&'o self, namespace: &'o str) -> impl Iterator<Item = &'o ReferenceGrant> {
        let first = ObjectKey::new(namespace, "");
        self.grants.range(first..).take_while(move |(key, _)| key.namespace == namespace).map(|(_, grant)| &**grant)
    }

    /// A slice may say that it is of another Service than before.
    fn set_slice(&mut self, key: &ObjectKey, slice: Arc<EndpointSlice>) -> Vec<Dep> {
        if self.slices.get(key) == Some(&slice) {
            return Vec::new();
        }
        let before = self.remove_slice(key);
        let now = service_of(key, &slice);
        if let Some(service) = &now {
            self.slices_of.entry(service.clone()).or_default().insert(key.name.clone());
        }
        self.slices.insert(key.clone(), slice);
        before.into_iter().chain(now.map(|service| Dep(Kind::EndpointSlice, service))).collect()
    }

    /// A ListenerSet is a part of its Gateway, which is touched with it; it may have referred to another before.
    fn set_listener_set(&mut self, key: &ObjectKey, set: Arc<ListenerSet>) -> Vec<Dep> {
        if self.listener_sets.get(key) == Some(&set) {
            return Vec::new();
        }
        let before = self.remove_listener_set(key);
        let now = set.gateway();
        if let Some(gateway) = &now {
            self.sets_of.entry(gateway.clone()).or_default().insert(key.clone());
        }
        self.listener_sets.insert(key.clone(), set);
        let own = Dep(Kind::ListenerSet, key.clone());
        before.into_iter().chain([own]).chain(now.map(|gateway| Dep(Kind::Gateway, gateway))).collect()
    }

    fn remove_listener_set(&mut self, key: &ObjectKey) -> Vec<Dep> {
        let Some(set) = self.listener_sets.remove(key) else { return Vec::new() };
        let gateway = set.gateway();
        if let Some((gateway, keys)) = gateway.as_ref().and_then(|gateway| Some((gateway, self.sets_of.get_mut(gateway)?))) {
            keys.remove(key);
            if keys.is_empty() {
                self.sets_of.remove(gateway);
            }
        }
        let own = Dep(Kind::ListenerSet, key.clone());
        [own].into_iter().chain(gateway.map(|gateway| Dep(Kind::Gateway, gateway))).collect()
    }

    /// A policy may target other Services than before.
    fn set_policy(&mut self, key: &ObjectKey, policy: Arc<BackendTlsPolicy>) -> Vec<Dep> {
        if self.policies.get(key) == Some(&policy) {
            return Vec::new();
        }
        let mut deps = self.remove_policy(key);
        for service in policy.services() {
            self.policies_of.entry(service.clone()).or_default().insert(key.name.clone());
            deps.push(Dep(Kind::Service, service));
        }
        self.policies.insert(key.clone(), policy);
        deps.push(Dep(Kind::BackendTlsPolicy, key.clone()));
        deps
    }

    fn remove_policy(&mut self, key: &ObjectKey) -> Vec<Dep> {
        let Some(policy) = self.policies.remove(key) else { return Vec::new() };
        let services = policy.services();
        for service in &services {
            if let Some(names) = self.policies_of.get_mut(service) {
                names.remove(&key.name);
                if names.is_empty() {
                    self.policies_of.remove(service);
                }
            }
        }
        services.into_iter().map(|service| Dep(Kind::Service, service)).chain([Dep(Kind::BackendTlsPolicy, key.clone())]).collect()
    }

    fn remove_slice(&mut self, key: &ObjectKey) -> Option<Dep> {
        let slice = self.slices.remove(key)?;
        let service = service_of(key, &slice)?;
        if let Some(names) = self.slices_of.get_mut(&service) {
            names.remove(&key.name);
            if names.is_empty() {
                self.slices_of.remove(&service);
            }
        }
        Some(Dep(Kind::EndpointSlice, service))
    }
}

fn replace<T: PartialEq>(map: &mut BTreeMap<ObjectKey, Arc<T>>, key: &ObjectKey, object: Arc<T>) -> bool {
    let same = map.get(key) == Some(&object);
    if !same {
        map.insert(key.clone(), object);
    }
    !same
}

fn dep(kind: Kind, key: ObjectKey) -> Dep {
    match kind {
        Kind::ReferenceGrant => Dep::grants(&key.namespace),
        _ => Dep(kind, key),
    }
}

fn service_of(key: &ObjectKey, slice: &EndpointSlice) -> Option<ObjectKey> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME_LABEL)?;
    Some(ObjectKey::new(&key.namespace, name))
}
