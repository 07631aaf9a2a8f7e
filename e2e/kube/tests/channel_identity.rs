//! Who may read what on the config channel.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use keyward_e2e_kube::manifests::{gateway_with, route, secret, upstream};
use keyward_e2e_kube::{AUDIENCE, Channel, Cluster, Kind, Namespace, SOON, expired, is_ours, resources, wait_until};
use tonic::{Code, Status};

/// Two Gateways in one namespace, each with a route, an Upstream and a Secret of its own.
fn two_gateways(namespace: &Namespace<'_>) -> Result<()> {
    let one = |name: &str| {
        let listeners = "[{name: http, protocol: HTTP, port: 8080}]";
        let token = format!("{{secretRef: {{name: {name}}}}}");
        [gateway_with(name, listeners, None), upstream(name, &token, ""), secret(name, &format!("sk-of-{name}")), route(name, name, name)]
            .concat()
    };
    namespace.apply(&[one("alpha"), one("beta")].concat())?;
    for name in ["alpha", "beta"] {
        namespace.address(name)?;
        wait_until("the route is accepted", SOON, || {
            let route = namespace.get(Kind::HTTP_ROUTE, name)?;
            keyward_e2e_kube::says(&route["status"]["parents"][0], "ResolvedRefs", "True", "ResolvedRefs")
        })?;
    }
    Ok(())
}

/// A pod that nobody runs: enough for a token to be bound to.
fn idle_pod(namespace: &Namespace<'_>, name: &str, account: &str) -> Result<()> {
    let manifest = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec: {{serviceAccountName: {account}, schedulerName: nobody, automountServiceAccountToken: false, containers: [{{name: idle, image: idle}}]}}
"
    );
    namespace.apply(&manifest).map(drop)
}

/// The token of a Gateway's proxy.
fn proxys_token(namespace: &Namespace<'_>, gateway: &str, audience: &str) -> Result<String> {
    let pod = namespace.proxies(gateway, 1)?.remove(0).name;
    namespace.cluster().token(namespace, &format!("{gateway}-keyward"), audience, Some(&pod))
}

/// Everything that the proxy of a Gateway gets.
fn configuration(namespace: &Namespace<'_>, gateway: &str) -> Result<BTreeMap<String, String>> {
    let token = proxys_token(namespace, gateway, AUDIENCE)?;
    let mut channel = Channel::open(namespace, &format!("{gateway}-keyward"), Some(&token))??;
    let answer = channel.response()?;
    channel.ack(&answer)?;
    Ok(resources(&answer))
}

fn refusal(namespace: &Namespace<'_>, token: Option<&str>) -> Result<Status> {
    match Channel::open(namespace, "alpha-keyward", token)? {
        Ok(_) => anyhow::bail!("the operator takes it"),
        Err(status) => Ok(status),
    }
}

fn assert_unauthenticated(what: &str, namespace: &Namespace<'_>, token: Option<&str>) -> Result<()> {
    let status = refusal(namespace, token).with_context(|| what.to_owned())?;
    ensure!(status.code() == Code::Unauthenticated, "{what}: {status}");
    ensure!(token.is_none_or(|token| !format!("{status:?}").contains(token)), "{what}: the refusal repeats the token");
    Ok(())
}

#[test]
fn a_proxy_gets_the_configuration_of_its_own_gateway_and_nothing_else() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "own")?;
    two_gateways(&namespace)?;
    for (own, other) in [("alpha", "beta"), ("beta", "alpha")] {
        let found = wait_until("the configuration is whole", SOON, || {
            let found = configuration(&namespace, own)?;
            ensure!(found.values().any(|text| text.contains(&format!("sk-of-{own}"))), "{:?}", found.keys());
            Ok(found)
        })?;
        assert!(found.keys().any(|name| name.starts_with("rule/")), "{:?}", found.keys());
        for (name, text) in found {
            assert!(!name.contains(other) && !text.contains(other), "{own}'s token gets {name}");
        }
    }
    Ok(())
}

#[test]
fn no_other_token_gets_anything() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "tokens")?;
    two_gateways(&namespace)?;
    assert_unauthenticated("no token", &namespace, None)?;
    assert_unauthenticated("no token at all", &namespace, Some("nonsense"))?;
    let elsewhere = proxys_token(&namespace, "alpha", "https://example.com")?;
    assert_unauthenticated("a token of another audience", &namespace, Some(&elsewhere))?;
    let unbound = cluster.token(&namespace, "alpha-keyward", AUDIENCE, None)?;
    assert_unauthenticated("a token that is bound to no pod", &namespace, Some(&unbound))?;
    let good = proxys_token(&namespace, "alpha", AUDIENCE)?;
    let (signed, _) = good.rsplit_once('.').context("not a token")?;
    assert_unauthenticated("a token with another signature", &namespace, Some(&format!("{signed}.AAAA")))?;
    match is_ours() {
        true => assert_unauthenticated("an expired token", &namespace, Some(&expired(&good)?))?,
        false => eprintln!("an expired token cannot be had from a cluster whose signing key is elsewhere"),
    }
    idle_pod(&namespace, "stranger", "default")?;
    let stranger = cluster.token(&namespace, "default", AUDIENCE, Some("stranger"))?;
    let status = refusal(&namespace, Some(&stranger)).context("an account that is no Gateway's")?;
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    idle_pod(&namespace, "no-proxy", "alpha-keyward")?;
    let no_proxy = cluster.token(&namespace, "alpha-keyward", AUDIENCE, Some("no-proxy"))?;
    let status = refusal(&namespace, Some(&no_proxy)).context("a pod that is no proxy")?;
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    Ok(())
}

#[test]
fn a_stream_and_its_token_end_with_the_pod_that_they_are_of() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "bound")?;
    two_gateways(&namespace)?;
    let pod = namespace.proxies("alpha", 1)?.remove(0).name;
    let token = cluster.token(&namespace, "alpha-keyward", AUDIENCE, Some(&pod))?;
    let mut channel = Channel::open(&namespace, "alpha-keyward", Some(&token))??;
    let answer = channel.response()?;
    channel.ack(&answer)?;
    cluster.kubectl(&["delete", "pod", "-n", namespace.name(), &pod, "--grace-period=1"], None)?;
    let status = channel.end(SOON)?;
    ensure!(status.code() == Code::Unauthenticated && status.message().contains("pod is gone"), "{status}");
    wait_until("the token is refused", SOON, || assert_unauthenticated("a token of a deleted pod", &namespace, Some(&token)))
}
