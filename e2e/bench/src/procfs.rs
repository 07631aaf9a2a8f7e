//! What the kernel knows about processes: CPU time, resident memory, children; and how much of the machine others took.

use std::fs;

use anyhow::{Context, Result};

/// A process and all of its descendants, as they are now.
pub fn family(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = processes().filter_map(|child| Some((child, parent(child)?))).collect();
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&member) = family.get(next) {
        family.extend(parents.iter().filter(|(_, parent)| *parent == member).map(|(child, _)| *child));
        next += 1;
    }
    family
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    u32::try_from(status_field(pid, "PPid:")?).ok()
}

/// The number in a line of `/proc/PID/status`.
fn status_field(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// CPU time that the processes' threads have had, nanoseconds (first field of `schedstat`).
pub fn cpu_ns(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| process_cpu_ns(*pid)).sum()
}

fn process_cpu_ns(pid: u32) -> Result<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))?;
    // A thread may end between the listing and the reading.
    let times = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    times.map(|line| line.split(' ').next().unwrap_or_default().parse::<u64>().context("schedstat")).sum()
}

/// Resident memory of the processes, KiB (`VmRSS`; pages that they share count for each).
pub fn rss_kib(pids: &[u32]) -> Result<u64> {
    let rss = |pid: &u32| status_field(*pid, "VmRSS:").with_context(|| format!("process {pid} is gone"));
    pids.iter().map(rss).sum()
}

/// The machine's time so far, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct MachineTime {
    total: u64,
    stolen: u64,
}

impl MachineTime {
    /// Now.
    pub fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().context("/proc/stat is empty")?;
        // user nice system idle iowait irq softirq steal; the guests' fields after them are part of user and nice.
        let fields: Vec<u64> = line.split_whitespace().skip(1).take(8).map(|field| field.parse().unwrap_or(0)).collect();
        Ok(Self { total: fields.iter().sum(), stolen: fields.get(7).copied().unwrap_or(0) })
    }

    /// The share that the hypervisor gave to others since `earlier`.
    pub fn stolen_since(&self, earlier: &Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total).max(1);
        self.stolen.saturating_sub(earlier.stolen) as f64 / total as f64
    }
}

/// How many files a process of ours may be allowed to open.
pub fn open_files_limit() -> Result<u64> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).context("/proc/self/limits")?;
    let hard = line.split_whitespace().nth(1).context("/proc/self/limits")?;
    // More would only make peers reserve memory for it.
    Ok(hard.parse().unwrap_or(u64::MAX).min(65_536))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_process() {
        let pid = std::process::id();
        assert!(family(pid).contains(&pid));
        assert!(cpu_ns(&[pid]).unwrap() > 0 && rss_kib(&[pid]).unwrap() > 0 && open_files_limit().unwrap() > 0);
    }
}
