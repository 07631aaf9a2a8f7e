//! Translation over time: objects come and go, and each call says only what differs from the last. What a change touches is judged again,
//! from classes down to rules; everything else stands. The order of arrival never matters: a judgement looks at what is there now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::credentials::Levels;
use k8s_openapi::jiff::Timestamp;
use policy::Config;

use crate::attach::{Parent, attach};
use crate::backend_tls;
use crate::class::Classes;
use crate::finding::{About, Finding};
use crate::gateway::{self, Gateway, Judged, without_gateway};
use crate::index::Index;
use crate::memo::Memo;
use crate::model::RouteId;
use crate::objects::{Dep, Objects};
use crate::roster::Roster;
use crate::route::{self, RouteState, Validity};
use crate::serving::{Hosts, Serving};
use crate::status::{self, Standing, View};
use crate::supply::Supply;
use crate::update::{ConfigChange, Status, Told, Update};
use crate::upstream::{self, Upstreams};
use crate::{
    GatewayStatus, InlineCount, InlineCredentials, Kind, ListenerSetStatus, Object, ObjectKey, Problem, Proxies, Settings, Snapshot, inline,
};

/// Translates what changes.
pub struct Translator {
    settings: Settings,
    now: Timestamp,
    objects: Objects,
    proxies: BTreeMap<ObjectKey, Proxies>,
    classes: Classes,
    stale_classes: bool,
    upstreams: Upstreams,
    gateways: Memo<ObjectKey, Judged>,
    routes: Memo<RouteId, RouteState>,
    policies: Memo<ObjectKey, backend_tls::Judged>,
    supply: Supply,
    /// By Gateway of ours.
    rosters: BTreeMap<ObjectKey, Roster>,
    /// The Gateways that each route is on.
    placed: BTreeMap<RouteId, Box<[ObjectKey]>>,
    /// By Gateway that is served.
    servings: BTreeMap<ObjectKey, Serving>,
    /// Gateways whose status may differ.
    unsaid: BTreeSet<ObjectKey>,
    /// ListenerSets that changed, or are gone.
    stale_sets: BTreeSet<ObjectKey>,
    /// BackendTLSPolicies whose status may differ.
    unsaid_policies: BTreeSet<ObjectKey>,
    /// Namespaces whose inline credentials are to be counted.
    uncounted: BTreeSet<String>,
    told: Told,
}

impl Translator {
    /// Without any object. All times in conditions are the same: whoever writes them sets them.
    pub fn new(settings: Settings) -> Self {
        Self::at(settings, Timestamp::UNIX_EPOCH)
    }

    pub(crate) fn at(settings: Settings, now: Timestamp) -> Self {
        Self {
            settings,
            now,
            objects: Objects::default(),
            proxies: BTreeMap::new(),
            classes: Classes::default(),
            stale_classes: true,
            upstreams: Memo::default(),
            gateways: Memo::default(),
            routes: Memo::default(),
            policies: Memo::default(),
            supply: Supply::default(),
            rosters: BTreeMap::new(),
            placed: BTreeMap::new(),
            servings: BTreeMap::new(),
            unsaid: BTreeSet::new(),
            stale_sets: BTreeSet::new(),
            unsaid_policies: BTreeSet::new(),
            uncounted: BTreeSet::new(),
            told: Told::default(),
        }
    }

    /// Adds or replaces an object.
    pub fn set(&mut self, object: Object) {
        let deps = self.objects.set(object);
        deps.iter().for_each(|dep| self.changed(dep));
    }

    /// Everything of a snapshot.
    pub(crate) fn set_all(&mut self, snapshot: &Snapshot) {
        snapshot.objects().for_each(|object| self.set(object));
        self.proxies.clone_from(&snapshot.proxies);
    }

    /// An object is gone; cluster-scoped ones have no namespace.
    pub fn remove(&mut self, kind: Kind, key: &ObjectKey) {
        let deps = self.objects.remove(kind, key);
        deps.iter().for_each(|dep| self.changed(dep));
    }

    /// What the manifest of an object has that belongs into a Secret, as whoever reads it found; of one that is gone, nothing.
    pub fn set_inline(&mut self, kind: Kind, key: &ObjectKey, found: InlineCredentials) {
        if self.objects.set_inline(kind, key, found) {
            self.uncounted.insert(key.namespace.clone());
            self.changed(&Dep(kind, key.clone()));
        }
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.objects.count(kind)
    }

