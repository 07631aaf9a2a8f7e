//! The mock provider as a program, for `just demo` and for scripts. Prints one line when ready, ends on SIGTERM or SIGINT.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use mock_llm::{Identity, Mock, Options};
use tokio::signal::unix::{SignalKind, signal};

/// An OpenAI-compatible HTTPS server that is no provider: for tests and demonstrations.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Where to serve the journal of received requests, in plain HTTP
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    admin: SocketAddr,
    /// A key to accept (repeatable)
    #[arg(long = "key", value_name = "KEY", required = true)]
    keys: Vec<String>,
    /// A name for the certificate instead of the providers' own (repeatable)
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// PEM file of a certificate to serve instead of one of its own authority
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of that certificate's key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Write the certificate of the signing authority to this file, as PEM
    #[arg(long, value_name = "FILE")]
    ca_out: Option<PathBuf>,
    /// Write the listening address to this file once ready
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// Serve without TLS
    #[arg(long)]
    plain: bool,
    /// Chunks in a streamed answer
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    frames: usize,
    /// Milliseconds between the chunks of a streamed answer
    #[arg(long, value_name = "MS", default_value_t = 5)]
    gap_ms: u64,
    /// Path in front of every endpoint
    #[arg(long, value_name = "PATH", default_value = "")]
    base_path: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Before anything is announced: a script may send the signal as soon as it has read the line.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mock = Mock::start(options(&arguments)?).await?;
    announce(&mock, &arguments)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    mock.shutdown();
    Ok(())
}

fn options(arguments: &Arguments) -> anyhow::Result<Options> {
    let defaults = Options::default();
    Ok(Options {
        listen: arguments.listen,
        admin: arguments.admin,
        keys: arguments.keys.clone(),
        names: if arguments.names.is_empty() { defaults.names } else { arguments.names.clone() },
        plain: arguments.plain,
        frames: arguments.frames,
        gap: Duration::from_millis(arguments.gap_ms),
        base_path: arguments.base_path.clone(),
        identity: identity(arguments)?,
    })
}

fn identity(arguments: &Arguments) -> anyhow::Result<Option<Identity>> {
    let (Some(chain), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) else { return Ok(None) };
    let read = |path: &Path| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    Ok(Some(Identity { chain: read(chain)?, key: read(key)? }))
}

/// The CA first, the address last: whoever sees the address finds everything else in place.
fn announce(mock: &Mock, arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(path) = &arguments.ca_out {
        write_whole(path, mock.ca_pem())?;
    }
    if let Some(path) = &arguments.port_file {
        write_whole(path, &mock.addr().to_string())?;
    }
    println!("mock-llm ready addr={} admin={}", mock.addr(), mock.admin_addr());
    Ok(())
}

/// Writes a file that is never seen half-written.
fn write_whole(path: &Path, content: &str) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, content).with_context(|| format!("cannot write {}", beside.display()))?;
    std::fs::rename(&beside, path).with_context(|| format!("cannot write {}", path.display()))
}
