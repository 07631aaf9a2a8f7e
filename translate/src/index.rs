//! Look-ups for one judgement. What was looked at is noted, whether it was there or not: when it changes, the judgement is made anew.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::grant::{self, Referent, Referrer};
use crate::objects::{Dep, Objects};
use crate::{BackendTlsPolicy, Kind, ListenerSet, ObjectKey};

/// The label that the API server puts on every Namespace.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Not printable: it shows Secrets.
pub(crate) struct Index<'s> {
    objects: &'s Objects,
    seen: RefCell<BTreeSet<Dep>>,
}

impl<'s> Index<'s> {
    pub(crate) fn new(objects: &'s Objects) -> Self {
        Self { objects, seen: RefCell::default() }
    }

    /// What was looked at.
    pub(crate) fn seen(self) -> BTreeSet<Dep> {
        self.seen.into_inner()
    }

    /// Notes that something was looked at elsewhere, among what was judged before.
    pub(crate) fn note(&self, kind: Kind, key: &ObjectKey) {
        self.seen.borrow_mut().insert(Dep(kind, key.clone()));
    }

    pub(crate) fn listener_set(&self, key: &ObjectKey) -> Option<&'s ListenerSet> {
        self.note(Kind::ListenerSet, key);
        self.objects.listener_sets.get(key).map(|set| &**set)
    }

    /// The ListenerSets that refer to a Gateway. Nothing is noted: a change of one touches its Gateway anyway.
    pub(crate) fn sets_of(&self, gateway: &ObjectKey) -> Vec<&'s ListenerSet> {
        let objects = self.objects;
        objects.sets_of(gateway).filter_map(|key| objects.listener_sets.get(key)).map(|set| &**set).collect()
    }

    pub(crate) fn service(&self, key: &ObjectKey) -> Option<&'s Service> {
        self.note(Kind::Service, key);
        self.objects.services.get(key).map(|service| &**service)
    }

    /// The slices of a Service.
    pub(crate) fn slices(&self, service: &ObjectKey) -> Vec<&'s EndpointSlice> {
        self.note(Kind::EndpointSlice, service);
        self.objects.slices(service)
    }

    /// The policies that target a Service.
    pub(crate) fn policies(&self, service: &ObjectKey) -> Vec<&'s BackendTlsPolicy> {
        self.note(Kind::Service, service);
        self.objects.policies(service)
    }

    /// What a ConfigMap holds of certificates of authorities.
    pub(crate) fn authority(&self, key: &ObjectKey) -> Option<&'s String> {
        self.note(Kind::ConfigMap, key);
        self.objects.authorities.get(key).map(|text| &**text)
    }

    pub(crate) fn secret(&self, key: &ObjectKey) -> Option<&'s Secret> {
        self.note(Kind::Secret, key);
        self.objects.secrets.get(key).map(|secret| &**secret)
    }

    pub(crate) fn parameters(&self, key: &ObjectKey) -> Option<&'s crds::GatewayParameters> {
        self.note(Kind::GatewayParameters, key);
        self.objects.parameters.get(key).map(|parameters| &**parameters)
    }

    /// Whether the reference is within one namespace or granted. It does not ask whether the object exists, so that a refusal tells
    /// nothing about another namespace.
    pub(crate) fn permits(&self, from: Referrer<'_>, to: Referent<'_>) -> bool {
        if from.namespace == to.key.namespace {
            return true;
        }
        self.seen.borrow_mut().insert(Dep::grants(&to.key.namespace));
        self.objects.grants(&to.key.namespace).any(|one| grant::allows(one, from, to))
    }

    /// A namespace's labels; its name label is there even if the object is not, and says its name whatever a file says.
    pub(crate) fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        let dep = Dep::namespace(namespace);
        let known = self.objects.namespaces.get(&dep.1).and_then(|object| object.metadata.labels.clone());
        self.seen.borrow_mut().insert(dep);
        let mut labels = known.unwrap_or_default();
        labels.insert(NAMESPACE_NAME_LABEL.to_owned(), namespace.to_owned());
        labels
    }
}
