//! The Gloo AI Gateway auth guide on a real cluster, with its own manifests and its own commands. The name api.openai.com leads to the
//! mock provider by the cluster's DNS; no manifest knows of that.

use anyhow::{Context, Result, ensure};
use keyward_e2e::{Curled, GUIDE_BODY, curl};
use keyward_e2e_kube::{Cluster, HostName, Kind, Namespace, POD, Provider, SOON, wait_until};

const NAMESPACE: &str = "gloo-system";
const GATEWAY: &str = include_str!("../guide/gateway.yaml");
const INLINE: &str = include_str!("../guide/upstream-inline.yaml");
const SECRET: &str = include_str!("../guide/secret.yaml");
const BY_SECRET: &str = include_str!("../guide/upstream-secret.yaml");
const PASSTHROUGH: &str = include_str!("../guide/upstream-passthrough.yaml");
const ROUTE: &str = include_str!("../guide/httproute.yaml");
const CLEANUP: &str = include_str!("../guide/cleanup.txt");

/// What runs for the Gateway: its kind and the name of it all.
const INFRA: &str = "ai-gateway-keyward";
const INFRA_KINDS: [Kind; 5] = [Kind::DEPLOYMENT, Kind::SERVICE, Kind::SERVICE_ACCOUNT, Kind::CONFIG_MAP, Kind::POD_DISRUPTION_BUDGET];

/// The reader of the guide: a shell with `$TOKEN` and `$INGRESS_GW_ADDRESS` in it.
struct Reader<'c> {
    namespace: Namespace<'c>,
    provider: Provider,
    address: String,
}

impl Reader<'_> {
    /// `kubectl apply -f- <<EOF`, whose `$TOKEN` the shell expands.
    fn apply(&self, heredoc: &str, token: &str) -> Result<String> {
        self.namespace.cluster().apply(&heredoc.replace("$TOKEN", token))
    }

    /// `curl "$INGRESS_GW_ADDRESS:8080/openai" -H content-type:application/json -d '{...}'`, once the route leads there.
    fn curl(&self, more: &[&str]) -> Result<Curled> {
        let url = format!("{}:8080/openai", self.address);
        let mut arguments = vec![url.as_str(), "-H", "content-type:application/json", "-d", GUIDE_BODY];
        arguments.extend_from_slice(more);
        wait_until("the guide's request is answered", SOON, || {
            self.provider.forget()?;
            let answer = curl(&arguments)?;
            ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
            Ok(answer)
        })
    }

    /// What the guide shows as its output, and what the provider must have got for it.
    fn assert_outcome(&self, answer: &Curled, token: &str) -> Result<()> {
        let completion = answer.json()?;
        assert_eq!(completion["object"], "chat.completion");
        let poem = completion.pointer("/choices/0/message/content").and_then(|poem| poem.as_str()).context("no poem")?;
        assert!(poem.contains("recursion"), "{poem}");
        let request = self.provider.only_request()?;
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/v1/chat/completions"));
        assert_eq!(request.authority, "api.openai.com");
        assert_eq!(request.header_values("authorization"), [format!("Bearer {token}")]);
        assert!(["x-api-key", "api-key", "x-goog-api-key"].iter().all(|name| request.header_values(name).is_empty()));
        Ok(())
    }

    /// The guide's cleanup section. It deletes the Secret whether or not the section before made one.
    fn clean_up(&self) -> Result<()> {
        for command in CLEANUP.lines() {
            let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
            let done = self.namespace.cluster().kubectl(&arguments, None);
            ensure!(done.is_ok() || arguments.contains(&"secret"), "{command}: {done:?}");
        }
        for (kind, name) in [(Kind::SECRET, "openai-secret"), (Kind::UPSTREAM, "openai"), (Kind::HTTP_ROUTE, "openai")] {
            self.namespace.cluster().gone(kind, NAMESPACE, name, SOON)?;
        }
        Ok(())
    }
}

/// "Inline token".
fn inline(reader: &Reader<'_>) -> Result<()> {
    let token = "sk-guide-inline";
    reader.apply(INLINE, token)?;
    reader.apply(ROUTE, token)?;
    let answer = reader.curl(&[])?;
    reader.assert_outcome(&answer, token)?;
    reader.clean_up()
}

/// "API key in a secret".
fn secret(reader: &Reader<'_>) -> Result<()> {
    let token = "sk-guide-secret";
    reader.apply(SECRET, token)?;
    reader.apply(BY_SECRET, token)?;
    reader.apply(ROUTE, token)?;
    let answer = reader.curl(&[])?;
    reader.assert_outcome(&answer, token)?;
    reader.clean_up()
}

/// "Passthrough token".
fn passthrough(reader: &Reader<'_>) -> Result<()> {
    let token = "sk-guide-passthrough";
    reader.apply(PASSTHROUGH, token)?;
    reader.apply(ROUTE, token)?;
    let answer = reader.curl(&["-H", &format!("Authorization: Bearer {token}")])?;
    reader.assert_outcome(&answer, token)?;
    reader.clean_up()
}

/// Without the guide's resources the Gateway knows no `/openai`; without the Gateway nothing of it runs.
fn nothing_is_left(reader: &Reader<'_>) -> Result<()> {
    let cluster = reader.namespace.cluster();
    let url = format!("{}:8080/openai", reader.address);
    wait_until("the route is gone", SOON, || {
        let answer = curl(&[&url, "-d", GUIDE_BODY])?;
        ensure!(answer.status == 404, "{}", answer.status);
        Ok(())
    })?;
    for kind in INFRA_KINDS {
        cluster.get(kind, NAMESPACE, INFRA).context("it should run until its Gateway is gone")?;
    }
    cluster.kubectl(&["delete", "gateway", "-n", NAMESPACE, "ai-gateway"], None)?;
    for kind in INFRA_KINDS {
        cluster.gone(kind, NAMESPACE, INFRA, POD)?;
    }
    let leftovers = || {
        let pods = cluster.list(Kind::POD, NAMESPACE, "gateway.networking.k8s.io/gateway-name=ai-gateway")?;
        ensure!(pods.is_empty(), "{} pods", pods.len());
        Ok(())
    };
    wait_until("the proxies are gone", POD, leftovers)
}

#[test]
fn serves_the_guide_from_its_first_section_to_its_cleanup_and_leaves_nothing_behind() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::named(&cluster, NAMESPACE)?;
    let provider = Provider::start(&namespace, &["sk-guide-inline", "sk-guide-secret", "sk-guide-passthrough"])?;
    let _openai = HostName::new(&cluster, "api.openai.com", provider.address())?;
    cluster.apply(GATEWAY)?;
    let address = cluster.gateway_address(NAMESPACE, "ai-gateway")?.to_string();
    let reader = Reader { namespace, provider, address };
    inline(&reader)?;
    secret(&reader)?;
    passthrough(&reader)?;
    nothing_is_left(&reader)
}

#[test]
fn says_so_when_no_shell_expanded_the_guides_token() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "unexpanded")?;
    let manifest = INLINE.replace("  namespace: gloo-system\n", "");
    let said = cluster.run_program("kubectl", &["apply", "-n", namespace.name(), "-f-"], Some(&manifest))?;
    ensure!(!said.succeeded && said.errors.contains("a variable that no shell has expanded"), "{said:?}");
    Ok(())
}
