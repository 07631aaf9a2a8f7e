//! Our schema against Gloo's, field by field: a manifest that Gloo's CRD keeps whole, ours keeps whole. The fixture was taken from
//! `install/helm/gloo/crds/gloo.solo.io_v1_Upstream.yaml` of solo-io/gloo at 8d57572e55.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::{Map, Value, json};

/// What ours may add to Gloo's.
const ADDITIONS: [&str; 3] = ["description", "x-kubernetes-validations", "maxItems"];

fn gloo() -> anyhow::Result<Value> {
    Ok(serde_json::from_str(include_str!("gloo-upstream-ai-schema.json"))?)
}

fn ours() -> anyhow::Result<Value> {
    let crd = crds::crd::all().into_iter().next().context("no definition")?;
    Ok(serde_json::to_value(crd)?)
}

fn our_schema(path: &str) -> anyhow::Result<Value> {
    let crd = ours()?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").context("no schema")?;
    schema.pointer(path).cloned().with_context(|| format!("no {path}"))
}

/// Every property path with the keywords at it; `[]` stands for the items of a list.
fn flatten(schema: &Value, path: &str, out: &mut BTreeMap<String, Map<String, Value>>) {
    let mut keywords = Map::new();
    for (keyword, value) in schema.as_object().into_iter().flatten() {
        match keyword.as_str() {
            "properties" => {
                for (name, property) in value.as_object().into_iter().flatten() {
                    flatten(property, &format!("{path}.{name}"), out);
                }
            }
            "items" => flatten(value, &format!("{path}[]"), out),
            _ => {
                keywords.insert(keyword.clone(), as_float(value));
            }
        }
    }
    out.insert(path.to_owned(), keywords);
}

/// Bounds are `f64` in our types and integers in the fixture.
fn as_float(value: &Value) -> Value {
    value.as_f64().map_or_else(|| value.clone(), |number| json!(number))
}

fn fields(schema: &Value) -> BTreeMap<String, Map<String, Value>> {
    let mut out = BTreeMap::new();
    flatten(schema, "ai", &mut out);
    out
}

#[test]
fn every_field_of_ai_is_as_gloo_has_it() -> anyhow::Result<()> {
    let expected = fields(&gloo()?["ai"]);
    let mut actual = fields(&our_schema("/properties/spec/properties/ai")?);
    for keywords in actual.values_mut() {
        keywords.retain(|keyword, _| !ADDITIONS.contains(&keyword.as_str()));
    }
    assert!(expected.len() > 200, "the fixture lost its fields: {}", expected.len());
    let lost: Vec<_> = expected.keys().filter(|path| !actual.contains_key(*path)).collect();
    let added: Vec<_> = actual.keys().filter(|path| !expected.contains_key(*path)).collect();
    let changed: Vec<_> = expected
        .iter()
        .filter_map(|(path, gloo)| actual.get(path).map(|ours| (path, gloo, ours)))
        .filter(|(_, gloo, ours)| gloo != ours)
        .collect();
    assert!(lost.is_empty(), "fields that Gloo has and we lack: {lost:#?}");
    assert!(added.is_empty(), "fields that Gloo lacks: {added:#?}");
    assert!(changed.is_empty(), "fields that differ (path, Gloo's, ours): {changed:#?}");
    Ok(())
}

#[test]
fn names_scope_and_version_are_gloos() -> anyhow::Result<()> {
    let (gloo, ours) = (gloo()?, ours()?);
    assert_eq!(ours["spec"]["names"], gloo["names"]);
    assert_eq!(ours["spec"]["group"], gloo["group"]);
    assert_eq!(ours["spec"]["scope"], gloo["scope"]);
    assert_eq!(ours["spec"]["versions"].as_array().map(Vec::len), Some(1));
    assert_eq!(ours["spec"]["versions"][0]["name"], gloo["version"]);
    assert_eq!(ours["spec"]["versions"][0]["served"], json!(true));
    assert_eq!(ours["spec"]["versions"][0]["storage"], json!(true));
    Ok(())
}

