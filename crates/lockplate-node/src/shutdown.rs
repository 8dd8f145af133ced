//! How a process of Lockplate runs its tasks and how it ends. Every task is started by [`Tasks`], so that none is cut
//! off in the middle of a durable write without anybody noticing; nothing else may call `tokio::spawn`. The roles wait
//! on [`Tasks::stopping`], finish their work, and the binary turns an [`ExitKind`] into an exit code.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest time between the first signal and the exit (interfaces.md section 6).
pub const SHUTDOWN_MAX: Duration = Duration::from_secs(45);

/// Why a process ends, and the exit code that says so (interfaces.md section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitKind {
    /// Done; also "no match, checked".
    Done,
    /// Our bug.
    Internal,
    /// Wrong usage of the command line.
    Usage,
    /// Configuration or data folder refused.
    Config,
    /// Refused by policy.
    Refused,
    /// Verification failed: somebody lied.
    Lied,
    /// Unavailable, try again: too few keepers, network, disk full.
    Unavailable,
    /// Checks found problems.
    Problems,
    /// The epochs asked for are destroyed.
    Gone,
    /// Another machine of the agency has taken over from this one.
    Fenced,
    /// Interrupted by a second signal.
    Interrupted,
}

impl ExitKind {
    /// The exit code of the process.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Config => 3,
            Self::Refused => 4,
            Self::Lied => 5,
            Self::Unavailable => 6,
            Self::Problems => 7,
            Self::Gone => 8,
            Self::Fenced => 9,
            Self::Interrupted => 130,
        }
    }
}

/// Tasks were still running when the time to stop was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished {
    /// How many tasks were cut off.
    pub tasks: usize,
}

impl core::fmt::Display for Unfinished {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} tasks did not finish in time", self.tasks)
    }
}

impl core::error::Error for Unfinished {}

/// The tasks of one role: the only way to start one. Cheap to clone; all clones are the same set.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stopping: CancellationToken,
    failed: Arc<AtomicBool>,
}

