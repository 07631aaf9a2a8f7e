//! Routes that are served: the ground that tests of what may disturb them stand on.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use keyward_e2e::{Request, send};

use crate::manifests::{gateway, route, upstream};
use crate::{Cluster, Namespace, Provider, SOON, wait_until};

/// A namespace with a Gateway `gw`, whose address is given as well, and a route and an Upstream `chat` to a provider, once they are served.
///
/// # Errors
/// When they are not.
pub fn served_chat<'c>(cluster: &'c Cluster, prefix: &str) -> Result<(Namespace<'c>, SocketAddr)> {
    let namespace = Namespace::create(cluster, prefix)?;
    let key = format!("sk-{prefix}");
    let provider = Provider::start(&namespace, &[key.as_str()])?;
    let chat = upstream("chat", &format!("{{inline: {key}}}"), &provider.custom_host());
    namespace.apply(&[gateway("gw"), chat, route("chat", "gw", "chat")].concat())?;
    let address = namespace.address("gw")?;
    is_served(address, "chat")?;
    Ok((namespace, address))
}

/// Waits until a route, which is that of [`route`], is served.
///
/// # Errors
/// The last answer, when it is not.
pub fn is_served(address: SocketAddr, name: &str) -> Result<()> {
    wait_until(&format!("/{name} is served"), SOON, || {
        let answer = send(address, &Request::chat(&format!("/{name}")))?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        Ok(())
    })
}
