//! Sources that do not come by themselves: a broker is listened to, a camera is asked. One task for each, started and ended as
//! the register of sources says, and ended with the role. What one payload says goes the way of every other; here nobody waits
//! for an answer, so that a payload is kept, and nothing else read, until it is taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockplate_intake::Parsed;
use tokio_util::sync::CancellationToken;

use super::counters::add;
use super::mqtt::{self, MqttSettings};
use super::payload::Unpacked;
use super::pull::{self, PullSettings};
use super::webhook::TRY_AGAIN;
use super::{Inner, NotTaken, REFRESH, SourceSettings};

/// First pause before a lost connection is made again; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Pause before it is looked again whether a source may send one payload more.
const PACE_PAUSE: Duration = Duration::from_millis(20);

/// Where a source is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// At a broker.
    Mqtt(MqttSettings),
    /// At the camera.
    Pull(PullSettings),
}

/// The pauses between tries.
#[derive(Debug)]
pub(super) struct Pause(Duration);

impl Pause {
    pub(super) const fn new() -> Self {
        Self(PAUSE_FIRST)
    }

    /// It worked: the next pause is a first one.
    pub(super) const fn reset(&mut self) {
        self.0 = PAUSE_FIRST;
    }

    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = self.0.saturating_mul(2).min(PAUSE_MAX);
    }
}

/// A task that runs.
struct Running {
    fetched: Fetched,
    stop: CancellationToken,
    ended: CancellationToken,
}

impl Inner {
    /// Keeps one task for each source that is fetched. Until the role stops.
    pub(super) async fn keep_fetching(self: Arc<Self>) {
        let mut running: BTreeMap<String, Running> = BTreeMap::new();
        loop {
            let book = self.book();
            running.retain(|name, task| {
                let wanted = book.sources.get(name).and_then(|source| source.fetched.as_ref());
                let stays = wanted == Some(&task.fetched) && !task.ended.is_cancelled();
                if !stays {
                    task.stop.cancel();
                }
                stays
            });
            for source in book.sources.values() {
                if let Some(fetched) = &source.fetched {
                    let start = || self.fetch(source.name.clone(), fetched.clone());
                    running.entry(source.name.clone()).or_insert_with(start);
                }
            }
            tokio::select! {
                () = self.tasks.stopping().cancelled() => return,
                () = tokio::time::sleep(REFRESH) => {}
            }
        }
    }

    fn fetch(self: &Arc<Self>, name: String, fetched: Fetched) -> Running {
        let (stop, ended) = (self.tasks.stopping().child_token(), CancellationToken::new());
        let task = Running { fetched: fetched.clone(), stop: stop.clone(), ended: ended.clone() };
        let inner = Arc::clone(self);
        self.tasks.spawn("fetch a source", async move {
            // Also where it panics: then it is started again.
            let _ended = ended.drop_guard();
            let work = async {
                match fetched {
                    Fetched::Mqtt(settings) => mqtt::listen(&inner, &name, &settings).await,
                    Fetched::Pull(settings) => pull::ask(&inner, &name, &settings).await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
        task
    }

    /// What a payload of the source `name` says. None where there is no such source any more.
    pub(super) async fn parse_fetched(
        &self,
        name: &str,
        unpacked: &Arc<Unpacked>,
    ) -> Option<(Arc<SourceSettings>, Parsed)> {
        let source = self.book().sources.get(name).cloned()?;
        while !self.admits(source.config.number) {
            tokio::time::sleep(PACE_PAUSE).await;
        }
        self.counters.of(name, |counts| add(&mut counts.payloads, 1));
        let parsed = self.parse(&source, unpacked).await;
        Some((source, parsed))
    }

    /// Waits until every read of it is durable, held, a repeat, or refused for good. False where the process ends before. `pause_ms` is
    /// that of [`lockplate_intake::normalise::Rules`] at first; 0 of what comes by itself.
    pub(super) async fn deliver_fetched(
        self: &Arc<Self>,
        source: &Arc<SourceSettings>,
        parsed: Parsed,
        unpacked: &Arc<Unpacked>,
        pause_ms: i64,
    ) -> bool {
        let begun_ms = self.clock.now_ms();
        loop {
            let waited_ms = if pause_ms > 0 { self.clock.now_ms().saturating_sub(begun_ms).max(0) } else { 0 };
            match self.deliver(source, parsed.clone(), pause_ms.saturating_add(waited_ms)).await {
                Ok(delivered) => {
                    self.note_shape(source, &delivered, unpacked).await;
                    return true;
                }
                Err(NotTaken::Stopping) => return false,
                Err(NotTaken::Busy | NotTaken::Interrupted) => tokio::time::sleep(TRY_AGAIN).await,
            }
        }
    }

    /// Something a source said was lost through us, or may have been: a connection to it, say.
    pub(super) fn lost(&self, name: &str, why: &'static str) {
        self.counters.of(name, |counts| add(&mut counts.lost_upstream, 1));
        tracing::warn!(source = name, why, "what a source said meanwhile may be lost");
    }
}
