//! Traces of a process: one line an event on standard error, text or JSON, and what a panic may print. No plate,
//! officer, warrant, key or request body may reach a trace; other crates are kept at warnings however verbose the
//! operator asks to be, because they would print addresses and headers. Traces go to the operator, never to the log
//! (the log is evidence, traces are not).

use std::io::Write as _;

use tracing_subscriber::EnvFilter;

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TraceFormat {
    /// One readable line an event.
    #[default]
    Text,
    /// One JSON document an event.
    Json,
}

/// A subscriber was installed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlreadyInstalled;

impl core::fmt::Display for AlreadyInstalled {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("traces are already set up in this process")
    }
}

impl core::error::Error for AlreadyInstalled {}

/// The filter for a count of `-v` flags: 0 = info, 1 = debug, 2 and more = trace, for Lockplate's own crates only.
fn directives(verbose: u8) -> String {
    let level = match verbose {
        0 => "info",
        1 => "debug",
        2.. => "trace",
    };
    // A directive for "lockplate" is a prefix: it covers lockplate_node and the others too.
    format!("warn,lockplate={level}")
}

/// Sends the traces of this process to standard error and installs the panic hook. Call once, first thing in `main`.
///
/// `verbose` counts the `-v` flags. The environment is not read: who may set a variable may not make a role talk.
///
/// # Errors
/// [`AlreadyInstalled`] on a second call.
pub fn install(verbose: u8, format: TraceFormat) -> Result<(), AlreadyInstalled> {
    std::panic::set_hook(Box::new(|panic| {
        // The payload may hold a value (`expect` on a parse, a slice index), so only the place is printed. Standard
        // error, not a trace: the panic may have come from the middle of one.
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let _best_effort = writeln!(std::io::stderr(), "internal error, our bug: panic at {place}");
    }));
    let builder =
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(EnvFilter::new(directives(verbose)));
    let installed = match format {
        TraceFormat::Text => builder.with_ansi(false).try_init(),
        TraceFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    installed.map_err(|_already| AlreadyInstalled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Captured {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn verbosity_raises_our_own_crates_only() {
        let captured = Captured::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(captured.clone())
            .with_env_filter(EnvFilter::new(directives(2)))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "lockplate_node::http", "ours");
            tracing::info!(target: "reqwest::connect", "theirs");
            tracing::warn!(target: "reqwest::connect", "their warning");
        });
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("ours") && text.contains("their warning"));
        assert!(!text.contains("theirs"));
    }

    #[test]
    #[ignore = "started by the test below, in a process of its own"]
    fn child_panics() {
        install(2, TraceFormat::Json).unwrap();
        assert_eq!(install(0, TraceFormat::Text), Err(AlreadyInstalled));
        tracing::info!(count = 3, "before the panic");
        panic!("{}", ["SEC", "RET"].concat());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the panic hook is of the whole process, so the test needs one")]
    fn a_panic_prints_its_place_and_not_its_payload_and_events_are_json() {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "trace::tests::child_panics", "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let said = String::from_utf8(child.stderr).unwrap();
        let (event, panic) = said.trim_end().split_once('\n').unwrap();
        let event: serde_json::Value = serde_json::from_str(event).unwrap();
        assert_eq!((&event["message"], &event["count"]), (&"before the panic".into(), &3.into()));
        assert!(panic.starts_with("internal error, our bug: panic at "), "{panic}");
        assert!(panic.contains("trace.rs:") && !said.contains("SECRET"), "{said}");
    }

    #[test]
    fn by_default_debug_events_are_dropped() {
        assert_eq!(directives(0), "warn,lockplate=info");
        assert_eq!(directives(1), "warn,lockplate=debug");
        assert_eq!(directives(200), "warn,lockplate=trace");
    }
}
