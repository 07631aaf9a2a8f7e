//! The mock provider on a thread of its own, so that tests can be plain blocking code.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::Context;
use mock_llm::{Entry, Mock, Options};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A running provider; ends when dropped.
pub struct Provider {
    mock: Mock,
    directory: TempDir,
    _stop: oneshot::Sender<()>,
}

impl Provider {
    /// A provider that accepts one key.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn with_key(key: &str) -> anyhow::Result<Self> {
        Self::start(Options { keys: vec![key.to_owned()], ..Options::default() })
    }

    /// A provider to order.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let (started, start) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            runtime.block_on(async move {
                // The test may have given up already; then both ends are gone and the thread ends too.
                let _ = started.send(Mock::start(options).await);
                let _ = stopped.await;
            });
        });
        let mock = start.recv().context("the mock provider's thread ended")??;
        let directory = TempDir::new()?;
        std::fs::write(directory.path().join("ca.pem"), mock.ca_pem())?;
        Ok(Self { mock, directory, _stop: stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.mock.addr()
    }

    /// URL of the journal, for clients in other languages.
    #[must_use]
    pub fn journal_url(&self) -> String {
        format!("http://{}/journal", self.mock.admin_addr())
    }

    /// The certificate of its authority.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Requests received so far.
    #[must_use]
    pub fn journal(&self) -> Vec<Entry> {
        self.mock.journal()
    }

    /// Forgets the requests received so far.
    pub fn clear_journal(&self) {
        self.mock.clear_journal();
    }

    /// Stops listening. Its address then refuses connections; its certificate stays on disk.
    pub fn stop(&self) {
        self.mock.shutdown();
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.mock.connections()
    }

    /// The one request received so far.
    ///
    /// # Errors
    /// When there was none, or more than one.
    pub fn only_request(&self) -> anyhow::Result<Entry> {
        let mut journal = self.journal();
        anyhow::ensure!(journal.len() == 1, "expected one request at the provider, got {journal:#?}");
        journal.pop().context("the journal is empty")
    }
}
