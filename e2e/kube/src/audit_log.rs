//! The API server's audit log, from some time on. Only of the cluster that these tests start: another one's is elsewhere.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::is_ours;
use crate::part::root;

/// What is logged from now on.
pub struct AuditLog {
    file: PathBuf,
    start: u64,
}

impl AuditLog {
    /// From now on; `None` where the log is not here.
    ///
    /// # Errors
    /// When the cluster is ours and has no log.
    pub fn from_now() -> Result<Option<Self>> {
        if !is_ours() {
            return Ok(None);
        }
        let file = root().join("target/cluster/logs/audit.log");
        let start = std::fs::metadata(&file).with_context(|| file.display().to_string())?.len();
        Ok(Some(Self { file, start }))
    }

    /// Its text since then.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn text(&self) -> Result<String> {
        let mut file = File::open(&self.file)?;
        // A log that is shorter than it was has been rotated.
        let start = if file.metadata()?.len() < self.start { 0 } else { self.start };
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Annotations of what was asked about objects in a namespace since then.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn annotations(&self, namespace: &str) -> Result<Vec<Value>> {
        let text = self.text()?;
        // The last line may be half written.
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let about = events.filter(|event| event.pointer("/objectRef/namespace").is_some_and(|about| about == namespace));
        Ok(about.map(|event| event["annotations"].clone()).filter(|annotations| !annotations.is_null()).collect())
    }
}
