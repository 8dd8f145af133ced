//! Notices of alerts to whoever is not at a terminal: webhooks, mail, MQTT. A notice carries class, camera and a link, never a plate, case
//! or note; who follows the link signs in. Each receiver has a queue of its own with a bound; what does not fit, and what no try
//! delivered, is counted and traced, and hears nobody else up. A restart forgets what waits here: the alerts themselves are stored,
//! and are said again when nobody looks.

pub(super) mod address;
pub(super) mod mail;
pub(super) mod mqtt;
pub(super) mod webhook;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lockplate_core::entry::{ListClass, MatchKind};
use serde::Serialize;
use tokio::sync::mpsc;

use super::lose;
use super::settings::AlertSettings;
use crate::clock::Clock;
use crate::mail::MailRefused;
use crate::settings::KeyFileError;
use crate::shutdown::Tasks;
use crate::tls::{self, TlsError};

/// Notices that wait for one receiver.
const QUEUE_MAX: usize = 256;
/// Pauses between tries: after them it is too late for somebody to look.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];

/// Why a notice is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// An alert was raised.
    Raised,
    /// Nobody has looked at it.
    Escalated,
    /// Nobody has said in time how it ended.
    Overdue,
    /// The entry of this agency (ORI) is out of date.
    Stale(String),
}

impl Why {
    /// Name in the notices of programs.
    const fn name(&self) -> &'static str {
        match self {
            Self::Raised => "alert.raised",
            Self::Escalated => "alert.escalated",
            Self::Overdue => "alert.overdue",
            Self::Stale(_) => "entry.stale",
        }
    }
}

/// What receivers are told. All of it may be shown to anybody who works there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) why: Why,
    pub(super) alert: [u8; 16],
    pub(super) class: ListClass,
    pub(super) matched: MatchKind,
    /// Where the camera stands.
    pub(super) place: String,
    /// Page of the alert.
    pub(super) link: String,
}

/// A notice for a program.
#[derive(Serialize)]
struct Told<'a> {
    r#type: &'static str,
    timestamp: &'a str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    alert: String,
    class: &'static str,
    matched: &'static str,
    camera: &'a str,
    link: &'a str,
}

impl Notice {
    /// As JSON; `time` is RFC 3339.
    fn to_json(&self, time: &str) -> String {
        let data = Data {
            alert: hex::encode(self.alert),
            class: self.class.name(),
            matched: self.matched.name(),
            camera: &self.place,
            link: &self.link,
        };
        // INVARIANT: strings under fixed names always serialise.
        serde_json::to_string(&Told { r#type: self.why.name(), timestamp: time, data }).unwrap_or_default()
    }
}

/// Somebody who is told.
pub(super) trait Receiver: Send + Sync + 'static {
    /// Whether this is for it.
    fn wants(&self, why: &Why) -> bool;
    /// Tells it, with as many tries as it takes care of. False if it was not told.
    fn tell<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, bool>;
}

/// Why notices cannot be sent at all.
#[derive(Debug)]
pub(crate) enum NoNotices {
    /// A key or password file.
    File(KeyFileError),
    /// TLS.
    Tls(TlsError),
    /// A value that does not fit: a fixed sentence that says what to mend.
    Unfit(&'static str),
}

impl From<KeyFileError> for NoNotices {
    fn from(cause: KeyFileError) -> Self {
        Self::File(cause)
    }
}

impl From<TlsError> for NoNotices {
    fn from(cause: TlsError) -> Self {
        Self::Tls(cause)
    }
}

impl From<MailRefused> for NoNotices {
    fn from(refused: MailRefused) -> Self {
        match refused {
            MailRefused::File(cause) => Self::File(cause),
            MailRefused::Unfit(what) => Self::Unfit(what),
        }
    }
}

type Queue = mpsc::Sender<Arc<Notice>>;

/// Tells everybody who is to be told.
pub(super) struct Notifier {
    receivers: Vec<(Arc<dyn Receiver>, Queue)>,
    lost: Arc<AtomicU64>,
}

impl Notifier {
    /// Reads the receivers' key files, and starts a task for each. Blocks for the files.
    pub(super) fn start(settings: &AlertSettings, clock: &Arc<dyn Clock>, tasks: &Tasks) -> Result<Self, NoNotices> {
        let mut all: Vec<Arc<dyn Receiver>> = Vec::new();
        for hook in &settings.webhooks {
            let (lookup, tls) = (address::system_lookup(), tls::web_client_config(None)?);
            all.push(Arc::new(webhook::Webhook::new(hook, lookup, tls, Arc::clone(clock))?));
        }
        if let Some(mail) = &settings.mail {
            all.extend(mail::MailReceiver::each(mail)?.into_iter().map(|one| Arc::new(one) as Arc<dyn Receiver>));
        }
        if let Some(mqtt) = &settings.mqtt {
            all.push(Arc::new(mqtt::MqttReceiver::start(
                mqtt,
                tls::web_client_config(None)?,
                Arc::clone(clock),
                tasks,
            )?));
        }
        Ok(Self::of(all, tasks))
    }

    fn of(all: Vec<Arc<dyn Receiver>>, tasks: &Tasks) -> Self {
        let lost = Arc::new(AtomicU64::new(0));
        let receivers = all.into_iter().map(|receiver| {
            let (sender, queue) = mpsc::channel(QUEUE_MAX);
            let work = tell_all(Arc::clone(&receiver), queue, Arc::clone(&lost));
            let stopping = tasks.stopping().clone();
            // What waits for a receiver that is away does not keep the process from ending.
            tasks.spawn("notices", async move {
                let _stopped = stopping.run_until_cancelled(work).await;
            });
            (receiver, sender)
        });
        Self { receivers: receivers.collect(), lost }
    }

    /// Returns at once.
    pub(super) fn notify(&self, notice: Notice) {
        let notice = Arc::new(notice);
        for (_, queue) in self.receivers.iter().filter(|(receiver, _)| receiver.wants(&notice.why)) {
            if queue.try_send(Arc::clone(&notice)).is_err() {
                lose(&self.lost, 1, "alert-notice-lost: a receiver of notices has too many waiting");
            }
        }
    }

    /// Notices that did not reach a receiver.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

async fn tell_all(receiver: Arc<dyn Receiver>, mut queue: mpsc::Receiver<Arc<Notice>>, lost: Arc<AtomicU64>) {
    while let Some(notice) = queue.recv().await {
        if !receiver.tell(&notice).await {
            lose(&lost, 1, "alert-notice-lost: a notice did not reach its receiver");
        }
    }
}

#[cfg(test)]
mod tests;
