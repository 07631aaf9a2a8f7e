//! `keyward check`: the webhook's verdict on files, for a pull request. It prints fields and reasons, never values; only `--fix` writes a
//! token, into a Secret's manifest of its own.

mod fix;
mod format;
mod lines;

use std::path::PathBuf;
use std::process::ExitCode;

use crds::credentials::{Level, Step, Violation, inline_credentials};
use serde_json::Value;

use crate::document::{self, Mistake, mistake};
use crate::files::{self, Part, Place};

use format::Format;
use lines::Lines;

const CLEAN: u8 = 0;
const VIOLATIONS: u8 = 1;
const UNREADABLE: u8 = 2;

/// Arguments of `keyward check`. It exits with 0 when nothing is wrong, 1 when a credential is where it must not be, 2 when a file cannot be
/// read.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Manifest file, directory of manifests, or - for standard input. Repeatable.
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-", required = true)]
    files: Vec<PathBuf>,
    /// How strict: open, protected or restricted, as the label credentials.keyward.dev/enforce of the namespace says.
    #[arg(long, value_name = "LEVEL", default_value = "protected")]
    level: Level,
    /// How findings are printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write Secrets with the inline tokens of Upstreams, and the Upstreams that refer to them, into this directory.
    #[arg(long, value_name = "DIR")]
    fix: Option<PathBuf>,
}

/// A violation and where it is.
pub(crate) struct Finding {
    pub(crate) place: Place,
    /// Of the file, counted from 1: the field's, or that of the field around it, if the text does not have the field itself.
    pub(crate) line: usize,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) violation: Violation,
}

/// What the files hold.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) violations: Vec<Finding>,
    pub(crate) unread: Vec<(Place, Mistake)>,
}

/// Checks, prints, and says by the exit code what came out.
pub(crate) fn run(args: &Args) -> ExitCode {
    ExitCode::from(check(args).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        UNREADABLE
    }))
}

fn check(args: &Args) -> anyhow::Result<u8> {
    let Read { documents, unread } = Read::all(&args.files);
    let violations = documents.iter().flat_map(|document| judge(document, args.level)).collect();
    let findings = Findings { violations, unread };
    format::print(args.format, &findings)?;
    if let Some(directory) = &args.fix {
        fix::write(directory, documents.iter().flat_map(|document| &document.objects).map(|object| &object.value))?;
    }
    Ok(match (findings.unread.is_empty(), findings.violations.is_empty()) {
        (false, _) => UNREADABLE,
        (true, false) => VIOLATIONS,
        (true, true) => CLEAN,
    })
}

/// Files, read.
#[derive(Default)]
struct Read {
    documents: Vec<Document>,
    unread: Vec<(Place, Mistake)>,
}

struct Document {
    place: Place,
    part: Part,
    objects: Vec<Object>,
}

struct Object {
    /// From the top of the document.
    way: Vec<Step>,
    value: Value,
}

impl Read {
    fn all(arguments: &[PathBuf]) -> Self {
        let mut read = Self::default();
        for path in files::expanded(arguments) {
            let file = path.display().to_string();
            match files::text(&path) {
                Ok(text) => read.add(&file, &text),
                Err(error) => read.unread.push((Place { file, document: 1 }, mistake("", &format!("cannot be read: {error}")))),
            }
        }
        read
    }

    fn add(&mut self, file: &str, text: &str) {
        for (nth, part) in files::documents(text).into_iter().enumerate() {
            let place = Place { file: file.to_owned(), document: nth + 1 };
            match document::parse(&part.text) {
                Ok(None) => {}
                Ok(Some(value)) => self.documents.push(Document { place, part, objects: listed(value) }),
                Err(mistake) => self.unread.push((place, mistake)),
            }
        }
    }
}

/// The objects of a List, or the one that it is. An object that no type would take is judged all the same: a token in it is a token.
fn listed(document: Value) -> Vec<Object> {
    match (document.get("kind").and_then(Value::as_str), document.get("items").and_then(Value::as_array)) {
        (Some("List"), Some(items)) => {
            let way = |nth| vec![Step::Field("items"), Step::Index(nth)];
            items.iter().enumerate().map(|(nth, item)| Object { way: way(nth), value: item.clone() }).collect()
        }
        _ => vec![Object { way: Vec::new(), value: document }],
    }
}

fn judge(document: &Document, level: Level) -> Vec<Finding> {
    let forbidden =
        |object: &Object| inline_credentials(&object.value).into_iter().filter(move |violation| violation.reason.level() <= level);
    let found: Vec<(&Object, Violation)> =
        document.objects.iter().flat_map(|object| forbidden(object).map(move |violation| (object, violation))).collect();
    // Most documents have nothing to show: they are read once.
    let lines = if found.is_empty() { None } else { Lines::of(&document.part.text) };
    found.into_iter().map(|(object, violation)| finding(document, lines.as_ref(), object, violation)).collect()
}