    /// What is known of a Gateway's proxies now.
    pub fn set_proxies(&mut self, gateway: &ObjectKey, proxies: Proxies) {
        if self.proxies.get(gateway) != Some(&proxies) {
            self.proxies.insert(gateway.clone(), proxies);
            self.unsaid.insert(gateway.clone());
        }
    }

    /// The certificates by which proxies know the operator.
    pub fn set_ca_bundle(&mut self, pem: String) {
        if let Some(cluster) = self.settings.cluster.as_mut().filter(|cluster| cluster.infra.ca_bundle != pem) {
            cluster.infra.ca_bundle = pem;
            self.gateways.touch_all();
        }
    }

    /// Says what differs from the last call.
    pub fn translate(&mut self) -> Update {
        self.judge_classes();
        self.judge_upstreams();
        self.judge_gateways();
        let changed = self.compile_routes();
        let changed = self.settle_conflicts(changed);
        changed.iter().for_each(|id| self.place(id));
        self.supply_backends();
        self.judge_policies();
        self.say_policies();
        let unsaid = std::mem::take(&mut self.unsaid);
        self.say_gateways(&unsaid);
        self.say_sets(&unsaid);
        self.count_inline();
        self.told.take_update()
    }

    /// What each Gateway's proxies serve.
    pub(crate) fn configs(&self) -> BTreeMap<ObjectKey, Config> {
        self.servings.iter().map(|(key, serving)| (key.clone(), serving.config().clone())).collect()
    }

    fn changed(&mut self, dep: &Dep) {
        let Dep(kind, key) = dep;
        if *kind == Kind::Namespace {
            self.uncounted.insert(key.name.clone());
        }
        match kind {
            Kind::GatewayClass => self.stale_classes = true,
            Kind::Gateway => self.gateways.touch(key.clone()),
            // Its Gateway is touched by itself.
            Kind::ListenerSet => {
                self.stale_sets.insert(key.clone());
                self.routes.changed(dep);
            }
            Kind::Upstream => self.upstreams.touch(key.clone()),
            Kind::Route(kind) => self.routes.touch(RouteId::new(*kind, key)),
            Kind::BackendTlsPolicy => self.policies.touch(key.clone()),
            Kind::GatewayParameters => {
                self.stale_classes = true;
                self.gateways.changed(dep);
            }
            Kind::ReferenceGrant | Kind::Namespace | Kind::Service | Kind::EndpointSlice | Kind::Secret | Kind::ConfigMap => {
                self.upstreams.changed(dep);
                self.gateways.changed(dep);
                self.routes.changed(dep);
                self.policies.changed(dep);
                self.supply.changed(dep);
            }
        }
    }

    /// There are few, and all Gateways look at them.
    fn judge_classes(&mut self) {
        if !std::mem::take(&mut self.stale_classes) {
            return;
        }
        let now = Classes::of(&self.objects, &self.settings);
        if self.classes == now {
            return;
        }
        let before = std::mem::replace(&mut self.classes, now);
        self.gateways.touch_all();
        for (name, _) in before.ours().filter(|(name, _)| self.classes.get(name).is_none()) {
            self.told.status(Kind::GatewayClass, &ObjectKey::new("", name), None);
            self.told.problems(Kind::GatewayClass, &ObjectKey::new("", name), Vec::new());
        }
        for (name, class) in self.classes.ours() {
            let key = ObjectKey::new("", name);
            self.told.status(Kind::GatewayClass, &key, Some(Status::GatewayClass(status::class_status(class, self.now))));
            self.told.problems(Kind::GatewayClass, &key, status::of(about(Kind::GatewayClass, &key), &class.findings));
        }
    }

    fn judge_upstreams(&mut self) {
        for key in self.upstreams.take_stale() {
            let made = self.objects.upstreams.get(&key).map(|upstream| {
                let index = Index::new(&self.objects);
                let mut judged = upstream::judge(&index, upstream, self.levels(&index, &key.namespace));
                judged.findings.extend(self.inline(&index, Kind::Upstream, &key));
                (judged, index.seen())
            });
            let before = self.upstreams.put(key.clone(), made);
            let now = self.upstreams.get(&key);
            let dep = Dep(Kind::Upstream, key.clone());
            if before.as_ref() != now {
                self.supply.changed(&dep);
            }
            if !before.as_ref().zip(now).is_some_and(|(before, now)| before.is_same_to_routes(now)) {
                self.routes.changed(&dep);
            }
            let problems = now.map(|judged| status::of_upstream(about(Kind::Upstream, &key), judged)).unwrap_or_default();
            // One of Gloo's has no word of ours, unless there was one that is to be taken back.
            let has_word = self.told.speaks_of(Kind::Upstream, &key);
            let status = now.map(|judged| status::upstream_status(judged, self.now));
            let status = status.filter(|status| has_word || !status.says_nothing()).map(Status::Upstream);
            self.told.status(Kind::Upstream, &key, status);
            self.told.problems(Kind::Upstream, &key, problems);
        }
    }

