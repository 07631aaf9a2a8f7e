//! Names to addresses: all of them, for as long as their TTL says. No NSS, so that a static binary resolves as well.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use parking_lot::Mutex;

use crate::options::ConnectTo;

/// Resolves on one worker's runtime.
pub(crate) struct Dns {
    resolver: Mutex<Option<TokioResolver>>,
    connect_to: HashMap<(String, u16), (String, u16)>,
}

impl Dns {
    pub(crate) fn new(connect_to: &[ConnectTo]) -> Self {
        let connect_to = connect_to.iter().map(|mapping| (mapping.from.clone(), mapping.to.clone())).collect();
        Self { resolver: Mutex::new(None), connect_to }
    }

    /// All addresses of a host, after `--connect-to`.
    pub(crate) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let (host, port) = match self.connect_to.get(&(host.to_ascii_lowercase(), port)) {
            Some((host, port)) => (host.as_str(), *port),
            None => (host, port),
        };
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let found = self.resolver()?.lookup_ip(host).await.map_err(|e| format!("{host}: {e}"))?;
        let addresses: Vec<_> = found.iter().map(|ip| SocketAddr::new(ip, port)).collect();
        if addresses.is_empty() { Err(format!("{host} has no address")) } else { Ok(addresses) }
    }

    /// Made at first need: most proxies of Services never resolve a name.
    fn resolver(&self) -> Result<TokioResolver, String> {
        let mut slot = self.resolver.lock();
        match &*slot {
            Some(resolver) => Ok(resolver.clone()),
            None => {
                let built = TokioResolver::builder_tokio().and_then(|builder| builder.build());
                let resolver = built.map_err(|e| format!("no DNS resolver: {e}"))?;
                Ok(slot.insert(resolver).clone())
            }
        }
    }
}
