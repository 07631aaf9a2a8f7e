//! What all benches share: the backend, the certificate, the files, and how a load is sent.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::backend::Stats;
use crate::http1;
use crate::job::{HOLDING, Job, Report};
use crate::options::Options;
use crate::payload;
use crate::process::{self, CLIENT_CPU, Server, free_port, local};

/// What all benches share. The backend ends with it.
#[derive(Debug)]
pub struct Lab {
    /// What was asked for.
    pub options: Options,
    /// Where the backend is.
    pub backend: SocketAddr,
    /// What every TLS port serves.
    pub certificate: Certificate,
    output: PathBuf,
    _backend: Server,
}

/// One P-256 certificate for [`payload::HOST`], which its clients trust as it is.
#[derive(Debug)]
pub struct Certificate {
    /// PEM.
    pub chain: String,
    /// PEM.
    pub key: String,
    /// File with the certificate.
    pub chain_file: PathBuf,
    /// File with the key.
    pub key_file: PathBuf,
    /// File with both.
    pub both_file: PathBuf,
}

impl Lab {
    /// Makes the certificate and starts the backend. What an earlier run left is removed, its results aside.
    pub fn open(options: Options) -> Result<Self> {
        let output = target_dir().join("bench");
        let work = output.join("work");
        fs::remove_dir_all(&work).ok();
        fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
        let port = free_port()?;
        let mut command = process::pinned(CLIENT_CPU, &std::env::current_exe()?)?;
        let mut backend = Server::start("the backend", &work.join("backend.log"), command.args(["backend", "--port", &port.to_string()]))?;
        backend.wait(port, None, None)?;
        Ok(Self { options, backend: local(port), certificate: Certificate::make(&work)?, output, _backend: backend })
    }

    /// An empty directory for a subject's files.
    pub fn dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.output.join("work").join(name);
        fs::remove_dir_all(&dir).ok();
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        Ok(dir)
    }

    /// Where results go.
    pub fn results_file(&self) -> PathBuf {
        self.output.join("results.json")
    }

    /// Sends a load and answers for it: no error, and every request reached the backend as it had to.
    pub fn load(&self, job: &Job) -> Result<Report> {
        self.begin(job)?.finish()
    }

    /// Opens the connections of a load of idle ones, and gives it back once they idle.
    pub fn hold(&self, job: &Job) -> Result<Load<'_>> {
        let mut load = self.begin(job)?;
        let mut line = String::new();
        load.output.read_line(&mut line)?;
        match line.trim() == HOLDING {
            true => Ok(load),
            false => load.fail("did not hold its connections"),
        }
    }

    fn begin(&self, job: &Job) -> Result<Load<'_>> {
        self.stats().context("the backend")?;
        let mut command = process::pinned(CLIENT_CPU, &std::env::current_exe()?)?;
        command.arg("load").arg(serde_json::to_string(job)?).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("start the load client")?;
        let output = BufReader::new(child.stdout.take().context("the load client's output")?);
        let input = child.stdin.take();
        Ok(Load { lab: self, child, input, output })
    }

    /// What reached the backend since it was last asked.
    fn stats(&self) -> Result<Stats> {
        let mut stream = TcpStream::connect(self.backend)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("GET /stats HTTP/1.1\r\nhost: {}\r\n\r\n", payload::HOST).as_bytes())?;
        let mut answer = Vec::new();
        loop {
            if let Some(message) = http1::message(&answer)? {
                return Ok(serde_json::from_slice(&http1::body(&answer, &message)?)?);
            }
            let mut part = [0; 1024];
            let read = stream.read(&mut part)?;
            ensure!(read > 0, "no answer");
            answer.extend_from_slice(&part[..read]);
        }
    }
}

/// A load that is being sent; killed when dropped.
#[derive(Debug)]
pub struct Load<'l> {
    lab: &'l Lab,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Load<'_> {
    /// Waits for its end, and refuses its report if anything about it was wrong. Idle connections are let go first.
    pub fn finish(mut self) -> Result<Report> {
        drop(self.input.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text)?;
        if !self.child.wait()?.success() {
            return self.fail("failed");
        }
        let report: Report = serde_json::from_str(&text).context("the load client's report")?;
        let errors = report.errors.len();
        ensure!(errors == 0, "{errors} errors, the first: {}", report.errors.first().map_or("", String::as_str));
        ensure!(report.completed > 0, "nothing was completed");
        let (stats, right) = (self.lab.stats()?, Stats { requests: report.requests, ..Stats::default() });
        ensure!(stats == right, "the backend saw {stats:?} where {right:?} was due");
        Ok(report)
    }

    fn fail<T>(mut self, what: &str) -> Result<T> {
        self.child.kill().ok();
        anyhow::bail!("the load client {what}; its own words are above")
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

impl Certificate {
    fn make(dir: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([payload::HOST.to_owned()])?;
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let write = |name: &str, text: &str| {
            let file = dir.join(name);
            fs::write(&file, text).with_context(|| file.display().to_string()).map(|()| file)
        };
        Ok(Self {
            chain_file: write("certificate.pem", &chain)?,
            key_file: write("key.pem", &key)?,
            both_file: write("certificate-and-key.pem", &format!("{chain}{key}"))?,
            chain,
            key,
        })
    }
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Where cargo builds to.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
