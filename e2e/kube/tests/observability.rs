//! A real Prometheus, with the scrape configuration that Keyward ships, finds operator and proxies and answers questions about them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use keyward_e2e::{Request, send};
use keyward_e2e_kube::manifests::{gateway, route, upstream};
use keyward_e2e_kube::{Cluster, Namespace, POD, Provider, SOON, wait_until};
use serde_json::Value;
use tempfile::TempDir;

const SHIPPED: &str = "config/components/prometheus";

/// A running Prometheus; it ends when dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Prometheus {
    fn start() -> Result<Self> {
        let directory = TempDir::new()?;
        let config = configure(directory.path())?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = std::fs::File::create(directory.path().join("log"))?;
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot run prometheus: install Debian's package of this name")?;
        Ok(Self { child, address, directory })
    }

    /// The samples that a query gives.
    fn query(&self, query: &str) -> Result<Vec<Value>> {
        let target = format!("/api/v1/query?query={}", encode(query));
        let answer = send(self.address, &Request::get(&target)).with_context(|| format!("Prometheus says:\n{}", self.log()))?;
        ensure!(answer.status == 200, "{}\n{}", answer.text(), self.log());
        let result = answer.json()?.pointer("/data/result").and_then(Value::as_array).cloned();
        result.with_context(|| format!("not a result: {}", answer.text()))
    }

    /// The one number that a query gives.
    fn number(&self, query: &str) -> Result<f64> {
        let samples = self.query(query)?;
        let value = samples.first().and_then(|sample| sample.pointer("/value/1")).and_then(Value::as_str);
        value.with_context(|| format!("{query}: {samples:?}"))?.parse::<f64>().context("not a number")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The shipped files as they are, but for what they say is to be added outside of the cluster, and with less time between scrapes.
fn configure(directory: &Path) -> Result<PathBuf> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(SHIPPED);
    std::fs::copy(shipped.join("rules.yaml"), directory.join("rules.yaml"))?;
    let kubeconfig = std::env::var("KUBECONFIG").context("no KUBECONFIG")?;
    let outside = format!("  - role: pod\n    kubeconfig_file: {kubeconfig}");
    let config = std::fs::read_to_string(shipped.join("scrape.yaml"))?;
    ensure!(config.contains("  - role: pod") && config.contains("scrape_interval: 15s"), "{config}");
    let config = config.replace("  - role: pod", &outside).replace("scrape_interval: 15s", "scrape_interval: 1s");
    let file = directory.join("scrape.yaml");
    std::fs::write(&file, config)?;
    Ok(file)
}

/// Percent-encoded, all but what needs no encoding anywhere.
fn encode(text: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() || byte == b'_' {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[test]
fn prometheus_finds_operator_and_proxies_with_the_shipped_configuration() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "metrics")?;
    let provider = Provider::start(&namespace, &["sk-metrics"])?;
    let chat = upstream("chat", "{inline: sk-metrics}", &provider.custom_host());
    namespace.apply(&[gateway("gw"), chat, route("chat", "gw", "chat")].concat())?;
    let address = namespace.address("gw")?;
    let prometheus = Prometheus::start()?;
    wait_until("the route is served", SOON, || {
        let answer = send(address, &Request::chat("/chat"))?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        Ok(())
    })?;
    let mine = format!("namespace=\"{}\"", namespace.name());
    wait_until("everything is scraped", POD, || {
        let operators = prometheus.number("sum(up{job=\"keyward-operator\"})")?;
        ensure!(operators >= 2.0, "{operators} replicas of the operator are up");
        let proxies = prometheus.number(&format!("sum(up{{job=\"keyward-proxy\",{mine}}})"))?;
        ensure!(proxies == 1.0, "{proxies} proxies are up");
        let leaders = prometheus.number("sum(keyward_operator_leader)")?;
        ensure!(leaders == 1.0, "{leaders} replicas lead");
        let requests = prometheus.number(&format!("sum(keyward_requests_total{{{mine},kind=\"ai\"}})"))?;
        ensure!(requests >= 1.0, "{requests} requests");
        let connected = prometheus.number(&format!("sum(keyward_proxy_xds_connected{{{mine},gateway=\"gw\"}})"))?;
        ensure!(connected == 1.0, "{connected} connected");
        Ok(())
    })?;
    let rules = send(prometheus.address, &Request::get("/api/v1/rules"))?.json()?;
    let rules = rules.pointer("/data/groups").and_then(Value::as_array).context("no rules")?;
    assert!(!rules.is_empty(), "the shipped rules are not loaded");
    Ok(())
}
