//! Prompts: who is told when that a request waits. The plan is pure; the task beside it asks the office which numbers wait, writes
//! down whom it is going to tell, and sends. A mail carries the entry's number and the page's address and nothing else: no plate,
//! name or reason leaves the keeper this way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lockplate_core::Timestamp;
use lockplate_store::durable;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::admin::Waits;
use super::office::{Desk, Office};
use super::people::{People, Person};
use crate::clock::Clock;
use crate::mail::Mailer;

/// A person is told again after so many seconds while a request waits.
const REMINDER_SECONDS: u64 = 30 * 60;
/// Seconds of the hour in which a person gets at most [`PROMPTS_AN_HOUR_MAX`] prompts.
const HOUR_SECONDS: u64 = 3_600;
/// Prompts a person and hour.
const PROMPTS_AN_HOUR_MAX: usize = 6;
/// A prompt that could not be sent is tried again after so many seconds.
const RETRY_SECONDS: u64 = 5 * 60;
/// Pause between two looks at what waits.
const PAUSE: Duration = Duration::from_secs(5);
/// Name of the file in the data folder that says who was told of which number, and when.
const FILE_NAME: &str = "prompts.json";
/// Bytes of that file: 100 numbers and 16 people.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// A person, by place in the configuration, is to be told of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Prompt {
    person: usize,
    number: u64,
}

/// One prompt that was sent, or was going to be when the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    person: usize,
    number: u64,
    at: u64,
}

/// Whom to tell of what now. `after_minutes` are the waiting times of the people, by place; none for a person who is not told at
/// all. News goes before reminders, the oldest request before younger ones; what does not fit into a person's hour waits.
fn due(after_minutes: &[Option<u32>], waiting: &[Waits], told: &[Told], now: Timestamp) -> Vec<Prompt> {
    let mut wanted = Vec::new();
    for waits in waiting {
        for (person, after) in after_minutes.iter().enumerate() {
            let Some(after) = after else { continue };
            let last =
                told.iter().filter(|one| one.person == person && one.number == waits.number).map(|one| one.at).max();
            let from = match last {
                Some(last) => last.saturating_add(REMINDER_SECONDS),
                None => waits.since.0.saturating_add(u64::from(*after).saturating_mul(60)),
            };
            if from <= now.0 {
                wanted.push((last.is_some(), waits.since, Prompt { person, number: waits.number }));
            }
        }
    }
    wanted.sort_by_key(|(again, since, prompt)| (*again, *since, prompt.number));
    let mut hour: Vec<usize> = after_minutes
        .iter()
        .enumerate()
        .map(|(person, _)| told.iter().filter(|one| one.person == person && is_of_this_hour(one, now)).count())
        .collect();
    let mut prompts = Vec::new();
    for (_, _, prompt) in wanted {
        if let Some(count) = hour.get_mut(prompt.person).filter(|count| **count < PROMPTS_AN_HOUR_MAX) {
            *count = count.saturating_add(1);
            prompts.push(prompt);
        }
    }
    prompts
}

const fn is_of_this_hour(told: &Told, now: Timestamp) -> bool {
    now.0 < told.at.saturating_add(HOUR_SECONDS)
}

/// What still matters of what was told: what counts in somebody's hour, and what waits still.
fn forget(told: &mut Vec<Told>, waiting: &[Waits], now: Timestamp) {
    let numbers: BTreeSet<u64> = waiting.iter().map(|waits| waits.number).collect();
    told.retain(|one| numbers.contains(&one.number) || is_of_this_hour(one, now));
}

/// Tells people until `stopping`. Returns only then. `origin` is the page's.
pub(super) async fn run(
    desk: Desk,
    people: People,
    (mailer, origin): (Mailer, String),
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
) {
    let file = folder.join(FILE_NAME);
    let (mut told, link) = (read(&file), format!("{origin}/"));
    let after: Vec<_> = people.all().iter().map(|person| person.mail.as_ref().map(|_| person.after_minutes)).collect();
    loop {
        if let Ok(waiting) = desk.visit(Office::waiting_numbers).await {
            let now = super::now(clock.as_ref());
            forget(&mut told, &waiting, now);
            let prompts = due(&after, &waiting, &told, now);
            if !prompts.is_empty() {
                tell(&people, (&mailer, &link), &prompts, &mut told, &file, now).await;
            }
        }
        tokio::select! { () = stopping.cancelled() => return, () = tokio::time::sleep(PAUSE) => {} }
    }
}

async fn tell(
    people: &People,
    (mailer, link): (&Mailer, &str),
    prompts: &[Prompt],
    told: &mut Vec<Told>,
    file: &Path,
    now: Timestamp,
) {
    let at = told.len();
    told.extend(prompts.iter().map(|prompt| Told { person: prompt.person, number: prompt.number, at: now.0 }));
    // Before the mail: a process that ends and starts again in a circle must not send one each time.
    if write(file, told).is_err() {
        told.truncate(at);
        tracing::warn!("nobody was told what waits: the file of prompts cannot be written");
        return;
    }
    let (mut sent, mut failed) = (0_u32, 0_u32);
    for (prompt, told) in prompts.iter().zip(told.iter_mut().skip(at)) {
        let address = people.all().get(prompt.person).and_then(|person: &Person| person.mail.clone());
        let Some(address) = address else { continue };
        let number = prompt.number.to_string();
        let body = format!("{number}\r\n{link}\r\n");
        match mailer.send(address, number, body).await {
            Ok(()) => sent = sent.saturating_add(1),
            Err(_server_text) => {
                failed = failed.saturating_add(1);
                told.at = now.0.saturating_sub(REMINDER_SECONDS.saturating_sub(RETRY_SECONDS));
            }
        }
    }
    if failed > 0 {
        tracing::warn!(sent, failed, "not everybody could be told what waits; see the mail server");
    } else {
        tracing::info!(sent, "people were told what waits");
    }
}

fn write(file: &Path, told: &[Told]) -> Result<(), ()> {
    let bytes = serde_json::to_vec(told).map_err(|_our_type| ())?;
    durable::replace(file, &bytes).map_err(|_disk| ())
}

/// What the last run told. A file that is gone or torn is as good as none: somebody is told once more.
fn read(file: &Path) -> Vec<Told> {
    let bytes = std::fs::read(file).unwrap_or_default();
    if bytes.is_empty() || bytes.len() > FILE_BYTES_MAX {
        return Vec::new();
    }
    serde_json::from_slice(&bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests;
