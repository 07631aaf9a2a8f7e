//! The real `curl`, as the guide uses it.

use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

/// The body of the guide's request, verbatim.
pub const GUIDE_BODY: &str = r#"{
   "model": "gpt-3.5-turbo",
   "messages": [
     {
       "role": "system",
       "content": "You are a poetic assistant, skilled in explaining complex programming concepts with creative flair."
     },
     {
       "role": "user",
       "content": "Compose a poem that explains the concept of recursion in programming."
     }
   ]
 }"#;

/// What curl got.
#[derive(Debug)]
pub struct Curled {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Curled {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}

/// Runs curl with these arguments.
///
/// # Errors
/// When curl is not there or gets no answer.
pub fn curl(arguments: &[&str]) -> anyhow::Result<Curled> {
    let output = Command::new("curl")
        // A proxy in the environment would stand between curl and the gateway.
        .args(["-sS", "--noproxy", "*", "--max-time", "30", "-w", "\n%{http_code}"])
        .args(arguments)
        .output()
        .context("cannot run curl")?;
    let stdout = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "curl failed: {}{stdout}", String::from_utf8_lossy(&output.stderr));
    let (body, status) = stdout.rsplit_once('\n').context("curl printed no status")?;
    Ok(Curled { status: status.parse()?, body: body.to_owned() })
}
