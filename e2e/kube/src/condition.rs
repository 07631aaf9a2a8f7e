//! What conditions say.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A condition by its type, of whatever has conditions.
///
/// # Errors
/// When there is none of that type.
pub fn condition<'v>(of: &'v Value, kind: &str) -> Result<&'v Value> {
    let conditions = of["conditions"].as_array().with_context(|| format!("no conditions: {of:#}"))?;
    conditions.iter().find(|one| one["type"] == kind).with_context(|| format!("no condition {kind}: {of:#}"))
}

/// Whether a condition says this, with this reason.
///
/// # Errors
/// When it says something else.
pub fn says(of: &Value, kind: &str, status: &str, reason: &str) -> Result<()> {
    let found = condition(of, kind)?;
    ensure!(found["status"] == status && found["reason"] == reason, "{kind} should be {status} for {reason}: {found:#}");
    Ok(())
}

/// Whether a condition is about the object as it is now.
#[must_use]
pub fn is_current(object: &Value, condition: &Value) -> bool {
    let generation = &object["metadata"]["generation"];
    generation.is_i64() && condition["observedGeneration"] == *generation
}
