//! The cluster that tests run on, by `kubectl` where a user would use it and by the API where a test only looks.
//!
//! Most tests run side by side, each in a namespace of its own. A test that disturbs what all of them need takes the cluster alone.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::{Answer, Attempt, Kind, POD, condition, is_current, wait_until};

static TURN: RwLock<()> = RwLock::new(());

/// The API server may be stopped by a test: no request waits for it for ever.
const PATIENCE: Duration = Duration::from_secs(10);
const FIELD_MANAGER: &str = "keyward-e2e";

/// The cluster, for the time of one test. A test holds one at most.
pub struct Cluster {
    runtime: Runtime,
    client: Client,
    _turn: (Option<RwLockReadGuard<'static, ()>>, Option<RwLockWriteGuard<'static, ()>>),
}

impl Cluster {
    /// Side by side with other tests.
    ///
    /// # Errors
    /// When there is no kubeconfig.
    pub fn shared() -> Result<Self> {
        Self::with((Some(TURN.read()), None))
    }

    /// While no other test runs.
    ///
    /// # Errors
    /// When there is no kubeconfig.
    pub fn alone() -> Result<Self> {
        Self::with((None, Some(TURN.write())))
    }

    fn with(turn: (Option<RwLockReadGuard<'static, ()>>, Option<RwLockWriteGuard<'static, ()>>)) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let client = runtime.block_on(async {
            let mut config = kube::Config::infer().await.context("no cluster: set KUBECONFIG")?;
            config.read_timeout = Some(PATIENCE);
            anyhow::Ok(Client::try_from(config)?)
        })?;
        Ok(Self { runtime, client, _turn: turn })
    }

    /// Runs `kubectl` and gives what it prints.
    ///
    /// # Errors
    /// When it fails, in its own words.
    pub fn kubectl(&self, arguments: &[&str], stdin: Option<&str>) -> Result<String> {
        let said = self.run_program("kubectl", arguments, stdin)?;
        ensure!(said.succeeded, "kubectl {}: {}", arguments.join(" "), said.errors);
        Ok(said.output)
    }

    /// Runs a program and gives all that it says, whether or not it succeeds.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn run_program(&self, program: &str, arguments: &[&str], stdin: Option<&str>) -> Result<Said> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
        let mut pipe = child.stdin.take().with_context(|| format!("{program} has no standard input"))?;
        // It may end without having read everything: what it says tells more than the broken pipe.
        let _ = pipe.write_all(stdin.unwrap_or_default().as_bytes());
        drop(pipe);
        let output = child.wait_with_output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Said { succeeded: output.status.success(), output: text(&output.stdout), errors: text(&output.stderr) })
    }

    /// Tries a write that the API server does not keep.
    ///
    /// # Errors
    /// When it does not answer; a refusal is an answer.
    pub fn attempt(&self, attempt: &Attempt) -> Result<Answer> {
        self.runtime.block_on(attempt.send(&self.client))
    }

    /// `kubectl apply -f-`.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        self.kubectl(&["apply", "-f-"], Some(manifests))
    }

    /// An object, if it is there. Cluster-scoped kinds are in no namespace: `""`.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn find(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>> {
        let found = self.run(self.api(kind, namespace).get_opt(name))?;
        Ok(found.map(serde_json::to_value).transpose()?)
    }

    /// An object that is there.
    ///
    /// # Errors
    /// When it is not.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value> {
        self.find(kind, namespace, name)?.with_context(|| format!("there is no {} {namespace}/{name}", kind.name()))
    }

    /// Objects with these labels; all, if `""`. In all namespaces, if the namespace is `""`.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn list(&self, kind: Kind, namespace: &str, labels: &str) -> Result<Vec<Value>> {
        let list = self.run(self.api(kind, namespace).list(&ListParams::default().labels(labels)))?;
        list.items.into_iter().map(|object| anyhow::Ok(serde_json::to_value(object)?)).collect()
    }

    /// Applies an object by server-side apply.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn put(&self, kind: Kind, namespace: &str, name: &str, object: &Value) -> Result<()> {
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.run(self.api(kind, namespace).patch(name, &params, &Patch::Apply(object))).map(drop)
    }

    /// Merges a patch into an object.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn patch(&self, kind: Kind, namespace: &str, name: &str, patch: &Value) -> Result<()> {
        self.run(self.api(kind, namespace).patch(name, &PatchParams::default(), &Patch::Merge(patch))).map(drop)
    }

    /// Merges a patch into an object's status.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn patch_status(&self, kind: Kind, namespace: &str, name: &str, patch: &Value) -> Result<()> {
        self.run(self.api(kind, namespace).patch_status(name, &PatchParams::default(), &Patch::Merge(patch))).map(drop)
    }

    /// Deletes an object, if it is there, and does not wait for its end.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Result<()> {
        let api = self.api(kind, namespace);
        match self.runtime.block_on(api.delete(name, &DeleteParams::background())) {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until something is gone.
    ///
    /// # Errors
    /// When it stays.
    pub fn gone(&self, kind: Kind, namespace: &str, name: &str, within: Duration) -> Result<()> {
        wait_until(&format!("{} {namespace}/{name} is gone", kind.name()), within, || {
            ensure!(self.find(kind, namespace, name)?.is_none(), "it is there");
            Ok(())
        })
    }

    /// Where a Gateway is reached once it is programmed: what a user reads in its status.
    ///
    /// # Errors
    /// When it does not become programmed.
    pub fn gateway_address(&self, namespace: &str, name: &str) -> Result<IpAddr> {
        wait_until(&format!("Gateway {namespace}/{name} is programmed"), POD, || {
            let gateway = self.get(Kind::GATEWAY, namespace, name)?;
            let status = &gateway["status"];
            let programmed = condition(status, "Programmed")?;
            ensure!(programmed["status"] == "True" && is_current(&gateway, programmed), "{status:#}");
            let address = status.pointer("/addresses/0/value").and_then(Value::as_str).context("no address")?;
            Ok(address.parse::<IpAddr>()?)
        })
    }

    /// The node's own address: a test that listens there is reached by pods.
    ///
    /// # Errors
    /// When no node has one.
    pub fn node_address(&self) -> Result<IpAddr> {
        let nodes = self.list(Kind::NODE, "", "")?;
        let addresses = nodes.iter().filter_map(|node| node.pointer("/status/addresses")?.as_array()).flatten();
        let internal = addresses.filter(|address| address["type"] == "InternalIP").find_map(|address| address["address"].as_str());
        Ok(internal.context("no node has an address")?.parse()?)
    }

    /// A Service's address inside the cluster.
    ///
    /// # Errors
    /// When it has none.
    pub fn service_address(&self, namespace: &str, name: &str, port: u16) -> Result<SocketAddr> {
        let service = self.get(Kind::SERVICE, namespace, name)?;
        let address = service.pointer("/spec/clusterIP").and_then(Value::as_str).context("no clusterIP")?;
        Ok(SocketAddr::new(address.parse()?, port))
    }

    /// Pods with these labels that run and are not being deleted.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn running_pods(&self, namespace: &str, labels: &str) -> Result<Vec<RunningPod>> {
        let pods = self.list(Kind::POD, namespace, labels)?;
        Ok(pods.iter().filter_map(RunningPod::of).collect())
    }

    /// Whose client it is.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Runs a future beside the test.
    pub fn spawn<F: Future<Output: Send> + Send + 'static>(&self, future: F) -> tokio::task::JoinHandle<F::Output> {
        self.runtime.spawn(future)
    }

    /// Runs a future to its end.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    fn run<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T> {
        Ok(self.runtime.block_on(request)?)
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        match namespace {
            "" => Api::all_with(self.client(), &kind.resource()),
            namespace => Api::namespaced_with(self.client(), namespace, &kind.resource()),
        }
    }
}

/// What a program said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Whether it ended well.
    pub succeeded: bool,
    /// Standard output.
    pub output: String,
    /// Standard error, where `kubectl` prints warnings and refusals.
    pub errors: String,
}

/// A pod that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningPod {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Whether it takes requests.
    pub ready: bool,
}

impl RunningPod {
    fn of(pod: &Value) -> Option<Self> {
        let running = pod.pointer("/status/phase")? == "Running" && pod.pointer("/metadata/deletionTimestamp").is_none();
        let name = pod.pointer("/metadata/name")?.as_str()?.to_owned();
        let address = pod.pointer("/status/podIP")?.as_str()?.parse().ok()?;
        let ready = condition(&pod["status"], "Ready").is_ok_and(|ready| ready["status"] == "True");
        running.then_some(Self { name, address, ready })
    }
}
