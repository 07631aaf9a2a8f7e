//! A real Prometheus, with the scrape configuration that Keyward ships, finds operator, webhook and proxies and answers questions about them.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use keyward_e2e::{Request, send};
use keyward_e2e_kube::{Cluster, Deployed, Namespace, Operator, POD, Page, SYSTEM, Webhook, served_chat, wait_until};
use serde_json::Value;
use tempfile::TempDir;

/// The proxies' port for metrics.
const ADMIN: u16 = 15000;

/// A running Prometheus; it ends when dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Prometheus {
    fn start(cluster: &Cluster) -> Result<Self> {
        let directory = TempDir::new()?;
        let config = configure(cluster, directory.path())?;
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

/// The shipped files as they are, but with less time between scrapes. Debian's Prometheus has no service discovery for Kubernetes, so its
/// targets come from files with the same labels: relabelling, rules and all the rest are the shipped ones.
fn configure(cluster: &Cluster, directory: &Path) -> Result<PathBuf> {
    let pods = cluster.kubectl(&["get", "pods", "-A", "-o", "json"], None)?;
    script("prometheus.sh", &[&directory.display().to_string()], &pods)?;
    let file = directory.join("scrape.yaml");
    let config = std::fs::read_to_string(&file)?;
    ensure!(config.contains("scrape_interval: 15s"), "{config}");
    std::fs::write(&file, config.replace("scrape_interval: 15s", "scrape_interval: 1s"))?;
    Ok(file)
}

/// Runs a script of `e2e/observability`; gives what it prints.
fn script(name: &str, arguments: &[&str], stdin: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../observability").join(name);
    let mut command = Command::new("bash");
    let mut child = command.arg(path).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("no standard input")?.write_all(stdin.as_bytes())?;
    let output = child.wait_with_output()?;
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{name}: {printed}{errors}");
    Ok(printed.into_owned())
}

/// Every metric that the dashboard and the alerts ask for is on a page of the operator, of the webhook or of a proxy.
fn the_dashboard_asks_for_nothing_else(cluster: &Cluster, namespace: &Namespace<'_>, directory: &Path) -> Result<()> {
    let mut pages = vec![Page::read(namespace.proxies("gw", 1)?.remove(0).address, ADMIN)?];
    for replica in Operator(cluster).replicas()? {
        pages.push(Operator(cluster).metrics(&replica)?);
    }
    for replica in Webhook(cluster).replicas()? {
        pages.push(Webhook(cluster).metrics(&replica)?);
    }
    // Nothing has failed yet that these count.
    let mut arguments = vec!["-a".to_owned(), "keyward_operator_watch_errors_total".to_owned()];
    for (nth, page) in pages.iter().enumerate() {
        let file = directory.join(format!("page-{nth}"));
        std::fs::write(&file, page.text())?;
        arguments.push(file.display().to_string());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    script("check-dashboard.sh", &arguments, "").map(drop)
}

/// Percent-encoded, all but what needs no encoding anywhere.
fn encode(text: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() || byte == b'_' {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// The webhook's replicas are up, and know all labels. A test may have one of its own in another namespace.
fn the_webhook_is_scraped(prometheus: &Prometheus) -> Result<()> {
    let up = prometheus.number(&format!("sum(up{{job=\"keyward-webhook\",namespace=\"{SYSTEM}\"}})"))?;
    ensure!(up >= 2.0, "{up} replicas of the webhook are up");
    let synced = prometheus.number(&format!("sum(keyward_webhook_namespaces_synced{{namespace=\"{SYSTEM}\"}})"))?;
    ensure!(synced >= 2.0, "{synced} replicas of the webhook know all labels");
    Ok(())
}

#[test]
fn prometheus_finds_all_parts_with_the_shipped_configuration() -> Result<()> {
    let cluster = Cluster::shared()?;
    let (namespace, _) = served_chat(&cluster, "metrics")?;
    let prometheus = Prometheus::start(&cluster)?;
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
        // Its namespace is that of the Upstream, not that of the operator who tells of it.
        let inline = prometheus.number(&format!("max(keyward_inline_credentials{{{mine},kind=\"Upstream\"}})"))?;
        ensure!(inline >= 1.0, "{inline} inline credentials");
        the_webhook_is_scraped(&prometheus)
    })?;
    let rules = send(prometheus.address, &Request::get("/api/v1/rules"))?.json()?;
    let rules = rules.pointer("/data/groups").and_then(Value::as_array).context("no rules")?;
    assert!(!rules.is_empty(), "the shipped rules are not loaded");
    the_dashboard_asks_for_nothing_else(&cluster, &namespace, prometheus.directory.path())
}
