//! A process of the town, with its outputs in files: killed, stopped, asked for its memory. It never outlives the test.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{command, moment, pause};

/// Longest orderly end (`interfaces.md` section 6), and a little.
const STOP_MAX: Duration = Duration::from_secs(50);

static STARTED: AtomicU32 = AtomicU32::new(0);

/// A running process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stderr: PathBuf,
}

impl Process {
    /// Starts a program; its outputs go to new files in `traces`, its working folder is `at`.
    pub fn start(name: &str, program: &str, line: &[String], traces: &Path, at: &Path) -> Self {
        std::fs::create_dir_all(traces).unwrap();
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let file = |kind: &str| traces.join(format!("{name}-{number}.{kind}"));
        let child = command(program)
            .args(line)
            .current_dir(at)
            .stdout(Stdio::from(File::create(file("stdout")).unwrap()))
            .stderr(Stdio::from(File::create(file("stderr")).unwrap()))
            .spawn()
            .unwrap();
        Self { name: name.to_owned(), child, stderr: file("stderr") }
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end, at most so long.
    pub fn wait(&mut self, most: Duration) -> Option<ExitStatus> {
        let begun = moment();
        while begun.elapsed() < most {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            pause(20);
        }
        None
    }

    /// The end of what it wrote on standard error.
    pub fn said(&self) -> String {
        let text = String::from_utf8_lossy(&std::fs::read(&self.stderr).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// SIGTERM and an exit code of 0.
    pub fn stop(mut self) {
        signal(self.pid(), "TERM");
        let status = self.wait(STOP_MAX);
        let code = status.and_then(|status| status.code());
        assert_eq!(code, Some(0), "{} did not end in order ({status:?}):\n{}", self.name, self.said());
    }

    /// SIGKILL, with every child of it.
    pub fn kill(mut self) {
        let children = descendants(self.pid());
        signal(self.pid(), "KILL");
        for child in children {
            signal(child, "KILL");
        }
        self.child.wait().unwrap();
    }

    /// SIGKILL to it alone.
    pub fn kill_alone(mut self) {
        signal(self.pid(), "KILL");
        self.child.wait().unwrap();
    }

    /// Its children that are sealers.
    pub fn sealers(&self) -> Vec<u32> {
        descendants(self.pid()).into_iter().filter(|pid| is_sealer(*pid)).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            for child in descendants(self.pid()) {
                signal(child, "KILL");
            }
            // An error means that it is gone already.
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

/// Whether a process is a sealer.
pub fn is_sealer(pid: u32) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).nth(1) == Some(b"sealer")
}

/// Whether there is such a process.
pub fn lives(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat.rsplit(") ").next().unwrap_or_default().starts_with('Z')
}

/// Sends a signal by its name.
pub fn signal(pid: u32, name: &str) {
    let sent = command("kill").args(["-s", name, &pid.to_string()]).stderr(Stdio::null()).status();
    assert!(sent.is_ok(), "there is no kill(1) on this machine");
}

/// Children, their children, and so on.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut parents: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name in brackets may hold anything; the state and the parent stand behind it.
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        if let Some(parent) = parent {
            parents.entry(parent).or_default().push(child);
        }
    }
    let mut all = Vec::new();
    let mut next = vec![pid];
    while let Some(pid) = next.pop() {
        for child in parents.get(&pid).into_iter().flatten() {
            all.push(*child);
            next.push(*child);
        }
    }
    all
}

/// Anonymous memory of a process, KiB.
pub fn memory_kib(pid: u32) -> u64 {
    status_kib(pid, "RssAnon:").unwrap()
}

/// A line of `/proc/<pid>/status` that is in KiB; none where the process has ended.
pub fn status_kib(pid: u32, line: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let found = status.lines().find_map(|text| text.strip_prefix(line))?;
    found.split_whitespace().next()?.parse().ok()
}
