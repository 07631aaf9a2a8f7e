//! What a status becomes when ours is put into the live one: entries of others stay as they are, and a condition that says what it said
//! keeps its time. Pure.

use serde_json::{Map, Value, json};
use translate::Timestamp;

/// Our status, put into the live one.
pub(crate) struct Merged {
    /// The whole status.
    pub(crate) status: Value,
    /// Nothing but counts of attached routes differs: that can wait for more.
    pub(crate) only_counts: bool,
}

/// Which fields of a status are ours, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Conditions by type; others' types stay.
    Conditions,
    /// As [`Shape::Conditions`], and the same in each listener.
    Listeners,
    /// Entries of `parents` with our controller name.
    Parents,
    /// Entries of `ancestors` with our controller name.
    Ancestors,
}

impl Shape {
    /// The list in which each controller has entries of its own.
    pub(crate) fn list(self) -> Option<&'static str> {
        match self {
            Self::Parents => Some("parents"),
            Self::Ancestors => Some("ancestors"),
            Self::Conditions | Self::Listeners => None,
        }
    }
}

/// A list in which entries with our controller name are ours.
struct Entries<'c> {
    list: &'static str,
    /// The field by which an entry is known.
    reference: &'static str,
    /// The API server takes no more.
    most: usize,
    controller: &'c str,
}

/// `None`: the live status says it all already.
pub(crate) fn merge(shape: Shape, live: &Value, ours: &Value, controller: &str, now: Timestamp) -> Option<Merged> {
    let status = match shape {
        Shape::Conditions => top(live, ours, now),
        Shape::Listeners => listeners(live, ours, now),
        Shape::Parents => Entries { list: "parents", reference: "parentRef", most: 32, controller }.merge(live, ours, now),
        Shape::Ancestors => Entries { list: "ancestors", reference: "ancestorRef", most: 16, controller }.merge(live, ours, now),
    };
    if status == *live {
        return None;
    }
    let only_counts = shape == Shape::Listeners && without_counts(&status) == without_counts(live);
    Some(Merged { status, only_counts })
}

fn without_counts(status: &Value) -> Value {
    let mut status = status.clone();
    for listener in status.get_mut("listeners").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(listener) = listener.as_object_mut() {
            listener.remove("attachedRoutes");
        }
    }
    status
}

/// Our fields over the live ones; conditions by type.
fn top(live: &Value, ours: &Value, now: Timestamp) -> Value {
    let mut merged = live.as_object().cloned().unwrap_or_default();
    for (field, value) in ours.as_object().into_iter().flatten() {
        let before = merged.get(field);
        let value = match field.as_str() {
            "conditions" => conditions(before, value, now),
            "statuses" => entries(before, value),
            _ => value.clone(),
        };
        merged.insert(field.clone(), value);
    }
    Value::Object(merged)
}

/// A map by reporter, in which only our entry is ours; null: we report nothing.
fn entries(live: Option<&Value>, ours: &Value) -> Value {
    let mut merged = live.and_then(Value::as_object).cloned().unwrap_or_default();
    for (reporter, report) in ours.as_object().into_iter().flatten() {
        match report {
            Value::Null => drop(merged.remove(reporter)),
            report => drop(merged.insert(reporter.clone(), report.clone())),
        }
    }
    Value::Object(merged)
}

fn listeners(live: &Value, ours: &Value, now: Timestamp) -> Value {
    let mut merged = top(live, ours, now);
    let before = list(live.get("listeners"));
    if let Some(listeners) = merged.get_mut("listeners").and_then(Value::as_array_mut) {
        for listener in listeners {
            let known = before.iter().find(|one| one.get("name") == listener.get("name"));
            *listener = top(known.unwrap_or(&Value::Null), listener, now);
        }
    }
    let gone = ["addresses", "attachedListenerSets"].into_iter().filter(|field| ours.get(field).is_none());
    if let Some(merged) = merged.as_object_mut() {
        gone.for_each(|field| drop(merged.remove(field)));
    }
    merged
}

impl Entries<'_> {
    /// Others' entries first, as they are; then ours. "If this slice is full, implementations MUST NOT add further entries"
    /// (PolicyStatus.ancestors).
    fn merge(&self, live: &Value, ours: &Value, now: Timestamp) -> Value {
        let before = list(live.get(self.list));
        let known = |entry: &Value| before.iter().find(|one| self.is_ours(one) && one.get(self.reference) == entry.get(self.reference));
        let merged = list(ours.get(self.list)).iter().map(|entry| {
            let mut entry = entry.clone();
            let before = known(&entry).and_then(|known| known.get("conditions"));
            let times = timed(before, entry.get("conditions"), now);
            if let Some(entry) = entry.as_object_mut() {
                entry.insert("conditions".to_owned(), times);
            }
            entry
        });
        let foreign = before.iter().filter(|entry| !self.is_ours(entry)).cloned();
        let mut status = live.as_object().cloned().unwrap_or_default();
        status.insert(self.list.to_owned(), foreign.chain(merged).take(self.most).collect());
        Value::Object(status)
    }

    fn is_ours(&self, entry: &Value) -> bool {
        entry.get("controllerName").and_then(Value::as_str) == Some(self.controller)
    }
}