#[test]
fn status_is_gloos_with_a_subresource() -> anyhow::Result<()> {
    let mut status = our_schema("/properties/status")?;
    if let Some(object) = status.as_object_mut() {
        object.remove("description");
    }
    assert_eq!(status, gloo()?["status"]);
    assert_eq!(ours()?["spec"]["versions"][0]["subresources"], json!({ "status": {} }));
    Ok(())
}

#[test]
fn spec_preserves_what_it_does_not_know() -> anyhow::Result<()> {
    assert_eq!(our_schema("/properties/spec/x-kubernetes-preserve-unknown-fields")?, json!(true));
    assert_eq!(our_schema("/properties/spec/nullable").ok(), None);
    Ok(())
}

#[test]
fn every_exactly_one_rule_stands_where_it_belongs() -> anyhow::Result<()> {
    let ai = fields(&our_schema("/properties/spec/properties/ai")?);
    let ruled: Vec<&String> =
        ai.iter().filter(|(_, keywords)| keywords.contains_key("x-kubernetes-validations")).map(|(path, _)| path).collect();
    let expected: Vec<&String> = ai
        .keys()
        .filter(|path| {
            let last = path.rsplit('.').next().unwrap_or_default();
            ["ai", "authToken", "credentialProvider", "pathOverride", "pool[]"].contains(&last)
        })
        .collect();
    assert_eq!(ruled, expected);
    for path in ruled {
        for rule in ai[path]["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().unwrap_or_default();
            assert!(message.contains("keep "), "{path}: the message does not say how to fix it: {message}");
        }
    }
    Ok(())
}

#[test]
fn rules_name_every_alternative() -> anyhow::Result<()> {
    for path in [
        "",
        "/properties/openai/properties/authToken",
        "/properties/bedrock/properties/credentialProvider",
        "/properties/openai/properties/customHost/properties/pathOverride",
        "/properties/multi/properties/priorities/items/properties/pool/items",
    ] {
        let schema = our_schema(&format!("/properties/spec/properties/ai{path}"))?;
        let rule = schema["x-kubernetes-validations"][0]["rule"].as_str().unwrap_or_default();
        for name in schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name) {
            assert!(rule.contains(&format!("has(self.{name})")), "{path}: {name} is missing in {rule}");
        }
    }
    Ok(())
}

#[test]
fn lists_with_rules_inside_are_bounded() -> anyhow::Result<()> {
    let ai = fields(&our_schema("/properties/spec/properties/ai")?);
    for (path, keywords) in ai.iter().filter(|(_, keywords)| keywords.get("type") == Some(&json!("array"))) {
        assert!(keywords.contains_key("maxItems"), "{path}: without maxItems an API server refuses the cost of the rules");
    }
    Ok(())
}

#[test]
fn printer_columns_show_the_conditions() -> anyhow::Result<()> {
    let crd = ours()?;
    let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().cloned().unwrap_or_default();
    let names: Vec<_> = columns.iter().filter_map(|column| column["name"].as_str()).collect();
    assert_eq!(names, ["Accepted", "ResolvedRefs", "Age"]);
    assert_eq!(columns[0]["jsonPath"], json!(".status.conditions[?(@.type==\"Accepted\")].status"));
    Ok(())
}

#[test]
fn the_yaml_says_what_the_types_say() -> anyhow::Result<()> {
    let files = crds::crd::files()?;
    let yaml = files.get("gloo.solo.io_upstreams.yaml").context("no file for Upstream")?;
    assert!(yaml.starts_with("# Generated by crdgen; do not edit."));
    let written: Value = serde_saphyr::from_str(yaml)?;
    assert_eq!(floats(&written), floats(&ours()?));
    assert!(files["kustomization.yaml"].contains("- gloo.solo.io_upstreams.yaml\n"));
    Ok(())
}

fn floats(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), floats(value))).collect()),
        Value::Array(items) => Value::Array(items.iter().map(floats).collect()),
        other => as_float(other),
    }
}

#[test]
fn the_committed_yaml_is_current() -> anyhow::Result<()> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/crd");
    for (name, text) in crds::crd::files()? {
        let committed = std::fs::read_to_string(format!("{directory}/{name}")).unwrap_or_default();
        assert!(committed == text, "config/crd/{name} is not current: cargo run -p keyward-crds --bin crdgen -- config/crd");
    }
    Ok(())
}
