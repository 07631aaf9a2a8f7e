//! `keyward check` as a process, from its start to its end.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::gateway::program;

/// What came of it.
#[derive(Debug)]
pub struct Checked {
    /// `None`: a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub output: String,
    /// What it complained of.
    pub errors: String,
}

/// Runs `keyward check` in a directory.
///
/// # Errors
/// When it cannot be run, or prints what is no text.
pub fn check(directory: &Path, arguments: &[&str], stdin: &str) -> anyhow::Result<Checked> {
    let mut command = Command::new(program()?);
    command.arg("check").args(arguments).current_dir(directory);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot start keyward")?;
    let mut pipe = child.stdin.take().context("keyward has no standard input")?;
    // It may end without having read anything: what it says tells more than the broken pipe.
    let _ = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    let ended = child.wait_with_output()?;
    Ok(Checked { code: ended.status.code(), output: String::from_utf8(ended.stdout)?, errors: String::from_utf8(ended.stderr)? })
}
