//! The guide's inline token in a protected namespace: refused, with commands that put it right when they are pasted into a shell.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use keyward_e2e_kube::{Cluster, Kind, Namespace, SOON, wait_until};
use serde_json::json;
use tempfile::TempDir;

const INLINE: &str = include_str!("../guide/upstream-inline.yaml");
/// In every token.
const MARK: &str = "sk-guide";
const TOKEN: &str = "sk-guide-protected";
const ENFORCE: &str = "credentials.keyward.dev/enforce=protected";
const POOL: &str = "/spec/ai/multi/priorities/0/pool";

fn protected<'c>(cluster: &'c Cluster, prefix: &str) -> Result<Namespace<'c>> {
    let namespace = Namespace::create(cluster, prefix)?;
    cluster.kubectl(&["label", "namespace", namespace.name(), ENFORCE], None)?;
    Ok(namespace)
}

/// The guide's manifest, with this token.
fn guide(token: &str) -> String {
    INLINE.replace("  namespace: gloo-system\n", "").replace("inline: \"$TOKEN\"", token)
}

/// Two keys of one provider.
fn pool(first: &str, second: &str) -> String {
    let entry = |token: &str, model: &str| format!("{{openai: {{authToken: {token}, model: {model}}}}}");
    upstream(&format!("{{multi: {{priorities: [{{pool: [{}, {}]}}]}}}}", entry(first, "gpt-4o"), entry(second, "gpt-4o-mini")))
}

fn upstream(ai: &str) -> String {
    with_spec(&format!("{{ai: {ai}}}"))
}

fn with_spec(spec: &str) -> String {
    format!("apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: openai}}\nspec: {spec}\n")
}

/// A manifest in a file, as a user has it.
struct Manifest {
    file: PathBuf,
    _directory: TempDir,
}

impl Manifest {
    fn write(text: &str) -> Result<Self> {
        let directory = TempDir::new()?;
        let file = directory.path().join("upstream.yaml");
        std::fs::write(&file, text)?;
        Ok(Self { file, _directory: directory })
    }

    /// Gives what `kubectl` says to a refusal.
    fn refused(&self, namespace: &Namespace<'_>) -> Result<String> {
        let file = self.file.to_string_lossy();
        let said = namespace.cluster().run_program("kubectl", &["apply", "-n", namespace.name(), "-f", &file], None)?;
        ensure!(!said.succeeded, "a protected namespace takes an inline token");
        Ok(said.errors)
    }

    /// A command with this file.
    fn fill_in(&self, command: &str) -> String {
        command.replace("FILE", &self.file.to_string_lossy())
    }
}

/// The commands of a refusal: lines that are indented as commands are.
fn commands(refusal: &str) -> Vec<&str> {
    let lines = refusal.lines().filter_map(|line| line.strip_prefix("  "));
    lines.filter(|line| line.starts_with("kubectl ") || line.starts_with('(')).collect()
}

/// Runs a command as a person does who pastes it, and then enters the token where it asks.
fn paste(cluster: &Cluster, command: &str, entered: Option<&str>) -> Result<()> {
    let said = cluster.run_program("bash", &["-c", command], entered)?;
    ensure!(said.succeeded, "{command}: {}", said.errors);
    ensure!(!format!("{said:?}").contains(MARK), "{command} shows a token");
    Ok(())
}

/// The Upstream refers to the Secret, which has these texts, and has no token itself, nor has its copy.
fn assert_moved(namespace: &Namespace<'_>, place: &str, secret: &str, texts: &[(&str, &str)]) -> Result<()> {
    let upstream = namespace.get(Kind::UPSTREAM, "openai")?;
    assert_eq!(upstream.pointer(place), Some(&json!({ "secretRef": { "name": secret } })));
    assert!(!upstream.to_string().contains(MARK), "a token is in the Upstream still");
    for (key, text) in texts {
        let template = format!("go-template={{{{.data.{key} | base64decode}}}}");
        let found = namespace.cluster().kubectl(&["get", "secret", secret, "-n", namespace.name(), "-o", &template], None)?;
        assert_eq!(found, *text, "{key} of {secret}");
    }
    Ok(())
}

#[test]
fn the_commands_of_a_refusal_put_it_right_when_they_are_pasted() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = protected(&cluster, "guide")?;
    let manifest = Manifest::write(&guide(&format!("inline: {TOKEN}")))?;
    let refused = manifest.refused(&namespace)?;
    ensure!(refused.contains("spec.ai.openai.authToken.inline: a token in the manifest; use secretRef"), "{refused}");
    ensure!(refused.contains("rotate it") && !refused.contains(MARK), "{refused}");
    ensure!(cluster.find(Kind::UPSTREAM, namespace.name(), "openai")?.is_none(), "it is there all the same");

    let commands = commands(&refused);
    let [create, patch] = commands.as_slice() else { anyhow::bail!("other commands than two: {refused}") };
    paste(&cluster, create, Some(&format!("{TOKEN}\n")))?;
    paste(&cluster, &manifest.fill_in(patch), None)?;
    assert_moved(&namespace, "/spec/ai/openai/authToken", "openai-openai", &[("Authorization", TOKEN)])
}

