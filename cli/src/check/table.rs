//! The one table of cases, through `keyward check`: it says of a file what admission says of the objects in it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::read::Read;
use super::{CLEAN, Findings, Rule, VIOLATIONS};

/// Of the table, what is the same for everybody.
#[derive(Deserialize)]
struct Case {
    name: String,
    level: String,
    object: Value,
    old: Option<Value>,
    allowed: bool,
    fields: Vec<String>,
}

/// The namespace of the table's objects, unless they say another.
const NAMESPACE: &str = "team";

impl Case {
    /// A file has no state before it: what was there already is found like everything else.
    fn code(&self) -> u8 {
        let is_clean = if self.old.is_some() { self.fields.is_empty() } else { self.allowed };
        if is_clean { CLEAN } else { VIOLATIONS }
    }
}

/// The object in files of all kinds.
fn files(object: &Value) -> [String; 5] {
    let text = |field: &str| object[field].as_str().unwrap().to_owned();
    let list = |version: &str, kind: &str, item: &Value| json!({ "apiVersion": version, "kind": kind, "items": [item] }).to_string();
    let mut untyped = object.clone();
    let fields = untyped.as_object_mut().unwrap();
    fields.retain(|field, _| field != "apiVersion" && field != "kind");
    let mut unplaced = object.clone();
    if let Some(metadata) = unplaced["metadata"].as_object_mut() {
        metadata.retain(|field, value| field != "namespace" || value.as_str() != Some(NAMESPACE));
    }
    [
        object.to_string(),
        serde_saphyr::to_string(object).unwrap(),
        unplaced.to_string(),
        list("v1", "List", object),
        list(&text("apiVersion"), &format!("{}List", text("kind")), &untyped),
    ]
}

#[test]
fn says_of_each_case_what_admission_says_in_whatever_file_it_is() {
    let cases: Vec<Case> = serde_saphyr::from_str(include_str!("../../../crds/tests/credentials.yaml")).unwrap();
    assert!(cases.iter().any(|case| case.code() == CLEAN) && cases.iter().any(|case| case.code() == VIOLATIONS));
    let mut failed = Vec::new();
    for case in &cases {
        let rule = Rule { level: case.level.parse().unwrap(), namespace: Some(NAMESPACE.to_owned()) };
        for (nth, text) in files(&case.object).iter().enumerate() {
            let mut read = Read::default();
            read.add("f", text);
            let findings = Findings::of(&read.documents, read.unread, &rule);
            let fields: Vec<String> = findings.violations.iter().map(|finding| finding.violation.field.to_string()).collect();
            if (findings.code(), &fields) != (case.code(), &case.fields) {
                failed.push(format!("{} (file {nth}): {} {fields:?}", case.name, findings.code()));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