impl Tasks {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task whose failure concerns only itself: a connection, one request. A panic in it is caught and traced
    /// by name.
    ///
    /// `name` is a word from the code, never a value. Must be called inside a tokio runtime.
    pub fn spawn<F>(&self, name: &'static str, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Dropping the join handle detaches the task; the tracker still counts it.
        drop(self.tracker.spawn(async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                tracing::error!(task = name, "task panicked: internal error, our bug");
            }
        }));
    }

    /// Starts a task the role cannot do without: the accept loop, the closing of epochs, the destruction of shares.
    ///
    /// Where it ends before [`stop`](Self::stop) was called, or panics, the whole role stops: a role that silently no
    /// longer destroys shares is worse than one that is down. Must be called inside a tokio runtime.
    pub fn spawn_essential<F>(&self, name: &'static str, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stopping = self.stopping.clone();
        let failed = Arc::clone(&self.failed);
        drop(self.tracker.spawn(async move {
            let ended = AssertUnwindSafe(work).catch_unwind().await;
            if ended.is_err() || !stopping.is_cancelled() {
                tracing::error!(task = name, panicked = ended.is_err(), "essential task ended: the process stops");
                failed.store(true, Ordering::SeqCst);
                stopping.cancel();
            }
        }));
    }

    /// The token that is cancelled when the role shall stop. "Not ready" on the health page means: this is cancelled.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Asks every task to stop; returns at once.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Whether an essential task ended by itself; the process then exits with [`ExitKind::Internal`].
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Asks every task to stop and waits until all have, at most `within` (45 s for a role: [`SHUTDOWN_MAX`]).
    ///
    /// # Errors
    /// [`Unfinished`] where tasks were still running after `within`; they are cut off when the runtime is dropped.
    pub async fn finish(&self, within: Duration) -> Result<(), Unfinished> {
        self.stop();
        self.tracker.close();
        tokio::time::timeout(within, self.tracker.wait())
            .await
            .map_err(|_elapsed| Unfinished { tasks: self.tracker.len() })
    }

    /// Stops the role on SIGTERM or SIGINT; a second signal of either kind exits the process at once with 130.
    ///
    /// Not counted among the tasks to wait for. Must be called inside a tokio runtime, once a process.
    ///
    /// # Errors
    /// Where the operating system refuses to install a signal handler.
    pub fn stop_on_signals(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stopping = self.stopping.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "the signal listener lives as long as the process, so shutdown must not wait for it"
        )]
        drop(tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::info!("signal received: stopping");
            stopping.cancel();
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            // A second signal exits at once; the orphaned spool is closed at the next start.
            std::process::exit(i32::from(ExitKind::Interrupted.code()));
        }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, Signal, kill_process};
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Command, Stdio};

    #[tokio::test]
    async fn finish_waits_for_a_task_that_cleans_up() {
        let tasks = Tasks::new();
        let done = Arc::new(AtomicBool::new(false));
        let (stopping, flag) = (tasks.stopping().clone(), Arc::clone(&done));
        tasks.spawn_essential("cleaner", async move {
            stopping.cancelled().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            flag.store(true, Ordering::SeqCst);
        });
        assert_eq!(tasks.finish(Duration::from_secs(5)).await, Ok(()));
        assert!(done.load(Ordering::SeqCst));
        assert!(!tasks.failed(), "ending after the call to stop is no failure");
    }

    #[tokio::test]
    async fn finish_does_not_wait_for_ever_and_counts_what_it_cuts() {
        let tasks = Tasks::new();
        tasks.spawn("stuck", std::future::pending());
        assert_eq!(tasks.finish(Duration::from_millis(20)).await, Err(Unfinished { tasks: 1 }));
    }

    #[tokio::test]
    async fn an_essential_task_that_ends_or_panics_stops_the_role_and_an_ordinary_one_does_not() {
        let tasks = Tasks::new();
        tasks.spawn("ordinary", async { panic!("a bug in one connection") });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!tasks.stopping().is_cancelled());
        for panics in [false, true] {
            let tasks = Tasks::new();
            tasks.spawn_essential("essential", async move {
                assert!(!panics, "a bug in the accept loop");
            });
            tokio::time::timeout(Duration::from_secs(5), tasks.stopping().cancelled()).await.unwrap();
            assert!(tasks.failed());
        }
    }

    /// The process the next test sends signals to: says what happens to it, and never ends by itself.
    #[tokio::test]
    #[ignore = "started by the test below, in a process of its own"]
    async fn child_waits_for_signals() {
        let say = |line: &str| {
            let mut out = std::io::stdout();
            writeln!(out, "\n{line}").and_then(|()| out.flush()).unwrap();
        };
        let tasks = Tasks::new();
        tasks.stop_on_signals().unwrap();
        say("ready");
        tasks.stopping().cancelled().await;
        say("stopping");
        std::future::pending().await
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a second signal ends the process, so the test needs one of its own")]
    fn a_first_signal_asks_to_stop_and_a_second_exits_at_once() {
        for second in [Signal::TERM, Signal::INT] {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "shutdown::tests::child_waits_for_signals", "--ignored", "--nocapture"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let pid = Pid::from_child(&child);
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut wait_for = |wanted: &str| assert!(lines.any(|line| line.unwrap() == wanted), "{wanted}");
            wait_for("ready");
            kill_process(pid, Signal::TERM).unwrap();
            wait_for("stopping");
            assert!(child.try_wait().unwrap().is_none(), "still there after the first signal");
            kill_process(pid, second).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(130));
        }
    }

    #[test]
    fn exit_codes_are_those_of_the_published_table() {
        let table = [
            (ExitKind::Done, 0),
            (ExitKind::Internal, 1),
            (ExitKind::Usage, 2),
            (ExitKind::Config, 3),
            (ExitKind::Refused, 4),
            (ExitKind::Lied, 5),
            (ExitKind::Unavailable, 6),
            (ExitKind::Problems, 7),
            (ExitKind::Gone, 8),
            (ExitKind::Fenced, 9),
            (ExitKind::Interrupted, 130),
        ];
        for (kind, code) in table {
            assert_eq!(kind.code(), code);
        }
    }
}
