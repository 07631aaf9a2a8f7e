//! `keyward check` as a CI job runs it: it ends with 0 when all is well, 1 when a credential is where it must not be, and 2 when it cannot
//! tell; and never shows a token.

use std::path::Path;

use anyhow::{Context, ensure};
use keyward_e2e::{Checked, check, upstream};
use serde_json::{Value, json};
use tempfile::TempDir;

const KEY: &str = "sk-checked-canary";

fn inline() -> String {
    upstream("openai", &format!("{{openai: {{authToken: {{inline: {KEY}}}}}}}"))
}

/// `manifests/sub dir/bad.yaml` has a token, `clean/a.yaml` has none, and there is nothing in `empty`.
fn repository() -> anyhow::Result<TempDir> {
    let root = TempDir::new()?;
    for directory in ["manifests/sub dir", "manifests/.git", "clean", "empty"] {
        std::fs::create_dir_all(root.path().join(directory))?;
    }
    std::fs::write(root.path().join("manifests/sub dir/bad.yaml"), inline())?;
    std::fs::write(root.path().join("manifests/.git/bad.yaml"), inline())?;
    std::fs::write(root.path().join("clean/a.yaml"), upstream("openai", "{openai: {authToken: {secretRef: {name: s}}}}"))?;
    Ok(root)
}

fn checked(root: &Path, arguments: &[&str], stdin: &str) -> anyhow::Result<Checked> {
    let checked = check(root, arguments, stdin)?;
    ensure!(!checked.output.contains(KEY) && !checked.errors.contains(KEY), "a token is shown: {checked:?}");
    Ok(checked)
}

#[test]
fn ends_with_what_a_ci_job_has_to_know() -> anyhow::Result<()> {
    let (root, bad) = (repository()?, inline());
    let cases: [(&[&str], &str, i32); 14] = [
        (&["-f", "clean"], "", 0),
        (&["-f", "-", "--level", "open"], &bad, 0),
        (&["-f", "manifests"], "", 1),
        (&["-f", "."], "", 1),
        (&["-f", "-"], &bad, 1),
        (&["-f", "manifests", "--format", "json"], "", 1),
        (&["-f", "clean", "-f", "missing"], "", 2),
        (&["-f", "manifests", "-f", "missing"], "", 2),
        (&["-f", "empty"], "", 2),
        (&["-f", "-"], "", 2),
        (&["-f", "-"], "kind: [", 2),
        (&["-f", "clean", "--level", "strict"], "", 2),
        (&["-f", "clean", "-n", ""], "", 2),
        (&[], "", 2),
    ];
    let mut wrong = Vec::new();
    for (arguments, stdin, code) in cases {
        let checked = checked(root.path(), arguments, stdin)?;
        let says = !checked.output.is_empty() || !checked.errors.is_empty();
        if checked.code != Some(code) || says != (code != 0) {
            wrong.push(format!("{arguments:?} should end with {code}: {checked:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn names_the_file_from_where_it_runs() -> anyhow::Result<()> {
    let root = repository()?;
    let text = checked(root.path(), &["-f", "./manifests/"], "")?.output;
    ensure!(text.lines().count() == 1 && text.starts_with("./manifests/sub dir/bad.yaml:"), "{text}");
    let log = checked(root.path(), &["-f", "./manifests/", "--format", "sarif"], "")?.output;
    let log: Value = serde_json::from_str(&log)?;
    let results = log.pointer("/runs/0/results").and_then(Value::as_array).context("no results")?;
    ensure!(results.len() == 1, "{log:#}");
    let file = results.first().and_then(|result| result.pointer("/locations/0/physicalLocation/artifactLocation"));
    ensure!(file == Some(&json!({ "uri": "manifests/sub%20dir/bad.yaml" })), "{log:#}");
    Ok(())
}

#[test]
fn says_in_its_help_how_it_ends_and_what_it_reads() -> anyhow::Result<()> {
    let help = checked(Path::new("."), &["--help"], "")?;
    ensure!(help.code == Some(0), "{help:?}");
    let words = help.output.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in ["The exit code is 0 when", "in it and below", "hidden directories such as .git", "--namespace <NAMESPACE>"] {
        ensure!(words.contains(said), "{said:?} is not in the help: {words}");
    }
    Ok(())
}
