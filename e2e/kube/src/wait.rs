//! Waiting for what happens soon, without guessing how soon.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

const PAUSE: Duration = Duration::from_millis(50);

/// Asks again until the answer is good, and gives it.
///
/// # Errors
/// The last bad answer, when none was good within the time given.
pub fn wait_until<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if start.elapsed() > within => return Err(error.context(format!("{what}: not within {within:?}"))),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Asks again for the time given; the answer must be good each time.
///
/// # Errors
/// The first bad answer.
pub fn holds_for(what: &str, time: Duration, mut ask: impl FnMut() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < time {
        ask().with_context(|| format!("{what}: not for {time:?}"))?;
        std::thread::sleep(4 * PAUSE);
    }
    Ok(())
}
