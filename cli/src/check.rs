//! `keyward check`: the webhook's verdict on files, for a pull request. It prints fields and reasons, never values; only `--fix` writes a
//! token, into a Secret's manifest of its own.
//!
//! ```text
//! arguments ─► read ─┬─ documents ─► Rule::judge ─┬─► Findings ─► format (text, JSON, sarif) and exit code
//!                    │      └─► fix               │
//!                    └─ what cannot be judged ────┘
//! ```

mod fix;
mod format;
mod lines;
mod read;
mod sarif;
#[cfg(test)]
mod table;

use std::borrow::Cow;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;
use crds::credentials::{Kind, Level, Violation, inline_credentials};
use serde_json::{Value, json};

use crate::document::Item;
use crate::files::Place;

use format::Format;
use lines::Lines;
use read::{Document, Read, Unread};

const CLEAN: u8 = 0;
const VIOLATIONS: u8 = 1;
/// Also what clap exits with when the command line is wrong.
const TROUBLE: u8 = 2;

/// Arguments of `keyward check`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Manifest file, directory of manifests, or - for standard input. Repeatable.
    ///
    /// Of a directory, all .yaml, .yml and .json files in it and below are read, as with kubectl's -R, but not those in hidden directories
    /// such as .git. Links are followed.
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    rule: Rule,
    /// How findings are printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write Secrets with the inline tokens of Upstreams, and the Upstreams that refer to them, into this directory.
    #[arg(long, value_name = "DIR")]
    fix: Option<PathBuf>,
}

/// What a namespace forbids.
#[derive(clap::Args)]
struct Rule {
    /// How strict: open, protected or restricted, as the label credentials.keyward.dev/enforce of the namespace says.
    #[arg(long, value_name = "LEVEL", default_value = "protected")]
    level: Level,
    /// Namespace of the objects that name none, as kubectl's -n.
    ///
    /// Without it, nothing can be said of the secretRef.namespace of an object that names no namespace. Objects that name another one are
    /// judged as they are, where kubectl would refuse them: one call may check manifests of several namespaces.
    #[arg(short = 'n', long, value_name = "NAMESPACE", value_parser = NonEmptyStringValueParser::new())]
    namespace: Option<String>,
}

/// A violation and where it is.
struct Finding {
    place: Place,
    /// Of the file, counted from 1: the field's, or that of the field around it, if the text does not have the field itself.
    line: usize,
    kind: String,
    name: String,
    violation: Violation,
}

/// What came out.
struct Findings {
    violations: Vec<Finding>,
    unread: Vec<Unread>,
}

/// Checks, prints, and says by the exit code what came out.
pub(crate) fn run(args: &Args) -> ExitCode {
    ExitCode::from(check(args, &mut std::io::stdout().lock()).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        TROUBLE
    }))
}

fn check(args: &Args, out: &mut impl Write) -> anyhow::Result<u8> {
    let Read { documents, unread } = Read::all(&args.files);
    let findings = Findings::of(&documents, unread, &args.rule);
    out.write_all(format::text(args.format, &findings)?.as_bytes())?;
    if let Some(directory) = &args.fix {
        fix::write(directory, documents.iter().flat_map(|document| &document.items).map(|item| &item.value))?;
    }
    Ok(findings.code())
}

impl Findings {
    fn of(documents: &[Document], unread: Vec<Unread>, rule: &Rule) -> Self {
        Self { violations: documents.iter().flat_map(|document| rule.judge(document)).collect(), unread }
    }

    /// What could not be judged may hide a violation, so it counts for more than one.
    fn code(&self) -> u8 {
        match (self.unread.is_empty(), self.violations.is_empty()) {
            (false, _) => TROUBLE,
            (true, false) => VIOLATIONS,
            (true, true) => CLEAN,
        }
    }
}

impl Rule {
    fn judge(&self, document: &Document) -> Vec<Finding> {
        let violations = |item: &Item| self.violations(&item.value);
        let found: Vec<(&Item, Violation)> =
            document.items.iter().flat_map(|item| violations(item).into_iter().map(move |violation| (item, violation))).collect();
        // Most documents have nothing to show: they are read once.
        let lines = if found.is_empty() { None } else { Lines::of(&document.part.text) };
        found.into_iter().map(|(item, violation)| finding(document, lines.as_ref(), item, violation)).collect()
    }

    /// An object that no type would take is judged all the same: a token in it is a token.
    fn violations(&self, object: &Value) -> Vec<Violation> {
        let mut found = inline_credentials(&self.placed(object));
        found.retain(|violation| violation.reason.level() <= self.level);
        found
    }