/// An Upstream that refers to a Secret already is patched where it is.
#[test]
fn an_upstream_that_lives_is_told_how_to_stay_right() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = protected(&cluster, "lives")?;
    namespace.apply(&guide("secretRef: {name: before}"))?;
    let refused = Manifest::write(&guide(&format!("inline: {TOKEN}")))?.refused(&namespace)?;
    let commands = commands(&refused);
    let [create, patch] = commands.as_slice() else { anyhow::bail!("other commands than two: {refused}") };
    ensure!(patch.starts_with("kubectl patch upstream openai"), "{patch}");
    paste(&cluster, create, Some(&format!("{TOKEN}\n")))?;
    paste(&cluster, patch, None)?;
    assert_moved(&namespace, "/spec/ai/openai/authToken", "openai-openai", &[("Authorization", TOKEN)])
}

/// The tokens of a pool, refused together, and moved by commands each of which is taken as it is.
fn move_a_pool(namespace: &Namespace<'_>, lives: bool) -> Result<()> {
    let (first, second) = ("sk-guide-first", "sk-guide-second");
    let manifest = Manifest::write(&pool(&format!("{{inline: {first}}}"), &format!("{{inline: {second}}}")))?;
    let refused = manifest.refused(namespace)?;
    let commands = commands(&refused);
    let [one, two, patch] = commands.as_slice() else { anyhow::bail!("other commands than three: {refused}") };
    ensure!(patch.starts_with("kubectl patch upstream openai") == lives, "{patch}");
    // Of an object that is there, kubectl itself shows what it would have changed.
    ensure!(lives || !refused.contains(MARK), "{refused}");
    paste(namespace.cluster(), one, Some(&format!("{first}\n")))?;
    paste(namespace.cluster(), two, Some(&format!("{second}\n")))?;
    paste(namespace.cluster(), &manifest.fill_in(patch), None)?;
    assert_moved(namespace, &format!("{POOL}/0/openai/authToken"), "openai-openai-0-0", &[("Authorization", first)])?;
    assert_moved(namespace, &format!("{POOL}/1/openai/authToken"), "openai-openai-0-1", &[("Authorization", second)])
}

#[test]
fn both_tokens_of_a_pool_are_moved_by_the_commands_of_one_refusal() -> Result<()> {
    let cluster = Cluster::shared()?;
    move_a_pool(&protected(&cluster, "pool")?, false)
}

#[test]
fn both_tokens_of_a_pool_that_lives_are_moved_by_the_commands_of_one_refusal() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = protected(&cluster, "pool-lives")?;
    namespace.apply(&pool("{secretRef: {name: before}}", "{secretRef: {name: before-too}}"))?;
    move_a_pool(&namespace, true)
}

/// Keys are entered by name, a line each.
#[test]
fn the_keys_of_bedrock_are_moved_by_the_commands_of_a_refusal() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = protected(&cluster, "bedrock")?;
    let texts =
        [("AWS_ACCESS_KEY_ID", "sk-guide-id"), ("AWS_SECRET_ACCESS_KEY", "sk-guide-key/+="), ("AWS_SESSION_TOKEN", "sk-guide-session")];
    let inline = "{accessKeyId: sk-guide-id, secretAccessKey: sk-guide-key/+=, sessionToken: sk-guide-session}";
    let manifest = Manifest::write(&upstream(&format!("{{bedrock: {{region: us-east-1, credentialProvider: {{inline: {inline}}}}}}}")))?;
    let refused = manifest.refused(&namespace)?;
    let commands = commands(&refused);
    let [create, patch] = commands.as_slice() else { anyhow::bail!("other commands than two: {refused}") };
    ensure!(!refused.contains(MARK), "{refused}");
    let entered: String = texts.iter().map(|(key, text)| format!("{key}={text}\n")).collect();
    paste(&cluster, create, Some(&entered))?;
    paste(&cluster, &manifest.fill_in(patch), None)?;
    assert_moved(&namespace, "/spec/ai/bedrock/credentialProvider", "openai-bedrock", &texts)
}

/// Its author left out `ai`: then the provider goes where it is read, and has its token in a Secret.
#[test]
fn a_misplaced_provider_is_moved_by_the_commands_of_a_refusal() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = protected(&cluster, "misplaced")?;
    let manifest = Manifest::write(&with_spec(&format!("{{openai: {{authToken: {{inline: {TOKEN}}}, model: gpt-4o}}}}")))?;
    let refused = manifest.refused(&namespace)?;
    let commands = commands(&refused);
    let [create, patch] = commands.as_slice() else { anyhow::bail!("other commands than two: {refused}") };
    paste(&cluster, create, Some(&format!("{TOKEN}\n")))?;
    paste(&cluster, &manifest.fill_in(patch), None)?;
    assert_moved(&namespace, "/spec/ai/openai/authToken", "openai-spec-openai", &[("Authorization", TOKEN)])?;
    let upstream = namespace.get(Kind::UPSTREAM, "openai")?;
    assert_eq!((&upstream["spec"]["ai"]["openai"]["model"], &upstream["spec"]["openai"]), (&json!("gpt-4o"), &json!(null)));
    Ok(())
}

/// Nothing of the guide but the inline token is held up.
#[test]
fn the_guides_secret_section_passes_in_a_protected_namespace() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = protected(&cluster, "secretref")?;
    let local = |manifest: &str| manifest.replace("gloo-system", namespace.name()).replace("$TOKEN", TOKEN);
    cluster.apply(&local(include_str!("../guide/secret.yaml")))?;
    cluster.apply(&local(include_str!("../guide/upstream-secret.yaml")))?;
    cluster.apply(&local(include_str!("../guide/upstream-passthrough.yaml")).replace("name: openai", "name: through"))?;
    wait_until("both are there", SOON, || {
        for name in ["openai", "through"] {
            namespace.get(Kind::UPSTREAM, name).context("refused")?;
        }
        Ok(())
    })
}
