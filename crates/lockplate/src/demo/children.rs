//! The processes of the demo: the same binary, started by its path, its traces in files. None outlives the demo: an orderly end
//! first, a kill where that takes too long or the demo itself fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::exit::Ended;

/// How long all processes together may take to end in order.
const STOP_MAX: Duration = Duration::from_secs(12);
/// How long one command may take.
const COMMAND_MAX: Duration = Duration::from_secs(90);

/// Every process that was started and not yet seen gone.
#[derive(Debug)]
pub(super) struct Children {
    program: PathBuf,
    folder: PathBuf,
    running: Vec<(String, Child)>,
}

impl Children {
    /// None yet. `folder` is the demo's own; traces go to `traces` in it.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("this binary's own path cannot be found")?;
        crate::keeper::private_folder(&folder.join("traces"))?;
        Ok(Self { program, folder: folder.to_owned(), running: Vec::new() })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments.iter().map(OsStr::new))
            .current_dir(&self.folder)
            .env_clear()
            .stdin(Stdio::null())
            // Their own group: the terminal's ctrl-C goes to the demo, which ends them in order.
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Starts a role.
    pub(super) fn start(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        let trace = std::fs::File::create(self.folder.join("traces").join(format!("{name}.txt")))
            .context("a trace file cannot be created")?;
        let mut command = self.command(arguments);
        let child = command.stdout(Stdio::null()).stderr(Stdio::from(trace)).spawn();
        self.running.push((name.to_owned(), child.with_context(|| format!("{name} cannot be started"))?));
        Ok(())
    }

    /// Fails if a process has ended by itself, with the end of its trace.
    pub(super) fn check(&mut self) -> Result<()> {
        for (name, child) in &mut self.running {
            if let Some(status) = child.try_wait().context("a process cannot be asked for")? {
                let trace = self.folder.join("traces").join(format!("{name}.txt"));
                let text = std::fs::read_to_string(&trace).unwrap_or_default();
                let last: Vec<&str> = text.lines().rev().take(5).collect();
                let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
                return Err(Ended::internal(format!("{name} ended by itself ({status})\n{last}")).into());
            }
        }
        Ok(())
    }

    /// Runs a command to its end.
    pub(super) async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.context("a command cannot be started")?;
        let ended = tokio::time::timeout(COMMAND_MAX, child.wait_with_output()).await;
        ended
            .map_err(|_elapsed| Ended::internal(format!("`lockplate {}` did not end", arguments.join(" "))))?
            .context("a command cannot be waited for")
    }

    /// Runs a command that must succeed; its standard output.
    pub(super) async fn must(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments).await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Ended::internal(format!("`lockplate {}` failed: {}", arguments.join(" "), said.trim())).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Ends every process in order, at most [`STOP_MAX`] for all, and sees each gone.
    pub(super) async fn stop(&mut self) {
        for (_, child) in &self.running {
            let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
            if let Some(pid) = pid {
                // An error means that it is gone already, which is what was asked for.
                let _gone = kill_process(pid, Signal::TERM);
            }
        }
        let all = async {
            for (_, child) in &mut self.running {
                let _status = child.wait().await;
            }
        };
        let in_time = tokio::time::timeout(STOP_MAX, all).await.is_ok();
        if !in_time {
            for (_, child) in &mut self.running {
                let _status = child.kill().await;
            }
        }
        self.running.clear();
    }
}
