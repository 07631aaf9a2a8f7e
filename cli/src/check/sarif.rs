//! Findings as a log of SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"). The section numbers are its.

use std::path::{Component, Path, PathBuf};

use crds::credentials::Reason;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::read::Unread;
use super::{Finding, Findings};

/// RFC 3986's unreserved characters and the slash stay. Everything else has a meaning in some URI: a colon would end a scheme.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

pub(super) fn log(findings: &Findings) -> Value {
    let rules = Reason::ALL.map(|reason| json!({ "id": reason.as_str(), "shortDescription": { "text": reason.words() } }));
    json!({
        "version": "2.1.0",
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "runs": [{
            "tool": { "driver": { "name": "keyward check", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "invocations": [{
                "executionSuccessful": findings.unread.is_empty(),
                "toolExecutionNotifications": findings.unread.iter().map(notification).collect::<Vec<Value>>(),
            }],
            "results": findings.violations.iter().map(result).collect::<Vec<Value>>(),
        }],
    })
}

fn result(finding: &Finding) -> Value {
    let Finding { place, line, kind, name, violation } = finding;
    let text = format!("{kind} {name}: {}: {}", violation.field, violation.reason.words());
    json!({
        "ruleId": violation.reason.as_str(),
        "level": "error",
        "message": { "text": text },
        "locations": [{
            "physicalLocation": { "artifactLocation": { "uri": uri(&place.file) }, "region": { "startLine": line } },
            "logicalLocations": [{ "fullyQualifiedName": violation.field.to_string() }],
        }],
    })
}

fn notification(unread: &Unread) -> Value {
    let Unread { file, document, message } = unread;
    let text = document.map_or_else(|| message.clone(), |document| format!("document {document}: {message}"));
    json!({
        "level": "error",
        "message": { "text": text },
        "locations": [{ "physicalLocation": { "artifactLocation": { "uri": uri(file) } } }],
    })
}

/// "A string containing a valid relative or absolute URI" (3.4.3). Of a relative path a relative one, which code scanning takes from the
/// root of the repository; of an absolute path one with `file:` (3.10.2).
fn uri(file: &str) -> String {
    let path: PathBuf = Path::new(file).components().filter(|part| *part != Component::CurDir).collect();
    let path = path.to_string_lossy();
    match utf8_percent_encode(&path, ENCODED).to_string() {
        absolute if absolute.starts_with('/') => format!("file://{absolute}"),
        here if here.is_empty() => ".".to_owned(),
        relative => relative,
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::Read;
    use super::super::{Rule, tests::inline};
    use super::*;
    use crds::credentials::Level;
    use std::collections::BTreeSet;

    #[test]
    fn a_path_is_a_uri_from_where_it_is_named() {
        for (file, expected) in [
            ("manifests/a.yaml", "manifests/a.yaml"),
            ("./manifests//./a b.yaml", "manifests/a%20b.yaml"),
            ("../a~b-c_d.yaml", "../a~b-c_d.yaml"),
            ("c:d?e#f%20.yaml", "c%3Ad%3Fe%23f%2520.yaml"),
            ("a\\b.yaml", "a%5Cb.yaml"),
            ("café/[a]\n.yaml", "caf%C3%A9/%5Ba%5D%0A.yaml"),
            ("/tmp/a b.yaml", "file:///tmp/a%20b.yaml"),
            (".", "."),
            ("./", "."),
            ("-", "-"),
        ] {
            assert_eq!(uri(file), expected);
        }
    }

    /// What the schema of SARIF 2.1.0 says of everything that we write: nearly all of its types have `"additionalProperties": false`.
    fn assert_is_sarif(log: &Value) {
        has(log, &["version", "$schema", "runs"]);
        assert_eq!(log["version"], "2.1.0");
        assert_eq!(log["$schema"], "https://json.schemastore.org/sarif-2.1.0.json");
        let [run] = elements(&log["runs"]) else { panic!("one run: {log}") };
        has(run, &["tool", "invocations", "results"]);
        has(&run["tool"], &["driver"]);
        has(&run["tool"]["driver"], &["name", "version", "rules"]);
        assert_eq!(run["tool"]["driver"]["name"], "keyward check");
        assert_eq!(run["tool"]["driver"]["version"], env!("CARGO_PKG_VERSION"));
        let rules = assert_are_rules(&run["tool"]["driver"]["rules"]);
        for result in elements(&run["results"]) {
            has(result, &["ruleId", "level", "message", "locations"]);
            assert!(rules.contains(words(&result["ruleId"])), "{result}");
            assert_tells(result);
            let [location] = elements(&result["locations"]) else { panic!("one location: {result}") };
            has(location, &["physicalLocation", "logicalLocations"]);
            has(&location["physicalLocation"], &["artifactLocation", "region"]);
            has(&location["physicalLocation"]["region"], &["startLine"]);
            assert!(location["physicalLocation"]["region"]["startLine"].as_u64().is_some_and(|line| line >= 1), "{result}");
            assert_is_artifact(&location["physicalLocation"]["artifactLocation"]);
            let [logical] = elements(&location["logicalLocations"]) else { panic!("one field: {result}") };
            has(logical, &["fullyQualifiedName"]);
            assert!(!words(&logical["fullyQualifiedName"]).is_empty());
        }
        assert_is_invocation(&run["invocations"]);
    }

    fn assert_are_rules(rules: &Value) -> BTreeSet<&str> {
        for rule in elements(rules) {
            has(rule, &["id", "shortDescription"]);
            has(&rule["shortDescription"], &["text"]);
            assert!(!words(&rule["shortDescription"]["text"]).is_empty(), "{rule}");
        }
        let ids: BTreeSet<&str> = elements(rules).iter().map(|rule| words(&rule["id"])).collect();
        assert_eq!(ids, BTreeSet::from(Reason::ALL.map(Reason::as_str)));
        assert_eq!(ids.len(), elements(rules).len(), "each once");
        ids
    }

    fn assert_is_invocation(invocations: &Value) {
        let [invocation] = elements(invocations) else { panic!("one invocation: {invocations}") };
        has(invocation, &["executionSuccessful", "toolExecutionNotifications"]);
        let notifications = elements(&invocation["toolExecutionNotifications"]);
        assert_eq!(invocation["executionSuccessful"], json!(notifications.is_empty()));
        for notification in notifications {
            has(notification, &["level", "message", "locations"]);
            assert_tells(notification);
            let [location] = elements(&notification["locations"]) else { panic!("one location: {notification}") };
            has(location, &["physicalLocation"]);
            has(&location["physicalLocation"], &["artifactLocation"]);
            assert_is_artifact(&location["physicalLocation"]["artifactLocation"]);
        }
    }

    fn assert_tells(of: &Value) {
        assert!(["none", "note", "warning", "error"].contains(&words(&of["level"])), "{of}");
        has(&of["message"], &["text"]);
        assert!(!words(&of["message"]["text"]).is_empty(), "{of}");
    }

    /// RFC 3986, `path-noscheme`: no scheme, no backslash, no bare percent sign, nothing that is not ASCII.
    fn assert_is_artifact(artifact: &Value) {
        has(artifact, &["uri"]);
        let uri = words(&artifact["uri"]);
        assert!(!uri.is_empty() && !uri.starts_with('/') && !uri.starts_with("./"), "{uri}");
        for segment in uri.split('/') {
            let mut parts = segment.split('%');
            assert!(parts.next().is_some_and(is_unreserved), "{uri}");
            let is_encoded = |part: &str| part.len() >= 2 && part.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit) && is_unreserved(part);
            assert!(parts.all(is_encoded), "{uri}");
        }
    }

    fn is_unreserved(text: &str) -> bool {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    }

    fn has(object: &Value, fields: &[&str]) {
        let found: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(found, fields.iter().copied().collect::<BTreeSet<&str>>(), "{object}");
    }

    fn elements(list: &Value) -> &[Value] {
        list.as_array().unwrap()
    }

    fn words(text: &Value) -> &str {
        text.as_str().unwrap()
    }

    #[test]
    fn a_log_is_what_the_standard_asks_for() {
        let rule = Rule { level: Level::Protected, namespace: None };
        let empty = log(&Findings::of(&[], Vec::new(), &rule));
        assert_is_sarif(&empty);
        assert!(elements(&empty["runs"][0]["results"]).is_empty());

        let mut read = Read::default();
        read.add("./dir one/é#1.yaml", &format!("# comment\n---\n{}\n---\n[sk-canary", inline()));
        read.add("plain.json", &json!({ "kind": "List", "items": [inline(), inline()] }).to_string());
        let full = log(&Findings::of(&read.documents, read.unread, &rule));
        assert_is_sarif(&full);
        assert!(!full.to_string().contains("canary"), "{full}");
        let results = elements(&full["runs"][0]["results"]);
        assert_eq!(results.len(), 3);
        let location = json!({ "artifactLocation": { "uri": "dir%20one/%C3%A9%231.yaml" }, "region": { "startLine": 3 } });
        assert_eq!(results[0]["locations"][0]["physicalLocation"], location);
        assert_eq!((&results[0]["ruleId"], &results[0]["level"]), (&json!("InlineToken"), &json!("error")));
        let text = format!("Upstream u: spec.ai.openai.authToken.inline: {}", Reason::InlineToken.words());
        assert_eq!(results[0]["message"]["text"], text);
        let invocation = &full["runs"][0]["invocations"][0];
        assert_eq!(invocation["executionSuccessful"], json!(false));
        let [notification] = elements(&invocation["toolExecutionNotifications"]) else { panic!("{invocation}") };
        assert!(words(&notification["message"]["text"]).starts_with("document 2: not valid YAML"), "{notification}");
    }
}
