//! Findings as text for people, JSON for scripts, SARIF for code scanning.

use serde_json::{Value, json};

use super::read::Unread;
use super::{Finding, Findings, sarif};

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A line each.
    Text,
    /// One object with lists `violations` and `unreadable`.
    Json,
    /// For code scanning: SARIF 2.1.0.
    Sarif,
}

pub(super) fn text(format: Format, findings: &Findings) -> serde_json::Result<String> {
    match format {
        Format::Text => Ok(lines(findings)),
        Format::Json => serde_json::to_string_pretty(&json(findings)).map(|text| text + "\n"),
        Format::Sarif => serde_json::to_string_pretty(&sarif::log(findings)).map(|text| text + "\n"),
    }
}

fn lines(findings: &Findings) -> String {
    let unread = findings.unread.iter().map(|Unread { file, document, message }| match document {
        Some(document) => format!("{file} document {document}: {message}\n"),
        None => format!("{file}: {message}\n"),
    });
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
    let unread =
        findings.unread.iter().map(|Unread { file, document, message }| json!({ "file": file, "document": document, "message": message }));
    json!({
        "violations": findings.violations.iter().map(violation).collect::<Vec<Value>>(),
        "unreadable": unread.collect::<Vec<Value>>(),
    })
}
