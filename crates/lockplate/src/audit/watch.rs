//! `lockplate audit watch`: follows all logs of a charter, compares what stands in them, and tells each alarm once and when it is over. A lie
//! ends it with exit 5 and the evidence; everything else it goes on watching.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use lockplate_audit::monitor::Alarm;
use lockplate_core::Timestamp;
use lockplate_core::charter::{Charter, LogName};
use lockplate_core::json::time_text;
use lockplate_node::follow::{FollowError, Reader};
use lockplate_node::shutdown::{ExitKind, Tasks};
use lockplate_node::verify::{Look, Watch};
use serde_json::{Value, json};

use super::CharterArgs;
use crate::agency::now;
use crate::screen::Screen;
use crate::verify::{alarm_line, gap_text, party, tell_bundles, with_cause};

/// Follow all logs of a charter.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    charter: CharterArgs,
    /// Folder that keeps the logs and the evidence; watching goes on where it was
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Look once; exit 7 if alarms stand
    #[arg(long)]
    once: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: u64,
}

/// What stood after the last look.
#[derive(Default)]
struct Standing {
    alarms: BTreeMap<Alarm, PathBuf>,
    unseen: BTreeMap<LogName, String>,
    gaps: Vec<String>,
}

/// Watches until it is told to stop, or somebody lied.
pub(crate) async fn run(args: WatchArgs, screen: &Screen) -> Result<ExitKind> {
    let charter = args.charter.charter(screen).await?;
    let mut watch = Watch::new(charter, &args.data, Reader::Monitor)?;
    tell_bundles(&watch)?;
    let tasks = Tasks::new();
    tasks.stop_on_signals().context("the system refuses signal handlers")?;
    let mut standing = Standing::default();
    loop {
        let look = watch.look(now().0).await;
        standing.tell(&watch, &look, screen)?;
        let kind = look.exit_kind();
        if args.once || kind == ExitKind::Lied {
            return Ok(kind);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.every)) => {}
            () = tasks.stopping().cancelled() => return Ok(ExitKind::Done),
        }
    }
}

impl Standing {
    /// Says what is new since the last look, and what is over.
    fn tell(&mut self, watch: &Watch, look: &Look, screen: &Screen) -> Result<()> {
        let charter = watch.charter().charter();
        let say = Say { screen, at: look.at };
        let mut unseen = BTreeMap::new();
        for log in &look.logs {
            match &log.seen {
                Ok(seen) if seen.added > 0 => say.grown(charter, log.name, seen.size, seen.added),
                Ok(_) => {}
                Err(error) => {
                    let text = with_cause(error);
                    if self.unseen.get(&log.name) != Some(&text) {
                        say.unseen(charter, log.name, error);
                    }
                    unseen.insert(log.name, text);
                }
            }
        }
        for name in self.unseen.keys().filter(|name| !unseen.contains_key(name)) {
            say.seen_again(charter, *name);
        }
        self.unseen = unseen;

        let over: Vec<Alarm> = self.alarms.keys().filter(|alarm| !look.alarms.contains(alarm)).cloned().collect();
        for alarm in over {
            self.alarms.remove(&alarm);
            say.over(charter, &alarm);
        }
        for alarm in &look.alarms {
            if !self.alarms.contains_key(alarm) {
                let evidence = watch.keep_alarm(alarm)?;
                say.alarm(charter, alarm, &evidence);
                self.alarms.insert(alarm.clone(), evidence);
            }
        }
        let gaps: Vec<String> = look.gaps.iter().map(|gap| gap_text(charter, gap)).collect();
        for gap in gaps.iter().filter(|gap| !self.gaps.contains(gap)) {
            say.event("not-checked", &json!({ "what": gap }), &format!("{:<12} {gap}", "not checked"));
        }
        self.gaps = gaps;
        Ok(())
    }
}

/// Prints events: a line for people, or one JSON document a line.
struct Say<'a> {
    screen: &'a Screen,
    at: u64,
}

impl Say<'_> {
    fn event(&self, event: &str, fields: &Value, line: &str) {
        let at = time_text(Timestamp(self.at));
        if !self.screen.json() {
            self.screen.line(&format!("{at}  {line}"));
            return;
        }
        let mut document = json!({ "schema": "lockplate/audit/1", "kind": "watch", "event": event, "at": at });
        if let (Some(document), Some(fields)) = (document.as_object_mut(), fields.as_object()) {
            document.extend(fields.clone());
        }
        self.screen.document(&document);
    }

    fn grown(&self, charter: &Charter, log: LogName, size: u64, added: u64) {
        let line = format!("{:<12} {}: {size} entries, {added} of them new", "as signed", party(charter, &log));
        self.event("log", &json!({ "log": log.to_string(), "entries": size, "added": added }), &line);
    }

    fn unseen(&self, charter: &Charter, log: LogName, error: &FollowError) {
        let lied = error.exit_kind() == ExitKind::Lied;
        let mut fields = json!({ "log": log.to_string(), "error": with_cause(error), "lied": lied });
        let mut line =
            format!("{:<12} {}: {}", if lied { "LIED" } else { "not seen" }, party(charter, &log), with_cause(error));
        if let (FollowError::Lied { evidence, .. }, Some(fields)) = (error, fields.as_object_mut()) {
            fields.insert("evidence".to_owned(), json!(evidence));
            line = format!("{line}; evidence: {}", evidence.display());
        }
        self.event(if lied { "lied" } else { "not-seen" }, &fields, &line);
    }

    fn seen_again(&self, charter: &Charter, log: LogName) {
        let line = format!("{:<12} {}", "seen again", party(charter, &log));
        self.event("seen-again", &json!({ "log": log.to_string() }), &line);
    }

    fn alarm(&self, charter: &Charter, alarm: &Alarm, evidence: &std::path::Path) {
        let line = format!("{}; evidence: {}", alarm_line(charter, alarm), evidence.display());
        let fields = json!({ "alarm": alarm, "number": alarm.rule.id(), "text": alarm.text(), "evidence": evidence });
        self.event("alarm", &fields, &line);
    }

    fn over(&self, charter: &Charter, alarm: &Alarm) {
        let line = alarm_line(charter, alarm).replacen("ALARM", "OVER", 1);
        self.event("over", &json!({ "alarm": alarm, "number": alarm.rule.id() }), &line);
    }
}
