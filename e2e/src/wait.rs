//! Waiting for what happens soon, without guessing how soon.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Asks every 20 ms until the answer is yes.
///
/// # Errors
/// When it is not yes within the time given, or when asking fails.
pub fn eventually(what: &str, within: Duration, mut ask: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let start = Instant::now();
    while !ask()? {
        if start.elapsed() > within {
            bail!("{what}: not within {within:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
