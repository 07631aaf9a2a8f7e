//! Upstreams: which provider, at which address, with which credential. Every mistake is a finding; none lets a request out without its
//! credential.

mod address;
mod credential;
mod provider;
mod text;

use std::sync::Arc;

use crds::credentials::Levels;
use crds::{AuthToken, Upstream};
use policy::Reason;
use policy::config::{Backend, Provider, Secret};

use crate::ObjectKey;
use crate::finding::{Aspect, Finding, Findings, Flaw};
use crate::index::Index;
use crate::memo::Memo;

/// On a Secret: the hosts that its token may be sent to, comma-separated, each with an optional leading `*.`.
pub const ALLOWED_HOSTS_ANNOTATION: &str = "keyward.dev/allowed-hosts";
/// On an Upstream, with the value `true`: connect without TLS. The only way to it.
pub const PLAINTEXT_ANNOTATION: &str = "keyward.dev/plaintext";

/// Of the condition `Accepted`.
const INVALID: &str = "InvalidUpstream";

/// All Upstreams, judged.
pub(crate) type Upstreams = Memo<ObjectKey, Judged>;

/// An Upstream, judged.
#[derive(Debug, PartialEq)]
pub(crate) struct Judged {
    pub(crate) generation: Option<i64>,
    /// Whether it is for us to judge: Gloo's other types are Gloo's, and only a route that leads to one says that it is not served.
    pub(crate) is_ai: bool,
    /// What rules refer to, or why their requests are refused.
    pub(crate) backend: Result<Arc<Backend>, Reason>,
    /// The token it uses, by resource name.
    pub(crate) secret: Option<(String, Arc<Secret>)>,
    pub(crate) findings: Findings,
}

impl Judged {
    /// What a route that refers to it has to say: reason and message.
    pub(crate) fn trouble(&self) -> Option<(&'static str, &str)> {
        let finding = self.findings.first(Aspect::Accepted).or_else(|| self.findings.first(Aspect::ResolvedRefs))?;
        let reason = if self.backend.is_ok() { "InvalidCredential" } else { finding.reason };
        Some((reason, &finding.message))
    }

    /// Whether routes that refer to it are to be judged as before: a new token is no news to them.
    pub(crate) fn is_same_to_routes(&self, other: &Self) -> bool {
        self.trouble() == other.trouble() && self.backend.as_ref().err() == other.backend.as_ref().err()
    }
}

/// The levels are those of its namespace.
pub(crate) fn judge(index: &Index<'_>, upstream: &Upstream, levels: Levels) -> Judged {
    let mut findings = Findings::default();
    findings.extend(not_understood(upstream));
    let draft = kind_of_provider(upstream).and_then(provider::draft);
    let (backend, secret) = match draft.and_then(|draft| finish(index, (upstream, levels), draft, &mut findings)) {
        Ok((provider, secret)) => (Ok(Arc::new(Backend::Provider(provider))), secret),
        Err(refused) => {
            findings.push(refused.finding);
            (Err(refused.with), None)
        }
    };
    Judged { generation: upstream.metadata.generation, is_ai: upstream.spec.is_ai(), backend, secret, findings }
}

/// An Upstream that cannot be served.
struct Refused {
    finding: Finding,
    with: Reason,
}

impl Refused {
    fn new(with: Reason, field: &str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { finding: Finding::accepted(field, reason, message), with }
    }

    fn invalid(flaw: Flaw) -> Self {
        Self::new(Reason::InvalidUpstream, &format!("spec.ai{}", flaw.below), INVALID, flaw.message)
    }
}

/// The one provider, if there is one.
fn kind_of_provider(upstream: &Upstream) -> Result<crds::Provider<'_>, Refused> {
    match (&upstream.spec.ai, upstream.spec.other_type()) {
        (None, Some(other)) => {
            let message = format!(
                "Upstream type {other} is preserved, but not understood: only spec.ai is served; for a workload in the cluster let the \
                 route refer to its Service"
            );
            Err(Refused::new(Reason::InvalidUpstream, &format!("spec.{other}"), "UnsupportedUpstreamType", message))
        }
        (None, None) => {
            let message = match upstream.spec.misplaced_provider() {
                Some(provider) => format!("spec.ai is missing: move {provider} from spec to spec.ai"),
                None => "spec.ai is missing: name an AI provider there".to_owned(),
            };
            Err(Refused::new(Reason::InvalidUpstream, "spec.ai", INVALID, message))
        }
        (Some(_), Some(other)) => {
            let message = format!("spec.ai and spec.{other} are set together: keep one and give the other an Upstream of its own");
            Err(Refused::new(Reason::InvalidUpstream, &format!("spec.{other}"), INVALID, message))
        }
        (Some(ai), None) => ai.provider().map_err(|error| Refused::new(Reason::InvalidUpstream, "spec.ai", INVALID, error.to_string())),
    }
}

type Finished = (Provider, Option<(String, Arc<Secret>)>);

/// From a draft to a provider: its address, its paths, its credential.
fn finish(
    index: &Index<'_>,
    (upstream, levels): (&Upstream, Levels),
    draft: provider::Draft<'_>,
    findings: &mut Findings,
) -> Result<Finished, Refused> {
    let below = |flaw: Flaw| Refused::invalid(flaw.under(&format!(".{}", draft.field)));
    let tls = !is_plaintext(upstream, findings);
    let address = address::of(draft.host.as_deref(), draft.custom_host, tls).map_err(below)?;
    let paths = address::overridden(draft.paths, draft.custom_host).map_err(below)?;
    let field = format!("spec.ai.{}.authToken", draft.field);
    let none = AuthToken::default();
    let source = draft.auth_token.unwrap_or(&none).source();
    let source = source.map_err(|error| Refused::new(Reason::InvalidUpstream, &field, INVALID, error.to_string()))?;
    let key = ObjectKey::of(&upstream.metadata);
    let place = credential::Place { upstream: &key, field: &field, hosts: [&address.host, &address.hostname], levels };
    let resolved = credential::resolve(index, source, place);
    findings.extend(resolved.findings);
    findings.extend(draft.warnings);
    let provider = Provider {
        kind: draft.kind,
        host: address.host,
        port: address.port,
        hostname: address.hostname,
        tls,
        credential: resolved.credential,
        paths,
        model: draft.model,
        version: draft.version,
    };
    Ok((provider, resolved.secret.map(|(name, secret)| (name, Arc::new(secret)))))
}

fn is_plaintext(upstream: &Upstream, findings: &mut Findings) -> bool {
    let annotations = upstream.metadata.annotations.as_ref();
    let opted_out = annotations.and_then(|all| all.get(PLAINTEXT_ANNOTATION)).is_some_and(|value| value == "true");
    if opted_out {
        let message =
            format!("annotation {PLAINTEXT_ANNOTATION}: the credential travels without encryption; remove it unless the host is local");
        findings.push(Finding::warning(format!("metadata.annotations[{PLAINTEXT_ANNOTATION}]"), "Plaintext", message));
    }
    opted_out
}

/// The other fields of a Gloo Upstream, by name: their values may hold credentials.
fn not_understood(upstream: &Upstream) -> Option<Finding> {
    let known = upstream.spec.other_type();
    let names: Vec<&str> = upstream.spec.other.keys().map(String::as_str).filter(|name| Some(*name) != known).collect();
    let fields = names.join(", ");
    let message = || format!("these fields are preserved, but not understood and without effect: {fields}");
    (!names.is_empty()).then(|| Finding::warning("spec", "UnsupportedField", message()))
}
