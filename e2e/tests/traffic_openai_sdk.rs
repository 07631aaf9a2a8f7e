//! The official `openai` package for Python as the client: `python/client.py` tells what it expects, scenario by scenario.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use keyward_e2e::{Provider, Setup, beside_target, gateway, route_with, secret, upstream};

const KEY: &str = "sk-sdk-tests";

/// Routes below `/NAME`, which is taken off the path.
fn below(name: &str, upstream: &str) -> String {
    let rule = format!(
        "{{matches: [{{path: {{type: PathPrefix, value: /{name}}}}}], \
         filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: /}}}}}}], \
         backendRefs: [{{name: {upstream}, group: gloo.solo.io, kind: Upstream}}]}}"
    );
    route_with(name, &rule)
}

fn manifests() -> String {
    [
        gateway(&[8080]),
        upstream("inline", &format!("{{openai: {{authToken: {{inline: {KEY}}}}}}}")),
        below("inline", "inline"),
        upstream("secret", "{openai: {authToken: {secretRef: {name: openai-secret}}}}"),
        secret("openai-secret", &format!("Bearer {KEY}")),
        below("secret", "secret"),
        upstream("passthrough", "{openai: {authToken: {passthrough: {}}}}"),
        below("passthrough", "passthrough"),
        upstream("wrong-key", "{openai: {authToken: {inline: sk-nobody-knows}}}"),
        below("wrong-key", "wrong-key"),
        upstream("missing", "{openai: {authToken: {secretRef: {name: no-such-secret}}}}"),
        below("missing", "missing"),
    ]
    .concat()
}

/// `KEYWARD_PYTHON`, or the virtual environment that `just` makes in the target directory.
fn python() -> anyhow::Result<PathBuf> {
    match std::env::var_os("KEYWARD_PYTHON") {
        Some(path) => Ok(path.into()),
        None => beside_target("e2e-venv/bin/python").context("no Python with the openai package: see e2e/python/requirements.txt"),
    }
}

#[test]
fn serves_the_official_python_client() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = Setup::new().manifest("all.yaml", &manifests()).provider(&provider).start()?;
    let output = Command::new(python()?)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/client.py"))
        .args(["--root", &gateway.url(""), "--journal", &provider.journal_url(), "--key", KEY])
        .env("NO_PROXY", "*")
        .output()?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{stdout}{stderr}");
    assert!(output.status.success(), "{stdout}{stderr}");
    // As many as client.py has, so that an empty run is no success.
    assert_eq!(stdout.lines().filter(|line| line.starts_with("ok ")).count(), 13, "{stdout}");
    Ok(())
}