/// Types that nobody else sets on the objects that are ours to judge: one that is not said any more goes.
const OURS: [&str; 7] =
    ["Accepted", "Programmed", "ResolvedRefs", "Conflicted", "PartiallyInvalid", "InlineCredentials", "InsecureFrontendValidationMode"];

fn is_own_type(condition: &Value) -> bool {
    condition.get("type").and_then(Value::as_str).is_some_and(|kind| OURS.contains(&kind))
}

/// Whether an Upstream's status has anything of ours, who report in a namespace.
pub(crate) fn reports(live: &Value, namespace: &str) -> bool {
    let report = live.get("statuses").and_then(|reports| reports.get(namespace));
    let reporter = report.and_then(|report| report.get("reportedBy")).and_then(Value::as_str);
    reporter == Some("keyward") || list(live.get("conditions")).iter().any(is_own_type)
}

/// Ours with their times, in the order of the live ones as far as they are known there; others' types stay where they are.
fn conditions(live: Option<&Value>, ours: &Value, now: Timestamp) -> Value {
    let ours = timed(live, Some(ours), now);
    let ours = list(Some(&ours));
    let of_type = |kind: Option<&Value>| ours.iter().find(|one| one.get("type") == kind);
    let before = list(live);
    let kept = before.iter().filter_map(|one| of_type(one.get("type")).or((!is_own_type(one)).then_some(one)).cloned());
    let new = ours.iter().filter(|one| !before.iter().any(|other| other.get("type") == one.get("type"))).cloned();
    kept.chain(new).collect()
}

/// "lastTransitionTime is the last time the condition transitioned from one status to another" (metav1.Condition).
fn timed(live: Option<&Value>, ours: Option<&Value>, now: Timestamp) -> Value {
    let before = list(live);
    let stamp = |condition: &Value| {
        let same = |one: &&Value| one.get("type") == condition.get("type") && one.get("status") == condition.get("status");
        let time = before.iter().find(same).and_then(|one| one.get("lastTransitionTime")).cloned();
        let mut condition: Map<String, Value> = condition.as_object().cloned().unwrap_or_default();
        condition.insert("lastTransitionTime".to_owned(), time.unwrap_or_else(|| json!(seconds(now))));
        Value::Object(condition)
    };
    list(ours).iter().map(stamp).collect()
}