    /// What is to be said of an object's inline credentials.
    fn inline(&self, index: &Index<'_>, kind: Kind, key: &ObjectKey) -> Option<Finding> {
        let found = self.objects.inline(kind, key)?;
        inline::finding(found, &key.namespace, self.levels(index, &key.namespace))
    }

    fn levels(&self, index: &Index<'_>, namespace: &str) -> Levels {
        self.settings.levels.labelled(&index.namespace_labels(namespace)).levels
    }

    fn count_inline(&mut self) {
        for namespace in std::mem::take(&mut self.uncounted) {
            let level = self.settings.levels.labelled(&self.objects.labels_of(&namespace)).levels.enforce;
            for kind in inline::KINDS {
                let count = self.objects.count_inline(kind, &namespace);
                self.told.inline(&namespace, kind, (count > 0).then_some(InlineCount { level, count }));
            }
        }
    }

    fn judge_gateways(&mut self) {
        for key in self.gateways.take_stale() {
            let made = self.objects.gateways.get(&key).map(|gateway| {
                let index = Index::new(&self.objects);
                (gateway::judge(&index, &self.classes, gateway, &self.settings, self.told.account(&key)), index.seen())
            });
            let before = self.gateways.put(key.clone(), made);
            let now = self.gateways.get(&key);
            if !before.as_ref().zip(now).is_some_and(|(before, now)| before.is_same_to_routes(now)) {
                self.routes.changed(&Dep(Kind::Gateway, key.clone()));
            }
            match now.and_then(Judged::ours).filter(|gateway| gateway.is_served()) {
                Some(gateway) => self.servings.entry(key.clone()).or_default().listen(gateway),
                None => {
                    if let Some(gone) = self.servings.remove(&key) {
                        self.told.config(&key, ConfigChange::Gone);
                        let services = gone.services();
                        self.unsaid_policies.extend(services.iter().flat_map(|service| self.objects.policies_of(service)));
                    }
                }
            }
            self.unsaid.insert(key);
        }
    }

    /// Gives the routes that are other than before, or gone.
    fn compile_routes(&mut self) -> BTreeSet<RouteId> {
        let stale = self.routes.take_stale();
        for id in &stale {
            let made = self.objects.routes.get(id).map(|route| {
                let index = Index::new(&self.objects);
                let (compiled, rules) = route::compile(&index, &self.upstreams, Arc::clone(route));
                let (parents, mut problems) = attach(&index, &self.gateways, &compiled);
                // A route without a parent of ours is none of our business.
                let inline = self.inline(&index, id.kind(), &id.key).filter(|_| !parents.is_empty());
                problems.extend(inline.map(|found| found.problem(about(id.kind(), &id.key), found.aspect.condition())));
                (RouteState { compiled, rules: Some(rules), parents, problems }, index.seen())
            });
            let before = self.routes.put(id.clone(), made);
            let now = self.routes.get(id);
            now.iter().for_each(|now| self.supply.acquire(&now.compiled.sources));
            if let Some(before) = &before {
                self.supply.release(&before.compiled.sources);
                for gateway in gateways_of(before) {
                    self.rosters.entry(gateway.clone()).or_default().leave(before);
                    self.unsaid.insert(gateway.clone());
                }
            }
            if let Some(now) = now {
                for gateway in gateways_of(now) {
                    self.rosters.entry(gateway.clone()).or_default().enter(now);
                    self.unsaid.insert(gateway.clone());
                }
            }
        }
        stale
    }

    /// Adds the routes that are in conflict, or no longer, because of others.
    fn settle_conflicts(&mut self, mut changed: BTreeSet<RouteId>) -> BTreeSet<RouteId> {
        if changed.is_empty() {
            return changed;
        }
        for gateway in &self.unsaid {
            if let Some(roster) = self.rosters.get_mut(gateway) {
                changed.extend(roster.settle(gateway, &self.routes));
            }
        }
        changed
    }

