//! What the kernel knows about processes: CPU time and resident memory.

use anyhow::{Context, Result};

/// CPU time that the processes' threads have had, nanoseconds (first field of `schedstat`).
pub(super) fn cpu_ns(processes: &[u32]) -> Result<u64> {
    processes.iter().map(|process| one_cpu_ns(*process)).sum()
}

fn one_cpu_ns(process: u32) -> Result<u64> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).with_context(|| format!("process {process} is gone"))?;
    // A thread may end between the listing and the reading.
    let times = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    times.map(|line| line.split(' ').next().unwrap_or_default().parse::<u64>().context("schedstat")).sum()
}

/// Resident memory of the largest of the processes, MiB.
pub(super) fn largest_rss(processes: &[u32]) -> Result<f64> {
    let all = processes.iter().map(|process| rss_kib(*process)).collect::<Result<Vec<u64>>>()?;
    Ok(all.into_iter().max().unwrap_or_default() as f64 / 1024.0)
}

fn rss_kib(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).with_context(|| format!("process {process} is gone"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.split_whitespace().next().context("VmRSS")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_process() {
        let us = [std::process::id()];
        assert!(cpu_ns(&us).unwrap() > 0 && largest_rss(&us).unwrap() > 0.0);
    }
}
