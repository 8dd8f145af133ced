//! `lockplate audit watch`: follows all logs of a charter, compares what stands in them, and tells each alarm once and when it is over. A lie
//! ends it with exit 5 and the evidence; everything else it goes on watching. What was told is kept beside the logs, so that a run goes on
//! where the last one ended: an alarm from before is named once more, as one that stands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use lockplate_audit::monitor::{Alarm, MonitorRule};
use lockplate_audit::register::{Decision, Entry, Register};
use lockplate_core::Timestamp;
use lockplate_core::charter::{Charter, LogName};
use lockplate_core::json::time_text;
use lockplate_node::follow::{FollowError, Reader};
use lockplate_node::shutdown::{ExitKind, Tasks};
use lockplate_node::verify::{Look, Watch};
use lockplate_store::durable;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::CharterArgs;
use crate::agency::now;
use crate::exit::Ended;
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

/// Name of the file in the folder that says what was told.
const TOLD_FILE: &str = "told.json";
/// Bytes of it.
const TOLD_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What was told up to the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    /// Entries of each log, by its name.
    entries: BTreeMap<String, u64>,
    /// The alarms that stood, by their line for people; the value is the JSON of each.
    alarms: BTreeMap<String, Value>,
    /// How it stood with the paper of each emergency, by the number of its request.
    #[serde(default)]
    emergencies: BTreeMap<String, String>,
}

impl Told {
    fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(TOLD_FILE);
        let refuse = |what: &str| {
            Ended::config(format!("{}: {what}; without the file everything is told again", path.display()))
        };
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Ok(file) if file.len() <= TOLD_BYTES_MAX => {}
            Ok(_) | Err(_) => return Err(refuse("cannot be read").into()),
        }
        let bytes = std::fs::read(&path).map_err(|_os| refuse("cannot be read"))?;
        Ok(serde_json::from_slice(&bytes).map_err(|_form| refuse("is not what this program wrote"))?)
    }

    fn keep(&self, folder: &Path) -> Result<()> {
        let path = folder.join(TOLD_FILE);
        let bytes = serde_json::to_vec(self).context("what was told could not be written")?;
        Ok(durable::replace(&path, &bytes).map_err(|error| Ended::config(format!("{}: {error}", path.display())))?)
    }
}

/// What stood after the last look.
struct Standing {
    told: Told,
    /// Alarms of an earlier run that this one has not named yet.
    from_before: BTreeSet<String>,
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
    let told = Told::read(&args.data)?;
    let from_before = told.alarms.keys().cloned().collect();
    let mut standing = Standing { told, from_before, unseen: BTreeMap::new(), gaps: Vec::new() };
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
        let before = self.told.clone();
        let mut unseen = BTreeMap::new();
        for log in &look.logs {
            match &log.seen {
                Ok(seen) => {
                    let known = self.told.entries.insert(log.name.to_string(), seen.size).unwrap_or(0);
                    if seen.size > known {
                        say.grown(charter, log.name, seen.size, seen.size.saturating_sub(known));
                    }
                }
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

        let mut standing = BTreeMap::new();
        for alarm in &look.alarms {
            let line = alarm_line(charter, alarm);
            let document = serde_json::to_value(alarm).context("an alarm could not be written")?;
            let known = self.told.alarms.contains_key(&line);
            // One of an earlier run is named again, or an exit 7 would have no reason on the screen.
            if self.from_before.remove(&line) || !known {
                let word = if known { Word::Stands } else { Word::New };
                say.alarm(word, alarm, (&document, &line), &watch.keep_alarm(alarm)?);
            }
            standing.insert(line, document);
        }
        for (line, document) in self.told.alarms.iter().filter(|(line, _)| !standing.contains_key(*line)) {
            say.over(document, line);
        }
        let emergencies: Vec<Entry> =
            watch.with_logs(|logs| Register::of(logs, Timestamp(look.at)).emergencies().collect());
        for entry in emergencies {
            let number = entry.id.to_string();
            let status = match (&entry.paper, entry.decision) {
                (Some(paper), _) => paper.status,
                (None, Decision::Granted) => "granted",
                (None, Decision::Refused) => "refused",
                (None, Decision::Waiting) => "waiting",
            };
            let status = status.to_owned();
            if self.told.emergencies.insert(number, status.clone()).as_ref() != Some(&status) {
                say.emergency(&entry, &status);
            }
        }
        self.from_before.clear();
        self.told.alarms = standing;
        if self.told != before {
            self.told.keep(watch.folder())?;
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

    fn alarm(&self, word: Word, alarm: &Alarm, (document, line): (&Value, &str), evidence: &Path) {
        let (event, line) = match word {
            Word::New => ("alarm", line.to_owned()),
            Word::Stands => ("stands", line.replacen("ALARM", "STILL", 1)),
        };
        let fields =
            json!({ "alarm": document, "number": alarm.rule.id(), "text": alarm.text(), "evidence": evidence });
        self.event(event, &fields, &format!("{line}; evidence: {}", evidence.display()));
    }

    /// Told as soon as it stands in a log, and again whenever its paper is due, filed or overdue.
    fn emergency(&self, entry: &Entry, status: &str) {
        let agency = entry.requester.name.clone().unwrap_or_else(|| entry.requester.id.clone());
        let due = entry.paper.map(|paper| format!(", paper due by {}", time_text(paper.deadline))).unwrap_or_default();
        let line = format!("{:<12} {agency}: {status}{due}; request {}", "EMERGENCY", entry.id);
        let fields = json!({
            "request": entry.id, "agency": entry.requester, "purpose": entry.purpose, "status": status, "paper": entry.paper,
        });
        self.event("emergency", &fields, &line);
    }

    fn over(&self, document: &Value, line: &str) {
        let rule = document["rule"].as_str().and_then(MonitorRule::from_name);
        let fields = json!({ "alarm": document, "number": rule.map(MonitorRule::id) });
        self.event("over", &fields, &line.replacen("ALARM", "OVER", 1));
    }
}

/// Whether an alarm was told before.
#[derive(Clone, Copy)]
enum Word {
    New,
    Stands,
}