fn finding(document: &Document, lines: Option<&Lines>, object: &Object, violation: Violation) -> Finding {
    let way = [object.way.as_slice(), violation.field.steps()].concat();
    let below = lines.map_or(0, |lines| lines.line(&way).saturating_sub(1));
    let text = |pointer: &str| object.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    Finding { place: document.place.clone(), line: document.part.line + below, kind, name, violation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::credentials::literal::{CREDENTIAL_HEADERS, CREDENTIAL_PARAMETERS};
    use serde_json::json;

    fn inline() -> Value {
        json!({ "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": "u" },
            "spec": { "ai": { "openai": { "authToken": { "inline": "sk-canary" } } } } })
    }

    fn found(read: Read, level: Level) -> Findings {
        let violations = read.documents.iter().flat_map(|document| judge(document, level)).collect();
        Findings { violations, unread: read.unread }
    }

    /// What the results of a SARIF log say: file, line and field of each.
    fn shown(findings: &Findings) -> Vec<(String, u64, String)> {
        let text = format::text(Format::Sarif, findings).unwrap();
        assert!(!text.contains("canary"), "{text}");
        let log: Value = serde_json::from_str(&text).unwrap();
        let shown = |result: &Value| {
            let location = &result["locations"][0];
            let file = location["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap();
            let line = location["physicalLocation"]["region"]["startLine"].as_u64().unwrap();
            let field = location["logicalLocations"][0]["fullyQualifiedName"].as_str().unwrap();
            (file.rsplit('/').next().unwrap().to_owned(), line, field.to_owned())
        };
        log["runs"][0]["results"].as_array().unwrap().iter().map(shown).collect()
    }

    #[test]
    fn judges_as_the_namespace_would_and_takes_lists_apart() {
        let mut read = Read::default();
        read.add("f", &json!({ "apiVersion": "v1", "kind": "List", "items": [inline(), {}] }).to_string());
        let count = |level| read.documents.iter().flat_map(|document| judge(document, level)).count();
        assert_eq!((count(Level::Open), count(Level::Protected), count(Level::Restricted)), (0, 1, 1));
    }

    #[test]
    fn no_format_shows_a_token() {
        let mut read = Read::default();
        read.add("f", &format!("{}\n---\n[sk-canary", inline()));
        let findings = found(read, Level::Protected);
        assert_eq!((findings.violations.len(), findings.unread.len()), (1, 1));
        for format in [Format::Text, Format::Json, Format::Sarif] {
            let text = format::text(format, &findings).unwrap();
            assert!(text.contains("spec.ai.openai.authToken.inline") && !text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn shows_the_line_of_each_field_in_its_file() {
        let files = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/check"));
        let inline = |place: &str| format!("spec.ai.{place}.authToken.inline");
        let copied = "metadata.annotations[kubectl.kubernetes.io/last-applied-configuration].spec.ai.openai.authToken.inline";
        let aws = |key: &str| format!("spec.ai.bedrock.credentialProvider.inline.{key}");
        let expected = [
            ("anchors.yaml", 11, inline("multi.priorities[0].pool[0].openai")),
            ("anchors.yaml", 11, inline("multi.priorities[0].pool[1].mistral")),
            ("anchors.yaml", 11, inline("multi.priorities[0].pool[2].anthropic")),
            ("anchors.yaml", 11, inline("multi.priorities[0].pool[3].gemini")),
            ("anchors.yaml", 20, inline("multi.priorities[0].pool[4].openai")),
            ("documents.yaml", 14, inline("openai")),
            ("documents.yaml", 28, inline("*")),
            ("documents.yaml", 31, inline("openai")),
            ("documents.yaml", 23, copied.to_owned()),
            ("documents.yaml", 53, "spec.rules[0].filters[0].requestHeaderModifier.set[1].value".to_owned()),
            ("upstream.json", 12, aws("accessKeyId")),
            ("upstream.json", 13, aws("secretAccessKey")),
        ];
        let expected = expected.map(|(file, line, field): (&str, u64, String)| (file.to_owned(), line, field));
        assert_eq!(shown(&found(Read::all(&[files]), Level::Protected)), expected);
    }

    #[test]
    fn shows_where_the_document_starts_if_its_fields_cannot_be_found() {
        let mut read = Read::default();
        read.add("f", &format!("# comment\n---\n{}\n", inline()));
        read.documents[0].part.text = "[".to_owned();
        assert_eq!(shown(&found(read, Level::Protected))[0].1, 2);
    }

    #[test]
    fn the_finder_knows_what_the_proxy_strips() {
        for header in &policy::CREDENTIAL_HEADERS {
            assert!(CREDENTIAL_HEADERS.contains(&header.as_str()), "{header}");
        }
        for parameter in CREDENTIAL_PARAMETERS {
            assert!(policy::is_credential_parameter(&format!("{parameter}=v")), "{parameter}");
        }
    }
}
