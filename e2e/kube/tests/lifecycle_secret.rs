//! A Secret is rotated while clients are at work.

use anyhow::{Context, Result, ensure};
use keyward_e2e::Request;
use keyward_e2e_kube::manifests::{gateway, route, secret, upstream};
use keyward_e2e_kube::{Cluster, Namespace, Provider, SOON, Traffic, is_served, wait_until};
use mock_llm::Entry;

const BEFORE: &str = "sk-before-rotation";
const AFTER: &str = "sk-after-rotation";
const CLIENTS: usize = 4;

/// The keys that one client's requests had, in their order.
fn keys_of(journal: &[Entry], client: usize) -> Vec<String> {
    let client = client.to_string();
    let mine = journal.iter().filter(|request| request.header_values("x-client") == [client.as_str()]);
    mine.map(|request| request.header_values("authorization").concat()).collect()
}

#[test]
fn uses_a_rotated_secret_for_the_next_request_and_loses_none() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "rotation")?;
    let provider = Provider::start(&namespace, &[BEFORE, AFTER])?;
    let chat = upstream("chat", "{secretRef: {name: key}}", &provider.custom_host());
    namespace.apply(&[gateway("gw"), secret("key", BEFORE), chat, route("chat", "gw", "chat")].concat())?;
    let address = namespace.address("gw")?;
    is_served(address, "chat")?;
    let traffic = Traffic::start(address, &Request::chat("/chat"))?;
    traffic.goes_on(50)?;
    namespace.apply(&secret("key", AFTER))?;
    wait_until("every client works with the new key", SOON, || {
        let journal = provider.journal()?;
        let done = |client: usize| keys_of(&journal, client).iter().filter(|key| key.ends_with(AFTER)).count() > 10;
        ensure!((0..CLIENTS).all(done), "not all do");
        Ok(())
    })?;
    traffic.stop()?;
    let journal = provider.journal()?;
    for client in 0..CLIENTS {
        let keys = keys_of(&journal, client);
        let first_new = keys.iter().position(|key| key.ends_with(AFTER)).context("never rotated")?;
        assert!(first_new > 0, "client {client} never had the old key");
        let after = keys.get(first_new..).unwrap_or_default();
        assert!(after.iter().all(|key| key == &format!("Bearer {AFTER}")), "client {client} went back to the old key");
    }
    Ok(())
}
