//! `keyward up` as a process: its manifests in a directory of its own, on a loopback address of its own, killed when dropped.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::{Provider, Request, Response, eventually, send};

/// The port of the samples' listener.
const PORT: u16 = 8080;
/// Longest time from start to ready, on a machine busy with other tests.
const STARTUP: Duration = Duration::from_secs(30);
/// Lines of the log shown when a test fails.
const TAIL: usize = 60;

/// A loopback address that nobody else in this test run uses, so that tests with the same port run side by side.
#[must_use]
pub fn loopback() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let counted = NEXT.fetch_add(1, Ordering::Relaxed) & 0xff;
    let bits = ((std::process::id() << 8) | counted) & 0x003f_ffff;
    Ipv4Addr::from(0x7f40_0000 | bits)
}

/// A file that the build put beside this test program: in its directory or one above.
///
/// # Errors
/// When there is none.
pub fn beside_target(name: &str) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let found = program.ancestors().skip(1).map(|directory| directory.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("no {name} above {}", program.display()))
}

/// A gateway to be started.
pub struct Setup {
    address: Ipv4Addr,
    manifests: Vec<(String, String)>,
    arguments: Vec<String>,
    log_filter: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// A gateway without manifests, on an address of its own.
    #[must_use]
    pub fn new() -> Self {
        Self { address: loopback(), manifests: Vec::new(), arguments: Vec::new(), log_filter: "trace".to_owned() }
    }

    /// Binds to this address instead.
    #[must_use]
    pub fn address(mut self, address: Ipv4Addr) -> Self {
        self.address = address;
        self
    }

    /// Adds a manifest file.
    #[must_use]
    pub fn manifest(mut self, file: &str, text: &str) -> Self {
        self.manifests.push((file.to_owned(), text.to_owned()));
        self
    }

    /// Adds the files of `config/samples/NAME`, with `$TOKEN` replaced as the shell does in the guide's heredoc, and the
    /// made-up key of the Secret replaced as its comment asks.
    ///
    /// # Errors
    /// When the sample cannot be read.
    pub fn sample(mut self, name: &str, token: &str) -> anyhow::Result<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples").join(name);
        let listing = std::fs::read_dir(&directory).with_context(|| format!("no samples in {}", directory.display()))?;
        for file in listing {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let text = std::fs::read_to_string(&path)?.replace("$TOKEN", token).replace("sk-keyward-demo", token);
                self.manifests.push((file, text));
            }
        }
        Ok(self)
    }

    /// Leads every provider's host to the mock provider, and trusts its certificate.
    #[must_use]
    pub fn provider(self, provider: &Provider) -> Self {
        let ca = provider.ca_file().display().to_string();
        self.provider_untrusted(provider).arguments(&["--upstream-ca", &ca])
    }

    /// Leads every provider's host to the mock provider, whose certificate stays unknown.
    #[must_use]
    pub fn provider_untrusted(mut self, provider: &Provider) -> Self {
        let to = provider.addr();
        for host in mock_llm::PROVIDER_NAMES {
            // The last two names are this machine's own.
            if host.contains('.') && host.parse::<Ipv4Addr>().is_err() {
                self.arguments.push("--connect-to".to_owned());
                self.arguments.push(format!("{host}:443:{to}"));
            }
        }
        self
    }

    /// Adds arguments of the command line.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        self.arguments.extend(arguments);
        self
    }

    /// Sets `RUST_LOG`, which is `trace` otherwise.
    #[must_use]
    pub fn log_filter(mut self, filter: &str) -> Self {
        filter.clone_into(&mut self.log_filter);
        self
    }

    /// Starts the gateway and waits until it says that it is ready.
    ///
    /// # Errors
    /// When it ends or stays silent instead; with its log.
    pub fn start(self) -> anyhow::Result<Gateway> {
        let mut gateway = self.spawn()?;
        eventually("the gateway says that it is ready", STARTUP, || {
            if let Some(status) = gateway.child.try_wait()? {
                bail!("the gateway ended with {status}:\n{}", gateway.log()?);
            }
            gateway.admin = ready_line(&gateway.log()?);
            Ok(gateway.admin.is_some())
        })?;
        Ok(gateway)
    }

    /// Starts a gateway that is expected to end by itself.
    ///
    /// # Errors
    /// When it does not.
    pub fn run_to_exit(self) -> anyhow::Result<Ended> {
        self.spawn()?.wait()
    }

    fn spawn(self) -> anyhow::Result<Gateway> {
        let directory = TempDir::new()?;
        std::fs::create_dir(directory.path().join("manifests"))?;
        std::fs::create_dir(directory.path().join("staging"))?;
        let log = directory.path().join("log");
        let child = self.command(directory.path(), &log)?.spawn().context("cannot start keyward")?;
        Ok(Gateway { child, addr: SocketAddr::from((self.address, PORT)), admin: None, directory })
    }

    fn command(&self, directory: &Path, log: &Path) -> anyhow::Result<Command> {
        let manifests = directory.join("manifests");
        for (file, text) in &self.manifests {
            std::fs::write(manifests.join(file), text)?;
        }
        let log: File = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(program()?);
        command
            .arg("up")
            .arg("-f")
            .arg(manifests)
            .args(["--bind", &self.address.to_string()])
            .args(["--admin-addr", "127.0.0.1:0", "--log-format", "json"])
            .args(&self.arguments)
            .env("RUST_LOG", &self.log_filter)
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }
}

