//! How a proxy runs: addresses, limits, time-outs. What it serves comes as configuration.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Settings that do not change while it runs.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address to accept requests on; ports come from the Gateway's listeners.
    #[arg(long, value_name = "ADDR", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub bind: IpAddr,
    /// Address of /metrics, /readyz, /livez and /config_dump. The last shows configuration, never a credential, and to loopback peers
    /// only.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:15000")]
    pub admin_addr: SocketAddr,
    /// Dial HOST2:PORT2 in place of HOST1:PORT1, as curl's option of this name does; TLS still verifies HOST1. Repeatable.
    #[arg(long, value_name = "HOST1:PORT1:HOST2:PORT2")]
    pub connect_to: Vec<ConnectTo>,
    /// PEM file, or directory of such, of certificate authorities to trust for providers, besides the system's. Repeatable.
    #[arg(long, value_name = "FILE|DIR")]
    pub upstream_ca: Vec<PathBuf>,
    /// Worker threads; 0: one per core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Seconds to wait for a connection to a backend.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub connect_timeout: Duration,
    /// Seconds to wait for the first byte of a backend's answer. Models think long; a route's own timeouts may be shorter.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    pub first_byte_timeout: Duration,
    /// Seconds that a started answer may pause. There is no cap on its whole length.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    pub idle_timeout: Duration,
    /// Seconds for a client to send a request's head, and to stay connected without sending one.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub header_timeout: Duration,
    /// Seconds that requests in flight get to finish after a signal to stop.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub drain_timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok()).ok_or_else(|| format!("{text:?} is not a number of seconds"))
}

/// One `--connect-to` mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectTo {
    /// As configured.
    pub from: (String, u16),
    /// As dialled.
    pub to: (String, u16),
}

impl FromStr for ConnectTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("{text:?} is not HOST1:PORT1:HOST2:PORT2");
        let (from_host, rest) = host(text).ok_or_else(usage)?;
        let (from_port, rest) = rest.split_once(':').ok_or_else(usage)?;
        let (to_host, to_port) = host(rest).ok_or_else(usage)?;
        let port = |text: &str| text.parse::<u16>().map_err(|_| usage());
        Ok(Self { from: (from_host.to_ascii_lowercase(), port(from_port)?), to: (to_host.to_owned(), port(to_port)?) })
    }
}

/// Splits a host, possibly an IPv6 address in brackets, from what follows its colon.
fn host(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:"),
        None => text.split_once(':').filter(|(host, _)| !host.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_connect_to_as_curl_writes_it() {
        let parsed: ConnectTo = "API.openai.com:443:[::1]:8443".parse().unwrap();
        assert_eq!(parsed, ConnectTo { from: ("api.openai.com".into(), 443), to: ("::1".into(), 8443) });
        for bad in ["", "a:1", "a:1:b", "a:x:b:1", ":1:b:2", "a:1:b:70000"] {
            assert!(bad.parse::<ConnectTo>().is_err(), "{bad}");
        }
    }
}