    /// Puts a route where it belongs now, and says so.
    fn place(&mut self, id: &RouteId) {
        let rules = self.routes.get_mut(id).and_then(|route| route.rules.take());
        let route = self.routes.get(id);
        let mut standings = Vec::new();
        let mut places: BTreeMap<&ObjectKey, Hosts<'_>> = BTreeMap::new();
        for (nth, parent) in route.iter().flat_map(|route| &route.parents).enumerate() {
            let conflict = self.rosters.get(&parent.gateway).and_then(|roster| roster.conflict(id, nth));
            if let (Ok(served), None) = (&parent.outcome, conflict) {
                // Two parentRefs may lead to the same listener; the route is on it once.
                places.entry(&parent.gateway).or_default().extend(served.iter().map(|(listener, hosts)| (listener, hosts.as_slice())));
            }
            standings.push(Standing { reference: &parent.reference, finding: parent.outcome.as_ref().err().or(conflict) });
        }
        let compiled = route.map(|route| &route.compiled);
        let status = compiled.filter(|_| !standings.is_empty());
        let status = status.map(|route| Status::Route(status::route_status(route, &standings, &self.settings.controller_name, self.now)));
        let own = compiled.map(|route| status::of_route(route, &standings)).unwrap_or_default();
        let problems = own.into_iter().chain(route.iter().flat_map(|route| route.problems.clone())).collect();
        self.told.status(id.kind(), &id.key, status);
        self.told.problems(id.kind(), &id.key, problems);
        let now: Box<[ObjectKey]> = places.keys().map(|gateway| (*gateway).clone()).collect();
        let before = match now.is_empty() {
            true => self.placed.remove(id),
            false => self.placed.insert(id.clone(), now.clone()),
        };
        let before = before.unwrap_or_default();
        // Compiled just now; or anew, for a route that is not refused any more for the sake of others.
        let anew = |route: &RouteState| route::compile(&Index::new(&self.objects), &self.upstreams, Arc::clone(&route.compiled.route)).1;
        let rules = rules.or_else(|| route.filter(|_| !now.is_empty()).map(anew)).unwrap_or_default();
        for gateway in before.iter().chain(now.iter()).collect::<BTreeSet<_>>() {
            let served = places.get(gateway);
            if let Some(roster) = self.rosters.get_mut(gateway) {
                let counts = served.filter(|_| compiled.is_some_and(|route| route.validity() != Validity::None));
                roster.count_route(id, counts.into_iter().flat_map(BTreeMap::keys).copied().cloned().collect());
            }
            if let Some(serving) = self.servings.get_mut(gateway) {
                // With no hostname that can be read it is nowhere, rather than on more hosts than it says.
                let readable = compiled.filter(|route| route.hostnames.is_some());
                serving.place(id, readable.zip(served).map(|(_, served)| (rules.as_slice(), served)));
            }
        }
    }

    fn supply_backends(&mut self) {
        let changed = self.supply.refresh(&self.objects, &self.upstreams);
        for (gateway, serving) in &mut self.servings {
            let moved = serving.take_moved();
            self.unsaid_policies.extend(moved.iter().flat_map(|service| self.objects.policies_of(service)));
            serving.supply(&self.supply, &changed);
            if let Some(change) = serving.take_change() {
                self.told.config(gateway, change);
            }
        }
    }

    fn judge_policies(&mut self) {
        for key in self.policies.take_stale() {
            let made = self.objects.policies.get(&key).map(|policy| {
                let index = Index::new(&self.objects);
                (backend_tls::judge(&index, policy), index.seen())
            });
            self.policies.put(key.clone(), made);
            self.unsaid_policies.insert(key);
        }
    }

    /// A policy whose targets no Gateway of ours leads to is none of our business.
    fn say_policies(&mut self) {
        for key in std::mem::take(&mut self.unsaid_policies) {
            let policy = self.policies.get(&key);
            let leads = |serving: &Serving| policy.is_some_and(|policy| policy.services.iter().any(|service| serving.leads_to(service)));
            let leading = self.servings.iter().filter(|(_, serving)| leads(serving));
            let gateways: Vec<&ObjectKey> = leading.map(|(gateway, _)| gateway).collect();
            let policy = policy.filter(|_| !gateways.is_empty());
            let status =
                policy.map(|policy| Status::Policy(status::policy_status(policy, &gateways, &self.settings.controller_name, self.now)));
            let problems = policy.map(|policy| status::of(about(Kind::BackendTlsPolicy, &key), &policy.findings)).unwrap_or_default();
            self.told.status(Kind::BackendTlsPolicy, &key, status);
            self.told.problems(Kind::BackendTlsPolicy, &key, problems);
        }
    }

