//! Child processes: pinned to one CPU, allowed as many files as there may be, and gone when the bench is gone.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::payload::HOST;
use crate::procfs;

/// CPU of the subject.
pub const SUBJECT_CPU: &str = "0";
/// CPU of the load client and the backend.
pub const CLIENT_CPU: &str = "1";
/// A peer with thousands of clusters takes seconds.
const START: Duration = Duration::from_secs(60);
/// What a process may take to end when asked.
const END: Duration = Duration::from_secs(3);
/// What one question whether it serves may take.
const PROBE: Duration = Duration::from_secs(2);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A command that runs pinned, and gets SIGTERM when the bench dies without having ended it.
pub fn pinned(cpu: &str, program: &Path) -> Result<Command> {
    let files = procfs::open_files_limit()?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "prlimit"]).arg(format!("--nofile={files}:{files}"));
    command.args(["taskset", "-c", cpu]).arg(program);
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    Ok(command)
}

/// A process that serves until dropped. Its output goes to a log.
#[derive(Debug)]
pub struct Server {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Server {
    /// Starts it.
    pub fn start(name: &str, log: &Path, command: &mut Command) -> Result<Self> {
        let output = File::create(log).with_context(|| log.display().to_string())?;
        let child = command.stdout(output.try_clone()?).stderr(output).spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { child, name: name.to_owned(), log: log.to_owned() })
    }

    /// Its process id: the wrappers before the program replace themselves by it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it answers on its plain port, accepts on its TLS port, and has printed a line that starts with `ready`; the last two
    /// only where there are any.
    pub fn wait(&mut self, http: u16, https: Option<u16>, ready: Option<&str>) -> Result<()> {
        let deadline = Instant::now() + START;
        while !(ready.is_none_or(|ready| self.printed(ready)) && answers(http) && https.is_none_or(|port| connect(port).is_ok())) {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}: {}", self.name, self.last_words());
            }
            if Instant::now() > deadline {
                bail!("{} does not serve after {START:?}: {}", self.name, self.last_words());
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn printed(&self, ready: &str) -> bool {
        fs::read_to_string(&self.log).is_ok_and(|log| log.lines().any(|line| line.starts_with(ready)))
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join(" | ");
        format!("{last} (all of it: {})", self.log.display())
    }

    fn ends(&mut self) -> bool {
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            thread::sleep(LOOK);
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let family = procfs::family(self.pid());
        signal("-TERM", self.pid());
        if !self.ends() {
            family.into_iter().for_each(|pid| signal("-KILL", pid));
            self.child.wait().ok();
        }
    }
}

fn signal(signal: &str, pid: u32) {
    // It may have ended by itself: nothing is left to do then.
    Command::new("kill").args([OsStr::new(signal), OsStr::new(&pid.to_string())]).stderr(Stdio::null()).status().ok();
}

fn connect(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&local(port), PROBE)
}

/// Whether a request that no route wants is answered somehow. That it can connect proves nothing: nginx listens before it has a worker.
fn answers(port: u16) -> bool {
    let probe = || {
        let mut stream = connect(port)?;
        stream.set_read_timeout(Some(PROBE))?;
        stream.write_all(format!("GET /nowhere HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n").as_bytes())?;
        stream.read(&mut [0; 1024])
    };
    probe().is_ok_and(|read| read > 0)
}

/// A port on loopback.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A port that nobody listens on, below those that outgoing connections take.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    for _ in 0..10_000 {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(local(port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 from 20000 on")
}