/// As the API server writes times, or the next comparison would differ.
fn seconds(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: &str = "keyward.dev/gateway-controller";

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn condition(kind: &str, status: &str, generation: i64, time: &str) -> Value {
        json!({ "type": kind, "status": status, "observedGeneration": generation, "lastTransitionTime": time })
    }

    #[test]
    fn keeps_the_time_of_a_condition_that_says_what_it_said() {
        let live = json!({ "conditions": [condition("Accepted", "True", 1, "2020-01-01T00:00:00Z")] });
        let ours = json!({ "conditions": [condition("Accepted", "True", 2, ""), condition("Programmed", "True", 2, "")] });
        let merged = merge(Shape::Conditions, &live, &ours, US, now()).unwrap().status;
        assert_eq!(merged["conditions"][0], condition("Accepted", "True", 2, "2020-01-01T00:00:00Z"));
        assert_eq!(merged["conditions"][1]["lastTransitionTime"], "2027-01-15T08:00:00Z");
    }

    #[test]
    fn drops_a_condition_of_ours_that_is_not_said_any_more() {
        let time = "2020-01-01T00:00:00Z";
        let live = json!({ "conditions": [condition("ResolvedRefs", "True", 1, time), condition("Foreign", "True", 1, time)] });
        let ours = json!({ "conditions": [condition("Accepted", "False", 2, "")] });
        let merged = merge(Shape::Conditions, &live, &ours, US, now()).unwrap().status;
        let types: Vec<&str> = merged["conditions"].as_array().unwrap().iter().filter_map(|one| one["type"].as_str()).collect();
        assert_eq!(types, ["Foreign", "Accepted"]);
    }

    #[test]
    fn takes_back_its_report_and_its_conditions_and_then_says_nothing() {
        let time = "2020-01-01T00:00:00Z";
        let others = json!({ "state": "Accepted" });
        let live = json!({ "conditions": [condition("Accepted", "True", 1, time)], "statuses": { "us": { "state": "Accepted" }, "gloo": others } });
        let ours = json!({ "conditions": [], "statuses": { "us": null } });
        let merged = merge(Shape::Conditions, &live, &ours, US, now()).unwrap().status;
        assert_eq!(merged, json!({ "conditions": [], "statuses": { "gloo": others } }));
        assert!(merge(Shape::Conditions, &merged, &ours, US, now()).is_none());
    }

    #[test]
    fn says_nothing_when_everything_is_said() {
        let live = json!({ "conditions": [condition("Accepted", "True", 1, "2020-01-01T00:00:00Z")] });
        let ours = json!({ "conditions": [condition("Accepted", "True", 1, "")] });
        assert!(merge(Shape::Conditions, &live, &ours, US, now()).is_none());
    }

    #[test]
    fn leaves_conditions_and_parents_of_others_alone() {
        let foreign = condition("Foreign", "True", 1, "2020-01-01T00:00:00Z");
        let live = json!({
            "conditions": [foreign],
            "listeners": [{ "name": "a", "attachedRoutes": 0, "conditions": [foreign] }, { "name": "gone", "conditions": [foreign] }],
        });
        let ours = json!({
            "conditions": [condition("Accepted", "True", 1, "")],
            "listeners": [{ "name": "a", "attachedRoutes": 1, "conditions": [condition("Accepted", "True", 1, "")] }],
        });
        let merged = merge(Shape::Listeners, &live, &ours, US, now()).unwrap().status;
        assert_eq!((&merged["conditions"][0], &merged["listeners"][0]["conditions"][0]), (&foreign, &foreign));
        assert_eq!((merged["conditions"].as_array().unwrap().len(), merged["listeners"].as_array().unwrap().len()), (2, 1));

        let other = json!({ "controllerName": "example.com/other", "parentRef": { "name": "x" }, "conditions": [foreign] });
        let old = json!({ "controllerName": US, "parentRef": { "name": "old" }, "conditions": [] });
        let live = json!({ "parents": [other, old] });
        let ours = json!({ "parents": [{ "controllerName": US, "parentRef": { "name": "gw" }, "conditions": [] }] });
        let merged = merge(Shape::Parents, &live, &ours, US, now()).unwrap().status;
        assert_eq!(merged["parents"][0], other);
        assert_eq!(merged["parents"][1]["parentRef"]["name"], "gw");
        assert_eq!(merged["parents"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn leaves_ancestors_of_others_alone_and_adds_none_to_a_full_list() {
        const OTHER: &str = "example.com/other";
        let entry = |who: &str, name: &str| json!({ "controllerName": who, "ancestorRef": { "name": name }, "conditions": [] });
        let ancestors = |entries: Vec<Value>| json!({ "ancestors": entries });
        let ours = ancestors(vec![entry(US, "gw")]);
        let live = ancestors(vec![entry(US, "old"), entry(OTHER, "x")]);
        let merged = merge(Shape::Ancestors, &live, &ours, US, now()).unwrap().status;
        assert_eq!(merged, ancestors(vec![entry(OTHER, "x"), entry(US, "gw")]));
        let none = merge(Shape::Ancestors, &merged, &ancestors(Vec::new()), US, now()).unwrap().status;
        assert_eq!(none, ancestors(vec![entry(OTHER, "x")]));

        let full = ancestors((0..16).map(|nth| entry(OTHER, &nth.to_string())).collect());
        assert!(merge(Shape::Ancestors, &full, &ours, US, now()).is_none());
    }

    #[test]
    fn knows_when_only_counts_differ() {
        let time = "2020-01-01T00:00:00Z";
        let with = |count: i32, status: &str| json!({ "listeners": [{ "name": "a", "attachedRoutes": count, "conditions": [condition("Accepted", status, 1, time)] }] });
        assert!(merge(Shape::Listeners, &with(1, "True"), &with(2, "True"), US, now()).unwrap().only_counts);
        assert!(!merge(Shape::Listeners, &with(1, "True"), &with(2, "False"), US, now()).unwrap().only_counts);
    }

    #[test]
    fn drops_an_address_and_a_count_of_sets_that_are_no_more() {
        let live = json!({ "addresses": [{ "type": "IPAddress", "value": "10.0.0.1" }], "attachedListenerSets": 1 });
        assert_eq!(merge(Shape::Listeners, &live, &json!({}), US, now()).unwrap().status, json!({}));
    }
}
