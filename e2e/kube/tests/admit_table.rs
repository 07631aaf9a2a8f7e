//! The one table of cases on the real API server: as the webhook answers, and as the ValidatingAdmissionPolicy does where the webhook is
//! not asked. `crds/tests/credentials.rs` has the finder agree with the same table, `webhook/tests/reviews.rs` the webhook by itself.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use keyward_e2e_kube::{Answer, Attempt, Cluster, Excluding, Kind, Namespace, SOON, wait_until};
use serde::Deserialize;
use serde_json::{Value, json};

const LEVELS: [&str; 3] = ["open", "protected", "restricted"];
/// In every token of the table.
const CANARY: &str = "canary";
/// A test that saw only the schema's refusals would tell nothing.
const REFUSED_AT_LEAST: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    level: String,
    object: Value,
    old: Option<Value>,
    allowed: bool,
    fields: Vec<String>,
    policy: Option<bool>,
}

impl Case {
    /// An update that leaves spec and annotations alone is not looked at.
    fn is_looked_at(&self) -> bool {
        let differs = |old: &Value, pointer: &str| old.pointer(pointer) != self.object.pointer(pointer);
        self.old.as_ref().is_none_or(|old| differs(old, "/spec") || differs(old, "/metadata/annotations"))
    }
}

fn cases() -> Result<Vec<Case>> {
    serde_saphyr::from_str(include_str!("../../../crds/tests/credentials.yaml")).context("the table of cases")
}

/// Who is to refuse.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Webhook,
    Policy,
}

impl By {
    fn allows(self, case: &Case) -> bool {
        case.allowed || (self == Self::Policy && case.policy == Some(false))
    }

    fn says(self, message: &str) -> bool {
        match self {
            Self::Webhook => message.contains(".credentials.keyward.dev\" denied the request"),
            Self::Policy => message.contains("ValidatingAdmissionPolicy 'keyward-"),
        }
    }
}

/// A case in a namespace of the cluster, under a name of its own.
struct Placed<'n> {
    namespace: &'n Namespace<'n>,
    case: Case,
    kind: Kind,
    name: String,
}

impl<'n> Placed<'n> {
    /// `None` for a kind that this API server does not have.
    fn new(namespace: &'n Namespace<'n>, nth: usize, mut case: Case) -> Option<Self> {
        let kind = match case.object["kind"].as_str() {
            Some("Upstream") => Kind::UPSTREAM,
            Some("HTTPRoute") => Kind::HTTP_ROUTE,
            Some("GRPCRoute") => Kind::GRPC_ROUTE,
            _ => return None,
        };
        let name = format!("case-{nth}");
        for object in case.old.iter_mut().chain([&mut case.object]) {
            object["metadata"]["name"] = json!(name);
            move_to(object, namespace.name());
        }
        Some(Self { namespace, case, kind, name })
    }

    fn is_leaving(&self) -> bool {
        self.case.object.pointer("/metadata/deletionTimestamp").is_some()
    }

    /// Puts the old object there, while the namespace is open. One that is going away is deleted, and its finalizer keeps it.
    fn prepare(&mut self) -> Result<()> {
        let leaving = self.is_leaving();
        let Some(old) = self.case.old.as_mut() else { return Ok(()) };
        let cluster = self.namespace.cluster();
        if let Some(metadata) = old["metadata"].as_object_mut() {
            metadata.remove("deletionTimestamp");
        }
        cluster.put(self.kind, self.namespace.name(), &self.name, old).with_context(|| self.case.name.clone())?;
        if leaving {
            cluster.delete(self.kind, self.namespace.name(), &self.name)?;
        }
        Ok(())
    }

    fn answer(&self) -> Result<Answer> {
        let cluster = self.namespace.cluster();
        if self.case.old.is_none() {
            return cluster.attempt(&Attempt::create(self.kind, self.namespace.name(), &self.case.object));
        }
        // The operator writes statuses meanwhile.
        wait_until("nobody else writes", SOON, || {
            let live = self.namespace.get(self.kind, &self.name)?;
            let mut object = self.case.object.clone();
            for field in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds"] {
                object["metadata"][field] = live["metadata"][field].clone();
            }
            let answer = cluster.attempt(&Attempt::replace(self.kind, self.namespace.name(), &object))?;
            ensure!(answer.status != 409, "{}", answer.message);
            Ok(answer)
        })
    }

    /// Lets the namespace go.
    fn clean_up(&self) -> Result<()> {
        if !self.is_leaving() {
            return Ok(());
        }
        let patch = json!({ "metadata": { "finalizers": null } });
        self.namespace.cluster().patch(self.kind, self.namespace.name(), &self.name, &patch)
    }
}

/// The table's objects are in `team`, and so are the Secrets that they refer to.
fn move_to(value: &mut Value, namespace: &str) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name == "namespace" && *field == "team" {
                    *field = json!(namespace);
                } else {
                    move_to(field, namespace);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| move_to(element, namespace)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What became of a case.
#[derive(PartialEq, Eq)]
enum Outcome {
    Allowed,
    RefusedBySchema,
    RefusedByAdmission,
}

fn judge(by: By, placed: &Placed<'_>) -> Result<Outcome> {
    let (case, answer) = (&placed.case, placed.answer()?);
    ensure!(!format!("{answer:?}").contains(CANARY), "a token is in the answer: {answer:?}");
    let outcome = match answer.status {
        200 | 201 => Outcome::Allowed,
        // What the CRD's schema refuses never gets to admission.
        400 | 422 => Outcome::RefusedBySchema,
        403 if by.says(&answer.message) => Outcome::RefusedByAdmission,
        _ => bail!("{answer:?}"),
    };
    ensure!((outcome == Outcome::Allowed) == by.allows(case), "{answer:?}");
    if by == By::Webhook {
        // A refusal names what is introduced; what was there before may stand beside it.
        let refused = outcome == Outcome::RefusedByAdmission && case.old.is_none();
        let named = !refused || case.fields.iter().all(|field| answer.message.contains(field));
        let warned = outcome != Outcome::Allowed || case.fields.is_empty() || answer.warnings.is_empty() != case.is_looked_at();
        ensure!(named && warned, "{answer:?}");
    }
    Ok(outcome)
}

/// An inline token, and what no shell has expanded.
fn probe(namespace: &Namespace<'_>, token: &str) -> Result<Answer> {
    let object = json!({
        "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": "probe", "namespace": namespace.name() },
        "spec": { "ai": { "openai": { "authToken": { "inline": token } } } },
    });
    namespace.cluster().attempt(&Attempt::create(Kind::UPSTREAM, namespace.name(), &object))
}

