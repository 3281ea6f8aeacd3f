//! CPU time and memory of processes, from `/proc`.

use std::{str::FromStr, time::Instant};

use anyhow::{Context, ensure};
use serde::Serialize;

/// Of `/proc/*/stat`, per second. The kernel shows user space 100 whatever its own clock.
const TICKS: f64 = 100.0;

/// A process to be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// What it is called in reports.
    pub name: String,
    /// Its number.
    pub pid: u32,
}

impl FromStr for Process {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, pid) = text.split_once('=').context("write NAME=PID, such as gateway=4711")?;
        let pid = pid.parse().context("the PID is not a number")?;
        let process = Self { name: name.to_owned(), pid };
        ensure!(process.cpu().is_some(), "there is no process {pid}");
        Ok(process)
    }
}

impl Process {
    /// This one.
    pub fn own() -> Self {
        Self { name: "generator".to_owned(), pid: std::process::id() }
    }

    /// Seconds of CPU so far; `None` when it has ended.
    pub fn cpu(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // Behind the name, which may hold anything: the state is the first, user and system time the 12th and 13th.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut next = || fields.next()?.parse::<f64>().ok();
        Some((next()? + next()?) / TICKS)
    }

    /// Whether it was told to stand still, and does.
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Memory in use, in bytes; 0 when it has ended.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.unwrap_or(0) * 1024
    }
}

/// What a process used while it was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Usage {
    /// Which.
    pub name: String,
    /// Microseconds of CPU per signal; `None` when it ended meanwhile, or nothing was relayed.
    pub cpu_us_per_signal: Option<f64>,
    /// Share of one CPU.
    pub cpu_share: Option<f64>,
    /// Memory in use at the end, in bytes.
    pub memory: u64,
}

/// Measures processes over a span of time.
pub struct Meter {
    began: Instant,
    processes: Vec<(Process, Option<f64>)>,
}

impl Meter {
    /// From now on.
    pub fn start(processes: Vec<Process>) -> Self {
        let processes = processes.into_iter().map(|process| {
            let cpu = process.cpu();
            (process, cpu)
        });
        Self { began: Instant::now(), processes: processes.collect() }
    }

    /// Until now: seconds, and CPU seconds and memory of each.
    pub fn stop(self) -> Measured {
        let seconds = self.began.elapsed().as_secs_f64();
        let used = self.processes.into_iter().map(|(process, before)| {
            let cpu = before.and_then(|before| Some(process.cpu()? - before));
            let memory = process.memory();
            (process.name, cpu, memory)
        });
        Measured { seconds, used: used.collect() }
    }
}

/// What was measured.
pub struct Measured {
    /// For how long.
    pub seconds: f64,
    used: Vec<(String, Option<f64>, u64)>,
}

impl Measured {
    /// Set beside the number of signals.
    #[expect(clippy::cast_precision_loss, reason = "as precise as anybody reads")]
    pub fn usage(&self, signals: u64) -> Vec<Usage> {
        let usage = self.used.iter().map(|(name, cpu, memory)| Usage {
            name: name.clone(),
            cpu_us_per_signal: cpu.filter(|_| signals > 0).map(|cpu| cpu * 1e6 / signals as f64),
            cpu_share: cpu.map(|cpu| cpu / self.seconds),
            memory: *memory,
        });
        usage.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_cpu_and_memory() {
        let own = Process::own();
        let meter = Meter::start(vec![own.clone(), Process { name: "nobody".to_owned(), pid: u32::MAX }]);
        let before = own.cpu().unwrap();
        while own.cpu().unwrap() < before + 0.02 {}
        let usage = meter.stop().usage(10);
        assert!(usage[0].cpu_us_per_signal.unwrap() >= 2000.0 && usage[0].memory > 1 << 20, "{usage:?}");
        assert!(usage[1].cpu_us_per_signal.is_none());
    }

    #[test]
    fn a_process_is_named_with_its_number() {
        let own: Process = format!("me={}", std::process::id()).parse().unwrap();
        assert_eq!((own.name.as_str(), own.pid), ("me", std::process::id()));
        for bad in ["me", "me=", "me=x", "me=4294967295"] {
            assert!(bad.parse::<Process>().is_err(), "{bad}");
        }
    }
}