    /// The object in the namespace that it would be put into, if it names none itself.
    fn placed<'o>(&self, object: &'o Value) -> Cow<'o, Value> {
        let own = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        let namespace = self.namespace.as_ref().filter(|_| own.is_empty() && Kind::of_object(object).is_some());
        let Some(namespace) = namespace else { return Cow::Borrowed(object) };
        let mut placed = object.clone();
        if let Some(fields) = placed.as_object_mut() {
            let metadata = fields.entry("metadata").or_insert(Value::Null);
            match metadata {
                Value::Object(metadata) => drop(metadata.insert("namespace".to_owned(), json!(namespace))),
                // Of another shape, no API server takes it.
                _ => *metadata = json!({ "namespace": namespace }),
            }
        }
        Cow::Owned(placed)
    }
}

fn finding(document: &Document, lines: Option<&Lines>, item: &Item, violation: Violation) -> Finding {
    let way = [item.way.as_slice(), violation.field.steps()].concat();
    let below = lines.map_or(0, |lines| lines.line(&way).saturating_sub(1));
    let text = |pointer: &str| item.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    Finding { place: document.place.clone(), line: document.part.line + below, kind, name, violation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use crds::credentials::literal::{CREDENTIAL_HEADERS, CREDENTIAL_PARAMETERS};
    use tempfile::TempDir;

    pub(super) fn inline() -> Value {
        json!({ "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": "u" },
            "spec": { "ai": { "openai": { "authToken": { "inline": "sk-canary" } } } } })
    }

    fn found(read: Read, level: Level) -> Findings {
        Findings::of(&read.documents, read.unread, &Rule { level, namespace: None })
    }

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// The exit code, and what is printed.
    fn checked(arguments: &[&str]) -> (u8, String) {
        let line = Line::try_parse_from(["check"].iter().chain(arguments)).unwrap();
        let mut out = Vec::new();
        let code = check(&line.args, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    struct Directory(TempDir);

    impl Directory {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> String {
            self.0.path().join(name).display().to_string()
        }

        fn file(&self, name: &str, text: &str) -> String {
            let path = self.0.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
            self.path(name)
        }
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
    fn the_exit_code_says_what_came_out() {
        let root = Directory::new();
        let clean = root.file("clean.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n");
        let bad = root.file("bad.yaml", &inline().to_string());
        let broken = root.file("broken.yaml", "kind: [");
        let list = root.file("list.yaml", "apiVersion: v1\nkind: List\nitems: []\n");
        let empty = root.file("empty.yaml", "# nothing\n---\n");
        let missing = root.path("missing");
        for (files, expected) in [
            (vec![&clean], CLEAN),
            (vec![&list], CLEAN),
            (vec![&bad], VIOLATIONS),
            (vec![&clean, &bad], VIOLATIONS),
            (vec![&bad, &broken], TROUBLE),
            (vec![&missing, &clean], TROUBLE),
            (vec![&empty], TROUBLE),
            (vec![&empty, &clean], CLEAN),
        ] {
            let arguments: Vec<&str> = files.iter().flat_map(|file| ["-f", file.as_str()]).collect();
            for format in ["text", "json", "sarif"] {
                let (code, text) = checked(&[arguments.as_slice(), &["--format", format]].concat());
                assert_eq!(code, expected, "{files:?}: {text}");
            }
        }
        assert_eq!(checked(&["-f", &bad, "--level", "open"]), (CLEAN, String::new()));
        assert_eq!(checked(&["-f", &missing]).1, format!("{missing}: cannot be read: No such file or directory (os error 2)\n"));
        assert!(checked(&["-f", &empty]).1.starts_with(&format!("{empty}: nothing to check")));
    }

    #[test]
    fn a_directory_is_checked_with_all_that_is_below_it_or_else_it_is_told() {
        let root = Directory::new();
        root.file(".git/bad.yaml", &inline().to_string());
        root.file("notes.txt", "none");
        let directory = root.path("");
        let (code, text) = checked(&["-f", &directory]);
        assert!(code == TROUBLE && text.starts_with(&format!("{directory}: nothing to check")), "{code} {text}");
        let bad = root.file("base/openai/bad.yml", &inline().to_string());
        let (code, text) = checked(&["-f", &directory]);
        assert!(code == VIOLATIONS && text.starts_with(&format!("{bad}:1: Upstream u: ")) && text.lines().count() == 1, "{code} {text}");
        // A link to itself: not even root can follow it.
        std::os::unix::fs::symlink("round", root.path("round")).unwrap();
        let (code, text) = checked(&["-f", &directory]);
        assert!(code == TROUBLE && text.starts_with(&format!("{}: cannot be read: ", root.path("round"))), "{code} {text}");
    }

    #[test]
    fn the_namespace_counts_for_what_names_none() {
        let upstream = |metadata: Value| {
            json!({ "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": metadata,
                "spec": { "ai": { "openai": { "authToken": { "secretRef": { "name": "s", "namespace": "others" } } } } } })
        };
        let root = Directory::new();
        let unplaced = root.file("unplaced.json", &upstream(json!({ "name": "u" })).to_string());
        let odd = root.file("odd.json", &json!({ "items": [upstream(Value::Null), upstream(json!({ "namespace": "" }))] }).to_string());
        let placed = root.file("placed.json", &upstream(json!({ "name": "u", "namespace": "others" })).to_string());
        let cases: [(&str, &[&str], usize); 6] = [
            (&unplaced, &[], 0),
            (&unplaced, &["-n", "team"], 1),
            (&unplaced, &["--namespace", "others"], 0),
            (&odd, &["-n", "team"], 2),
            (&odd, &["-n", "others"], 0),
            (&placed, &["-n", "team"], 0),
        ];
        for (file, namespace, expected) in cases {
            let (code, text) = checked(&[namespace, &["-f", file, "--level", "restricted"]].concat());
            assert_eq!((code, text.lines().count()), (if expected == 0 { CLEAN } else { VIOLATIONS }, expected), "{file}: {text}");
            assert!(text.lines().all(|line| line.contains("authToken.secretRef.namespace")), "{text}");
        }
        assert!(Line::try_parse_from(["check", "-f", "-", "-n", ""]).is_err(), "a variable that is not set");
    }

    #[test]
    fn what_is_fixed_is_put_into_no_namespace() {
        let root = Directory::new();
        let (file, fixed) = (root.file("bad.json", &inline().to_string()), root.path("fixed"));
        assert_eq!(checked(&["-f", &file, "-n", "team", "--fix", &fixed]).0, VIOLATIONS);
        let upstream = std::fs::read_to_string(root.path("fixed/upstream-u.yaml")).unwrap();
        assert!(!upstream.contains("team") && !upstream.contains("canary"), "{upstream}");
    }

    #[test]
    fn judges_as_the_namespace_would_and_takes_lists_apart() {
        for kind in ["List", "UpstreamList", "Upstream"] {
            let mut item = inline();
            if kind != "List" {
                item.as_object_mut().unwrap().remove("kind");
            }
            let count = |level| {
                let mut read = Read::default();
                read.add("f", &json!({ "apiVersion": "gloo.solo.io/v1", "kind": kind, "items": [item, {}] }).to_string());
                found(read, level).violations.len()
            };
            assert_eq!((count(Level::Open), count(Level::Protected), count(Level::Restricted)), (0, 1, 1), "{kind}");
        }
    }

    #[test]
    fn items_do_not_hide_what_an_object_says_itself() {
        let mut object = inline();
        object["items"] = json!([inline()]);
        let mut read = Read::default();
        read.add("f", &object.to_string());
        assert_eq!(found(read, Level::Protected).violations.len(), 2);
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
        let filter = |place: &str| format!("spec.rules[0].{place}.value");
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
            ("documents.yaml", 53, filter("filters[0].requestHeaderModifier.set[1]")),
            ("lists.yaml", 13, inline("openai")),
            ("lists.yaml", 20, inline("mistral")),
            ("lists.yaml", 33, filter("filters[0].requestHeaderModifier.add[1]")),
            ("lists.yaml", 52, filter("backendRefs[0].filters[0].requestHeaderModifier.set[0]")),
            ("upstream.json", 12, aws("accessKeyId")),
            ("upstream.json", 13, aws("secretAccessKey")),
        ];
        let expected = expected.map(|(file, line, field): (&str, u64, String)| (file.to_owned(), line, field));
        let findings = found(Read::all(&[files]), Level::Protected);
        assert_eq!(shown(&findings), expected);
        let listed: Vec<_> = findings.violations.iter().filter(|finding| finding.place.file.ends_with("lists.yaml")).collect();
        let named: Vec<_> = listed.iter().map(|finding| (finding.kind.as_str(), finding.name.as_str())).collect();
        assert_eq!(named, [("Upstream", "said"), ("Upstream", "inherited"), ("GRPCRoute", "grpc"), ("HTTPRoute", "nested")]);
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
