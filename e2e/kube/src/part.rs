//! Processes of the cluster that a test stops for a while. Only in the cluster that these tests start: another one's are elsewhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Whether the cluster is the one of `e2e/cluster`, on this machine.
#[must_use]
pub fn is_ours() -> bool {
    std::env::var_os("E2E_KUBECONFIG").is_none_or(|given| given.is_empty())
}

/// A process that does not run until this is dropped.
pub struct Paused(u32);

impl Paused {
    /// Stops a process where it is.
    ///
    /// # Errors
    /// When it is not there.
    pub fn new(process: u32) -> Result<Self> {
        signal("-STOP", process)?;
        Ok(Self(process))
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        if let Err(error) = signal("-CONT", self.0) {
            eprintln!("process {} stays stopped: {error:#}", self.0);
        }
    }
}

fn signal(name: &str, process: u32) -> Result<()> {
    let status = Command::new("kill").args([name, &process.to_string()]).status().context("cannot run kill")?;
    ensure!(status.success(), "kill {name} {process}: {status}");
    Ok(())
}

/// The process of the API server.
///
/// # Errors
/// When the cluster is not up.
pub fn api_server() -> Result<u32> {
    let output = Command::new(root().join("target/cluster-bin/keyward-cluster")).arg("status").output().context("no cluster")?;
    let parts = String::from_utf8_lossy(&output.stdout).into_owned();
    let process = parts.lines().find_map(|line| line.strip_prefix("kube-apiserver ")).with_context(|| format!("no API server: {parts}"))?;
    Ok(process.trim().parse()?)
}

/// The process of a pod with one container: it has the pod's name in its environment, by its manifest or by the container runtime.
///
/// # Errors
/// When there is none.
pub fn process_of_pod(pod: &str) -> Result<u32> {
    let wanted = [format!("POD_NAME={pod}"), format!("HOSTNAME={pod}")];
    let is_of_pod = |process: &u32| {
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| wanted.iter().any(|wanted| variable == wanted.as_bytes()))
    };
    let processes = std::fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.into_iter().find(is_of_pod).with_context(|| format!("no process of pod {pod} on this machine"))
}

/// The project's directory.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