    fn say_gateways(&mut self, unsaid: &BTreeSet<ObjectKey>) {
        for key in unsaid {
            if self.rosters.get(key).is_some_and(Roster::is_empty) {
                self.rosters.remove(key);
            }
            let judged = self.gateways.get(key);
            let status = judged.and_then(|judged| self.status_of_gateway(key, judged)).map(Status::Gateway);
            let problems = match judged {
                Some(Judged::Ours(gateway)) => status::of_gateway(about(Kind::Gateway, key), gateway),
                Some(Judged::Nobodys(orphan)) => vec![orphan.problem.clone()],
                Some(Judged::Anothers) | None => Vec::new(),
            };
            match judged {
                None => self.told.infra_gone(key),
                Some(Judged::Anothers) => self.told.infra(key, None),
                Some(Judged::Ours(gateway)) if gateway.is_ending => self.told.infra(key, None),
                Some(Judged::Ours(gateway)) if gateway.infra.is_some() => self.told.infra(key, gateway.infra.clone()),
                // One that is merely invalid, or whose class is away, keeps what runs for it.
                Some(Judged::Ours(_) | Judged::Nobodys(_)) => {}
            }
            self.told.status(Kind::Gateway, key, status);
            self.told.problems(Kind::Gateway, key, problems);
        }
    }

    /// What was said of one that was ours is taken back when its class goes, and nobody else is there to say so. What never was ours is left
    /// alone.
    fn status_of_gateway(&self, key: &ObjectKey, judged: &Judged) -> Option<GatewayStatus> {
        match judged {
            Judged::Ours(gateway) => Some(self.view(key, gateway).gateway_status()),
            Judged::Nobodys(orphan) => self.told.speaks_of(Kind::Gateway, key).then(|| status::gateway_without_class(orphan, self.now)),
            Judged::Anothers => None,
        }
    }

    /// A ListenerSet is judged with its Gateway.
    fn say_sets(&mut self, gateways: &BTreeSet<ObjectKey>) {
        let mut stale = std::mem::take(&mut self.stale_sets);
        stale.extend(gateways.iter().flat_map(|gateway| self.objects.sets_of(gateway)).cloned());
        for key in stale {
            let (status, problems) = self.outcome_of_set(&key);
            self.told.status(Kind::ListenerSet, &key, status.map(Status::ListenerSet));
            self.told.problems(Kind::ListenerSet, &key, problems);
        }
    }

    fn outcome_of_set(&self, key: &ObjectKey) -> (Option<ListenerSetStatus>, Vec<Problem>) {
        let Some(given) = self.objects.listener_sets.get(key) else { return (None, Vec::new()) };
        let (about, gateway) = (about(Kind::ListenerSet, key), given.gateway());
        let was_ours = self.told.speaks_of(Kind::ListenerSet, key);
        let Some((parent, judged)) = gateway.as_ref().and_then(|parent| Some((parent, self.gateways.get(parent)?))) else {
            let finding = without_gateway(given);
            let status = was_ours.then(|| status::set_without_gateway(given, &finding, self.now));
            return (status, vec![finding.problem(about, "Accepted")]);
        };
        match judged {
            Judged::Ours(gateway) => match gateway.sets.get(key) {
                Some(set) => (Some(self.view(parent, gateway).set_status(set)), status::of_set(about, gateway, set)),
                None => (None, Vec::new()),
            },
            Judged::Nobodys(orphan) => (was_ours.then(|| status::set_without_class(given, orphan, self.now)), Vec::new()),
            // Of a Gateway that is not ours, others speak.
            Judged::Anothers => (None, Vec::new()),
        }
    }

    fn view<'v>(&'v self, key: &ObjectKey, gateway: &'v Gateway) -> View<'v> {
        let digest = self.servings.get(key).map(Serving::digest);
        View { gateway, roster: self.rosters.get(key), proxies: self.proxies.get(key), digest, now: self.now }
    }
}

/// The Gateways of ours that a route is to be on, as far as it goes by itself.
fn gateways_of(route: &RouteState) -> BTreeSet<&ObjectKey> {
    route.parents.iter().map(|parent: &Parent| &parent.gateway).collect()
}

fn about(kind: Kind, key: &ObjectKey) -> About<'_> {
    About { kind: kind.as_str(), namespace: &key.namespace, name: &key.name }
}
