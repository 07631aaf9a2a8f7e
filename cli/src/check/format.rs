//! Findings as text for people, JSON for scripts, SARIF 2.1.0 for code scanning.

use std::io::Write;

use crds::credentials::Reason;
use serde_json::{Value, json};

use super::{Finding, Findings};

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A line each.
    Text,
    /// One object with lists `violations` and `unreadable`.
    Json,
    /// For code scanning.
    Sarif,
}

pub(crate) fn print(format: Format, findings: &Findings) -> anyhow::Result<()> {
    Ok(write!(std::io::stdout().lock(), "{}", text(format, findings)?)?)
}

pub(crate) fn text(format: Format, findings: &Findings) -> serde_json::Result<String> {
    match format {
        Format::Text => Ok(lines(findings)),
        Format::Json => serde_json::to_string_pretty(&json(findings)).map(|text| text + "\n"),
        Format::Sarif => serde_json::to_string_pretty(&sarif(findings)).map(|text| text + "\n"),
    }
}

fn lines(findings: &Findings) -> String {
    let unread =
        findings.unread.iter().map(|(place, mistake)| format!("{} document {}: {}\n", place.file, place.document, mistake.message));
    let violations = findings.violations.iter().map(|finding| {
        let Finding { place, line, kind, name, violation } = finding;
        format!("{}:{line}: {kind} {name}: {}: {}\n", place.file, violation.field, violation.reason.words())
    });
    unread.chain(violations).collect()
}

fn json(findings: &Findings) -> Value {
    let violation = |finding: &Finding| {
        json!({
            "file": finding.place.file,
            "document": finding.place.document,
            "line": finding.line,
            "kind": finding.kind,
            "name": finding.name,
            "field": finding.violation.field.to_string(),
            "reason": finding.violation.reason.as_str(),
            "level": finding.violation.reason.level().as_str(),
            "message": finding.violation.reason.words(),
        })
    };
    let unread = findings
        .unread
        .iter()
        .map(|(place, mistake)| json!({ "file": place.file, "document": place.document, "message": mistake.message }));
    json!({
        "violations": findings.violations.iter().map(violation).collect::<Vec<Value>>(),
        "unreadable": unread.collect::<Vec<Value>>(),
    })
}

fn sarif(findings: &Findings) -> Value {
    let rules = Reason::ALL.map(|reason| json!({ "id": reason.as_str(), "shortDescription": { "text": reason.words() } }));
    let result = |finding: &Finding| {
        let Finding { place, line, kind, name, violation } = finding;
        let text = format!("{kind} {name}: {}: {}", violation.field, violation.reason.words());
        json!({
            "ruleId": violation.reason.as_str(),
            "level": "error",
            "message": { "text": text },
            "locations": [{
                "physicalLocation": { "artifactLocation": { "uri": place.file }, "region": { "startLine": line } },
                "logicalLocations": [{ "fullyQualifiedName": violation.field.to_string() }],
            }],
        })
    };
    let unread = findings.unread.iter().map(|(place, mistake)| {
        json!({
            "level": "error",
            "message": { "text": mistake.message },
            "locations": [{ "physicalLocation": { "artifactLocation": { "uri": place.file } } }],
        })
    });
    json!({
        "version": "2.1.0",
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "runs": [{
            "tool": { "driver": { "name": "keyward check", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "invocations": [{
                "executionSuccessful": findings.unread.is_empty(),
                "toolExecutionNotifications": unread.collect::<Vec<Value>>(),
            }],
            "results": findings.violations.iter().map(result).collect::<Vec<Value>>(),
        }],
    })
}
