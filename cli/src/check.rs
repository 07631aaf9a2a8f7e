//! `keyward check`: the webhook's verdict on files, for a pull request. It prints fields and reasons, never values; only `--fix` writes a
//! token, into a Secret's manifest of its own.

mod fix;
mod format;

use std::path::PathBuf;
use std::process::ExitCode;

use crds::credentials::{Level, Violation, inline_credentials};
use serde_json::Value;

use crate::document::{self, Mistake, mistake};
use crate::files::{self, Place};

use format::Format;

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
    let (objects, unread) = read(&args.files);
    let violations = objects.iter().flat_map(|(place, object)| judge(place, object, args.level)).collect();
    let findings = Findings { violations, unread };
    format::print(args.format, &findings)?;
    if let Some(directory) = &args.fix {
        fix::write(directory, objects.iter().map(|(_, object)| object))?;
    }
    Ok(match (findings.unread.is_empty(), findings.violations.is_empty()) {
        (false, _) => UNREADABLE,
        (true, false) => VIOLATIONS,
        (true, true) => CLEAN,
    })
}

type Read = (Vec<(Place, Value)>, Vec<(Place, Mistake)>);

fn read(arguments: &[PathBuf]) -> Read {
    let (mut objects, mut unread) = (Vec::new(), Vec::new());
    for path in files::expanded(arguments) {
        let place = |document| Place { file: path.display().to_string(), document };
        let text = match files::text(&path) {
            Ok(text) => text,
            Err(error) => {
                unread.push((place(1), mistake("", &format!("cannot be read: {error}"))));
                continue;
            }
        };
        for (nth, text) in files::documents(&text).into_iter().enumerate() {
            match document::parse(&text) {
                Ok(document) => objects.extend(document.into_iter().flat_map(listed).map(|object| (place(nth + 1), object))),
                Err(mistake) => unread.push((place(nth + 1), mistake)),
            }
        }
    }
    (objects, unread)
}

/// The objects of a List, or the one that it is. An object that no type would take is judged all the same: a token in it is a token.
fn listed(document: Value) -> Vec<Value> {
    match (document.get("kind").and_then(Value::as_str), document.get("items").and_then(Value::as_array)) {
        (Some("List"), Some(items)) => items.clone(),
        _ => vec![document],
    }
}

fn judge(place: &Place, object: &Value, level: Level) -> Vec<Finding> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let forbidden = inline_credentials(object).into_iter().filter(|violation| violation.reason.level() <= level);
    let finding = |violation| Finding { place: place.clone(), kind: text("/kind"), name: text("/metadata/name"), violation };
    forbidden.map(finding).collect()
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

    #[test]
    fn judges_as_the_namespace_would_and_takes_lists_apart() {
        let place = Place { file: "f".to_owned(), document: 1 };
        let objects = listed(json!({ "apiVersion": "v1", "kind": "List", "items": [inline(), {}] }));
        let count = |level| objects.iter().flat_map(|object| judge(&place, object, level)).count();
        assert_eq!((count(Level::Open), count(Level::Protected), count(Level::Restricted)), (0, 1, 1));
    }

    #[test]
    fn no_format_shows_a_token() {
        let place = Place { file: "f".to_owned(), document: 1 };
        let unread = vec![(place.clone(), mistake("", "cannot be read"))];
        let findings = Findings { violations: judge(&place, &inline(), Level::Protected), unread };
        for format in [Format::Text, Format::Json, Format::Sarif] {
            let text = format::text(format, &findings).unwrap();
            assert!(text.contains("spec.ai.openai.authToken.inline") && !text.contains("canary"), "{text}");
        }
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
