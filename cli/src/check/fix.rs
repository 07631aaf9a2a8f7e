//! `--fix`: inline tokens of Upstreams into Secrets. The one place that writes a token, and it writes it for its owner's eyes only. Input
//! files stay as they are, and so does whatever is in the directory already.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use crds::credentials::Kind;
use crds::credentials::remedy::{self, Moved};
use serde_json::Value;

/// Writes `secret-NAME.yaml` and `upstream-NAME.yaml` for every Upstream with inline tokens.
pub(crate) fn write<'o>(directory: &Path, objects: impl Iterator<Item = &'o Value>) -> anyhow::Result<()> {
    let upstreams = objects.filter(|object| Kind::of_object(object) == Some(Kind::Upstream));
    let moved: Vec<Moved> = upstreams.filter_map(remedy::moved).collect();
    if moved.is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    for Moved { upstream, secrets } in &moved {
        secrets.iter().try_for_each(|secret| put(directory, "secret", secret))?;
        put(directory, "upstream", upstream)?;
    }
    let notice = "the Secrets hold your tokens: apply them, do not commit them, and rotate the tokens, for they were in a manifest";
    writeln!(std::io::stderr(), "{}: {notice}", directory.display())?;
    Ok(())
}

fn put(directory: &Path, kind: &str, object: &Value) -> anyhow::Result<()> {
    let part = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    let names = [kind, part("namespace"), part("name")].into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join("-");
    let sound = names.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    anyhow::ensure!(sound, "an Upstream's name or namespace is none that Kubernetes takes, so no file is named after it");
    let path = directory.join(format!("{names}.yaml"));
    let text = serde_saphyr::to_string(object).ok().with_context(|| format!("{} as YAML", path.display()))?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn writes_a_secret_for_its_owner_only_and_an_upstream_without_the_token() {
        let directory = std::env::temp_dir().join(format!("keyward-fix-{}", std::process::id()));
        let upstream = json!({ "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": "u", "namespace": "n" },
            "spec": { "ai": { "openai": { "authToken": { "inline": "sk-canary" } } } } });
        write(&directory, [&upstream].into_iter()).unwrap();
        let secret = directory.join("secret-n-u-openai.yaml");
        assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(std::fs::read_to_string(&secret).unwrap().contains("sk-canary"));
        let fixed = std::fs::read_to_string(directory.join("upstream-n-u.yaml")).unwrap();
        assert!(fixed.contains("u-openai") && !fixed.contains("canary"), "{fixed}");
        assert!(write(&directory, [&upstream].into_iter()).is_err(), "what is there is not overwritten");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
