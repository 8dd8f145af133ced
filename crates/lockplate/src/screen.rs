//! What a command prints, and where: results on standard output, everything else on standard error, one JSON document with
//! `--json`, colour on terminals only. A reader who closes the pipe ends the printing, not the work.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

/// The two streams of a command, and what the global flags say of them.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    json: bool,
    quiet: bool,
    colour: bool,
}

impl Screen {
    /// `colour` is the wish; it needs a terminal as well.
    pub(crate) fn new(json: bool, quiet: bool, colour: bool) -> Self {
        Self { json, quiet, colour: colour && std::io::stdout().is_terminal() }
    }

    /// Whether standard output is one JSON document.
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// Whether a progress bar may be drawn.
    pub(crate) fn draws(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    /// A line of the result.
    pub(crate) fn line(&self, text: &str) {
        let _closed_pipe = writeln!(std::io::stdout(), "{text}");
    }

    /// A line of the result that stands out on a terminal.
    pub(crate) fn heading(&self, text: &str) {
        if self.colour { self.line(&format!("\u{1b}[1m{text}\u{1b}[0m")) } else { self.line(text) }
    }

    /// The one document of `--json`.
    pub(crate) fn document(&self, value: &Value) {
        self.line(&value.to_string());
    }

    /// A line beside the result, unless `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            let _closed_pipe = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// A failure; printed even with `--quiet`.
    pub(crate) fn error(&self, text: &str) {
        let _closed_pipe = writeln!(std::io::stderr(), "error: {text}");
    }
}
