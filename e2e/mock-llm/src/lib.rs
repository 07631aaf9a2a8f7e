//! A provider that is not one: an OpenAI-compatible HTTPS server for tests, for `just demo` and for benchmarks of behaviour.
//!
//! It answers as OpenAI, Azure OpenAI, Mistral, Anthropic, Gemini and Vertex AI do, refuses wrong keys as they do, fails in the
//! ways a test asks for, and writes down exactly what it received. It never forwards anything and never prints a key.
//!
//! ```text
//! server   accept ─► TLS (tls) ─► HTTP/1.1 or HTTP/2 by ALPN, on a socket that can be torn down under it (wire)
//! api      open a page of the journal ─► check the credential (keys) ─► which endpoint (endpoint) ─► the answer (openai, anthropic, gemini)
//! play     give that answer well, or as badly as `x-mock-mode` or the chat body's `user` asks (modes)
//! admin    GET and DELETE /journal, on a listener of its own
//! ```

mod admin;
mod anthropic;
mod api;
mod endpoint;
mod gemini;
mod journal;
mod keys;
mod modes;
mod openai;
mod play;
mod server;
mod tls;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

pub use journal::Entry;
pub use tls::{Identity, PROVIDER_NAMES};

/// How a mock provider is to be started.
#[derive(Clone)]
pub struct Options {
    /// Where the provider listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the journal is served, in plain HTTP; port 0 takes a free one.
    pub admin: SocketAddr,
    /// The accepted keys, without `Bearer `. None accepted when empty.
    pub keys: Vec<String>,
    /// DNS names and addresses in the leaf certificate.
    pub names: Vec<String>,
    /// A certificate to serve instead of one of its own authority.
    pub identity: Option<Identity>,
    /// Serve without TLS (HTTP/1.1, or HTTP/2 with prior knowledge).
    pub plain: bool,
    /// Chunks in a streamed answer, unless the request's mode says otherwise.
    pub frames: usize,
    /// Pause before each streamed chunk but the first, unless the request's mode says otherwise.
    pub gap: Duration,
    /// Path in front of every endpoint, such as `/base`; empty for none.
    pub base_path: String,
}

impl Default for Options {
    fn default() -> Self {
        let anywhere_on_loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: anywhere_on_loopback,
            admin: anywhere_on_loopback,
            keys: Vec::new(),
            names: PROVIDER_NAMES.iter().map(|name| (*name).to_owned()).collect(),
            identity: None,
            plain: false,
            frames: 10,
            gap: Duration::from_millis(5),
            base_path: String::new(),
        }
    }
}

/// A running mock provider; it ends when dropped.
pub struct Mock {
    addr: SocketAddr,
    admin_addr: SocketAddr,
    ca_pem: String,
    state: Arc<server::State>,
    tasks: Vec<JoinHandle<()>>,
}

impl Mock {
    /// Starts a provider on the current tokio runtime.
    ///
    /// # Errors
    /// When an address cannot be bound, a certificate cannot be issued for the names asked for, or the given one cannot be used.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let authority = tls::Authority::generate()?;
        let acceptor = match (&options.identity, options.plain) {
            (_, true) => None,
            (Some(identity), false) => Some(identity.acceptor()?),
            (None, false) => Some(authority.acceptor(&options.names)?),
        };
        let (listener, addr) = server::bind(options.listen).await?;
        let (admin_listener, admin_addr) = server::bind(options.admin).await?;
        let state = Arc::new(server::State::new(&options));
        let tasks = vec![
            tokio::spawn(server::run(listener, acceptor, Arc::clone(&state))),
            tokio::spawn(admin::run(admin_listener, Arc::clone(&state))),
        ];
        Ok(Self { addr, admin_addr, ca_pem: authority.ca_pem(), state, tasks })
    }

    /// Where the provider listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the journal is served.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// The certificate, as PEM, of its own authority, which signed the provider's leaf unless another one was given.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What was received so far, oldest first.
    #[must_use]
    pub fn journal(&self) -> Vec<Entry> {
        self.state.journal.entries()
    }

    /// Forgets what was received so far.
    pub fn clear_journal(&self) {
        self.state.journal.clear();
    }

    /// Connections accepted since the start, whether or not they got as far as a request.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.connections()
    }

    /// From now on accepts these keys and no others.
    pub fn accept_keys(&self, keys: Vec<String>) {
        *self.state.keys.write() = keys;
    }

    /// Stops listening and drops every connection.
    pub fn shutdown(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.shutdown();
    }
}