/// `KEYWARD_BIN`, or the program that was built together with this one.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    match std::env::var_os("KEYWARD_BIN") {
        Some(path) => Ok(path.into()),
        None => beside_target("keyward").context("build it first: cargo build --bin keyward"),
    }
}

/// The admin address in the line `keyward ready admin=ADDR`.
fn ready_line(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("keyward ready"))?;
    let (_, rest) = line.split_once("admin=")?;
    let end = rest.find(|c: char| c.is_whitespace() || c == '"' || c == ',');
    rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
}

/// A running gateway; killed when dropped. Prints the end of its log then, if an assertion has failed or `KEYWARD_E2E_LOG` is set.
pub struct Gateway {
    child: Child,
    addr: SocketAddr,
    admin: Option<SocketAddr>,
    directory: TempDir,
}

impl Gateway {
    /// Where the samples' listener is.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where its listener on another port is.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.addr.ip(), port)
    }

    /// Bytes of memory in RAM: `VmRSS` for now, `VmHWM` for the most so far.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn memory(&self, field: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.split_whitespace().next()).with_context(|| format!("no {field} in {status}"))?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    /// An URL on the samples' listener.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Sends one request on a connection of its own.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn send(&self, request: &Request) -> anyhow::Result<Response> {
        send(self.addr, request)
    }

    /// Gets a page of the admin port.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn admin(&self, path: &str) -> anyhow::Result<Response> {
        let admin = self.admin.context("the gateway was never ready")?;
        send(admin, &Request::get(path))
    }

    /// Everything printed so far, on both streams.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        let bytes = std::fs::read(self.directory.path().join("log"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Writes or replaces a manifest file in one step.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let staged = self.directory.path().join("staging").join(file);
        std::fs::write(&staged, text)?;
        Ok(std::fs::rename(staged, self.manifest(file))?)
    }

    /// Removes a manifest file.
    ///
    /// # Errors
    /// When there is none.
    pub fn remove(&self, file: &str) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.manifest(file))?)
    }

    fn manifest(&self, file: &str) -> PathBuf {
        self.directory.path().join("manifests").join(file)
    }

    /// Asks the gateway to end, as Kubernetes does.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn terminate(&self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status()?;
        anyhow::ensure!(status.success(), "kill {pid}: {status}");
        Ok(())
    }

    /// Waits for the gateway to end by itself.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait(mut self) -> anyhow::Result<Ended> {
        let mut ended = None;
        eventually("the gateway ends", STARTUP, || {
            ended = self.child.try_wait()?;
            Ok(ended.is_some())
        })?;
        Ok(Ended { status: ended.context("no exit status")?, log: self.log()? })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() || std::env::var_os("KEYWARD_E2E_LOG").is_some() {
            let log = self.log().unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
            eprintln!("--- the gateway's log ends with\n{}\n---", tail.join("\n"));
        }
    }
}

/// A gateway that ended.
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// Everything it printed.
    pub log: String,
}