/// Waits until the one who is to refuse knows the namespace as it is.
fn wait_for(by: By, namespace: &Namespace<'_>, level: &str) -> Result<()> {
    let token = if level == "open" { "$TOKEN" } else { "sk-probe" };
    wait_until("what is wrong is refused", SOON, || {
        let answer = probe(namespace, token)?;
        ensure!(answer.status == 403 && by.says(&answer.message), "{answer:?}");
        Ok(())
    })
}

fn check_level(by: By, namespace: &Namespace<'_>, level: &str) -> Result<(usize, Vec<String>)> {
    let cases = cases()?.into_iter().enumerate().filter(|(_, case)| case.level == level);
    let mut placed: Vec<Placed<'_>> = cases.filter_map(|(nth, case)| Placed::new(namespace, nth, case)).collect();
    ensure!(!placed.is_empty(), "no case for {level}");
    placed.iter_mut().try_for_each(Placed::prepare)?;
    let label = format!("credentials.keyward.dev/enforce={level}");
    namespace.cluster().kubectl(&["label", "namespace", namespace.name(), &label], None)?;
    wait_for(by, namespace, level)?;
    let (mut refused, mut failed) = (0, Vec::new());
    for one in &placed {
        match judge(by, one) {
            Ok(Outcome::RefusedByAdmission) => refused += 1,
            Ok(Outcome::Allowed | Outcome::RefusedBySchema) => {}
            Err(error) => failed.push(format!("{}: {error:#}", one.case.name)),
        }
    }
    placed.iter().try_for_each(Placed::clean_up)?;
    Ok((refused, failed))
}

fn check(by: By, cluster: &Cluster) -> Result<()> {
    let (mut refused, mut failed) = (0, Vec::new());
    for level in LEVELS {
        let namespace = Namespace::create(cluster, &format!("table-{level}"))?;
        if by == By::Policy {
            cluster.kubectl(&["label", "namespace", namespace.name(), &format!("{}=yes", Excluding::LABEL)], None)?;
            wait_until("the webhook is not asked", SOON, || {
                let answer = probe(&namespace, "$TOKEN")?;
                ensure!(!By::Webhook.says(&answer.message), "{answer:?}");
                Ok(())
            })?;
        }
        let (more, wrong) = check_level(by, &namespace, level)?;
        refused += more;
        failed.extend(wrong);
    }
    ensure!(failed.is_empty(), "{} cases:\n{}", failed.len(), failed.join("\n"));
    ensure!(refused >= REFUSED_AT_LEAST, "only {refused} cases came as far as admission");
    Ok(())
}

#[test]
fn the_webhook_answers_as_the_table_says() -> Result<()> {
    let cluster = Cluster::shared()?;
    check(By::Webhook, &cluster)
}

/// `config/components/admission-policy`, until this is dropped.
struct Policy<'c>(&'c Cluster);

impl<'c> Policy<'c> {
    fn apply(cluster: &'c Cluster) -> Result<Self> {
        let this = Self(cluster);
        this.kubectl("apply", &["--server-side"])?;
        Ok(this)
    }

    fn kubectl(&self, verb: &str, more: &[&str]) -> Result<()> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/components/admission-policy");
        let [policy, binding] = ["policy.yaml", "binding.yaml"].map(|file| directory.join(file).to_string_lossy().into_owned());
        let mut arguments = vec![verb, "-f", &policy, "-f", &binding];
        arguments.extend_from_slice(more);
        self.0.kubectl(&arguments, None).map(drop)
    }
}

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.kubectl("delete", &["--ignore-not-found"]) {
            eprintln!("the admission policy stays: {error:#}");
        }
    }
}

#[test]
fn the_policy_answers_as_the_table_says_where_the_webhook_is_not_asked() -> Result<()> {
    let cluster = Cluster::alone()?;
    let _excluding = Excluding::new(&cluster)?;
    let _policy = Policy::apply(&cluster)?;
    check(By::Policy, &cluster)
}

#[test]
fn the_component_is_one_of_kustomize() -> Result<()> {
    let cluster = Cluster::shared()?;
    let directory = tempfile::tempdir()?;
    // kustomize takes relative paths of directories only.
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").canonicalize()?;
    let up = "../".repeat(directory.path().canonicalize()?.components().count() - 1);
    let config = format!("{up}{}", config.to_string_lossy().trim_start_matches('/'));
    let text = format!("resources: [{config}/default]\ncomponents: [{config}/components/admission-policy]\n");
    std::fs::write(directory.path().join("kustomization.yaml"), text)?;
    let built = cluster.kubectl(&["kustomize", &directory.path().to_string_lossy()], None)?;
    for part in ["kind: ValidatingAdmissionPolicyBinding", "name: keyward-upstream-credentials", "name: keyward-webhook"] {
        ensure!(built.contains(part), "{part} is not in what kustomize builds");
    }
    Ok(())
}
