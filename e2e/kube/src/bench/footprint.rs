//! What many routes cost the operator: memory while nothing changes, and CPU for each change.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::figure::Figure;
use super::lab::Lab;
use crate::{Deployed, Operator, Page, wait_until};

const CHANGES: u32 = 200;
/// Between changes, so that each is a change of its own.
const BETWEEN: Duration = Duration::from_millis(20);
/// Until caches and allocator are at rest.
const REST: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(120);
const MIB: f64 = 1024.0 * 1024.0;

/// At so many routes, those that the probe has left among them.
pub(super) fn measure(lab: &Lab<'_>, routes: u32) -> Result<Vec<Figure>> {
    lab.cluster.block_on(lab.put_all(0..routes))?;
    let operator = Operator(lab.cluster);
    let leader = operator.leader()?;
    let page = || operator.metrics(&leader);
    wait_until("the operator has seen all routes", PATIENCE, || {
        let seen = page()?.value("keyward_operator_objects{kind=\"HTTPRoute\"}");
        ensure!(seen >= f64::from(routes), "{seen} of {routes}");
        Ok(())
    })?;
    std::thread::sleep(REST);
    let idle = page()?;
    std::thread::sleep(REST);
    let before = page()?;
    for change in 0..CHANGES {
        lab.put(change, &format!("changed-{change}"))?;
        std::thread::sleep(BETWEEN);
    }
    std::thread::sleep(Duration::from_secs(2));
    let after = page()?;
    Ok(figures(routes, &idle, &before, &after))
}

fn figures(routes: u32, idle: &Page, before: &Page, after: &Page) -> Vec<Figure> {
    let cpu = |page: &Page| page.sum("keyward_operator_cpu_seconds");
    let memory = before.sum("keyward_operator_resident_memory_bytes") / MIB;
    let each = (cpu(after) - cpu(before)) * 1000.0 / f64::from(CHANGES);
    let at_rest = (cpu(before) - cpu(idle)) * 1000.0 / REST.as_secs_f64();
    vec![
        Figure::plain("footprint: routes", "", f64::from(routes)),
        Figure::new("footprint: operator memory", "MiB", memory, 80.0),
        Figure::new("footprint: CPU per change", "ms", each, 2.0),
        Figure::plain("footprint: CPU at rest", "ms/s", at_rest),
    ]
}
