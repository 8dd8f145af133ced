//! The end of shares (LPv1 section 12). A share is destroyed when its time is over by this keeper's clock **and** by a time
//! that others signed over a fresh nonce; expired by either, it is no longer evaluated. The order: the key-encryption key is
//! deleted and the deletion durable, then the log says so, then the row goes. What happens beside it on the same timer is
//! housekeeping: old prekeys, old answers, old period keys. Openings ([`super::openings`]) follow the same two clocks.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lockplate_core::Timestamp;
use lockplate_core::charter::Charter;
use lockplate_core::epoch::{DealtShare, DueForDestruction, EpochHeader, HeldShare};
use lockplate_core::id::{EpochId, KeeperIndex};
use lockplate_core::sign::{Signed, VerifyKey};
use lockplate_core::timekeeping::TimeStatement;
use lockplate_oprf::Secret;
use rand_core::Rng as _;
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use super::db;
use super::office::{Desk, Fault, Office};
use crate::api::{B64, TimeTold};
use crate::client::{AddressError, CallLimits, PeerClient, PeerTrust};
use crate::clock::Clock;
use crate::problem::ProblemKind;
use crate::release::Unreleased;
use crate::rng::SystemRng;

/// Epochs looked at in one round.
const DUE_A_ROUND_MAX: u32 = 64;

/// The second clock is asked this often even when nothing is due, so that an epoch that only it calls expired is refused.
const ASK_ANYWAY: Duration = Duration::from_secs(60);

/// What a question for the time may spend.
const LIMITS: CallLimits =
    CallLimits { connect: Duration::from_secs(2), total: Duration::from_secs(5), body_bytes: 64 * 1024 };

const DAY: u64 = 86_400;

/// A party whose clock is asked.
#[derive(Debug)]
pub(super) struct Witness {
    peer: PeerClient,
    keys: Vec<VerifyKey>,
}

/// The other keepers of the charter and the owner's archive.
///
/// # Errors
/// [`AddressError`] for an address of the charter that cannot be one.
pub(super) fn witnesses(charter: &Charter, own: KeeperIndex) -> Result<Vec<Witness>, AddressError> {
    let key = |bytes: &[u8]| bytes.try_into().ok().map(VerifyKey);
    let mut witnesses = Vec::new();
    for keeper in charter.keepers.iter().filter(|keeper| keeper.index != own) {
        let peer = PeerClient::new(&keeper.url, PeerTrust::Pinned(keeper.tls_pin), LIMITS)?;
        witnesses.push(Witness { peer, keys: key(keeper.key.public_key()).into_iter().collect() });
    }
    let peer = PeerClient::new(&charter.archive.url, PeerTrust::Pinned(charter.archive.tls_pin), LIMITS)?;
    let mut keys: Vec<_> = key(charter.agency_key.public_key()).into_iter().collect();
    keys.extend(charter.recorders.iter().map(|recorder| VerifyKey(recorder.key)));
    witnesses.push(Witness { peer, keys });
    Ok(witnesses)
}

impl Witness {
    async fn ask(&self) -> Option<Timestamp> {
        let mut nonce = [0; 16];
        SystemRng.fill_bytes(&mut nonce);
        let told: TimeTold = self.peer.get_json("/v1/time", &[("nonce", &hex::encode(nonce))]).await.ok()?;
        let B64(bytes) = told.time;
        let signed = Signed::<TimeStatement>::from_bytes(&bytes).ok()?;
        let statement = self.keys.iter().find_map(|key| signed.verify(key).ok())?;
        (statement.nonce == nonce).then_some(statement.time)
    }
}

/// The lower median of what the others say: one liar among three decides nothing, and of two the earlier counts.
fn witnessed(mut times: Vec<Timestamp>) -> Option<Timestamp> {
    times.sort_unstable();
    times.get(times.len().checked_sub(1)? / 2).copied()
}

async fn ask_all(witnesses: &[Witness]) -> Option<Timestamp> {
    let told = join_all(witnesses.iter().map(Witness::ask)).await;
    witnessed(told.into_iter().flatten().collect())
}

/// The timer. Ends when the role stops or the keeper is broken; the caller runs it as an essential task.
pub(super) async fn run(
    desk: Desk,
    witnesses: Vec<Witness>,
    every: Duration,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
) {
    let mut asked_at: Option<Duration> = None;
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = desk.broken().cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        let due = match desk.visit(Office::keep_house).await {
            Ok(due) => due,
            Err(problem) => {
                tracing::warn!(slug = problem.slug(), "housekeeping was put off");
                continue;
            }
        };
        let idle = asked_at.is_some_and(|at| clock.monotonic().saturating_sub(at) < ASK_ANYWAY);
        if !due && idle {
            continue;
        }
        let Some(time) = ask_all(&witnesses).await else {
            if due {
                tracing::warn!("something is due for destruction or publication and no other party tells the time");
            }
            continue;
        };
        asked_at = Some(clock.monotonic());
        let destroyed = desk.visit(move |office, db, now| office.destroy_due(db, time, now)).await;
        match destroyed {
            Ok(0) => {}
            Ok(shares) => tracing::info!(shares, "shares destroyed"),
            Err(problem) => tracing::warn!(slug = problem.slug(), "shares could not be destroyed"),
        }
        let done = desk
            .visit(move |office, db, now| Ok((office.publish_due(db, time, now)?, office.erase_due(db, time, now)?)));
        match done.await {
            Ok((0, 0)) => {}
            Ok((published, months)) => tracing::info!(published, months, "openings published, months erased"),
            Err(problem) => tracing::warn!(slug = problem.slug(), "openings could not be published or erased"),
        }
    }
}

impl Office {
    /// Everything that follows from the own clock alone. Tells whether a share or an Opening is due by it.
    fn keep_house(&mut self, connection: &mut Connection, now: Timestamp) -> Result<bool, Fault> {
        self.drop_old_prekeys(connection, now)?;
        self.drop_old_periods(connection, now)?;
        Self::drop_old_codes(connection, now)?;
        db::erase_evaluations(connection, self.latest(now))?;
        self.log_overdue_papers(connection, self.latest(now))?;
        self.note_progress(connection)?;
        Ok(!db::epochs_due(connection, now, 1)?.is_empty() || self.openings_are_due(connection, now)?)
    }

    /// Destroys what both clocks call due; at most one epoch-day a day (LPv1 section 12).
    pub(super) fn destroy_due(
        &mut self,
        connection: &mut Connection,
        witnessed: Timestamp,
        now: Timestamp,
    ) -> Result<u32, Fault> {
        self.second_clock_ahead_s = witnessed.0.saturating_sub(now.0);
        let mut destroyed = 0_u32;
        for (id, row) in db::epochs_due(connection, now, DUE_A_ROUND_MAX)? {
            let header = Signed::<EpochHeader>::from_bytes(&row.header)?.claimed().clone();
            let today = db::destroyed_windows(connection, Timestamp(now.0.saturating_sub(DAY)))?;
            let before = day_used(today, (header.cap_from.0, header.cap_to.0));
            let Some(due) = DueForDestruction::new(&header, now, witnessed, before) else { continue };
            self.destroy(connection, id, &header, row.share, due, now)?;
            destroyed = destroyed.saturating_add(1);
        }
        if destroyed > 0 {
            self.publish();
        }
        Ok(destroyed)
    }

    fn destroy(
        &mut self,
        connection: &mut Connection,
        id: EpochId,
        header: &EpochHeader,
        share: Option<Vec<u8>>,
        due: DueForDestruction,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let held = share.and_then(|wrapped| {
            let secret = Secret::<64>::from_slice(&self.kek.unwrap(&id.0, &wrapped).ok()?)?;
            HeldShare::from_secret(&secret, &DealtShare::of(header, self.index()).ok()?).ok()
        });
        self.kek.change(&[], &[id.0], &mut SystemRng)?;
        let header_hash = match held {
            Some(held) => held.destroy(due).header_hash,
            // A share that no longer opens is destroyed all the same, and it is said.
            None => header.hash(),
        };
        self.log_destruction(header_hash, now)?;
        let transaction = db::begin(connection)?;
        db::mark_destroyed(&transaction, id, now)?;
        transaction.commit()?;
        self.unfinished.destroyed.remove(&header_hash);
        Ok(())
    }

    /// `GET /v1/time`.
    pub(super) fn tell_time(&self, nonce: [u8; 16], now: Timestamp) -> Result<Unreleased<Vec<u8>>, Fault> {
        if now.0 == 0 {
            return Err(ProblemKind::Unavailable.into());
        }
        Ok(Unreleased::at_once(self.keeper.key().sign(TimeStatement { nonce, time: now }).to_bytes()))
    }
}

/// Seconds of capture time destroyed in the last day that do not overlap `window`, plus the part of it that does, less the
/// window's own length: with the window added again, the length of all of them together. Two epochs of one hour (a live one
/// and a late one, or two recorders') use up one hour of the day, not two.
fn day_used(mut windows: Vec<(u64, u64)>, window: (u64, u64)) -> u64 {
    if windows.is_empty() {
        return 0;
    }
    windows.push(window);
    windows.sort_unstable();
    let (mut total, mut end) = (0_u64, 0_u64);
    for (from, to) in windows {
        total = total.saturating_add(to.saturating_sub(from.max(end)));
        end = end.max(to);
    }
    // At least one second, so that core does not take it for the first destruction of the day.
    total.saturating_sub(window.1.saturating_sub(window.0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_median_of_the_answers_counts() {
        let times = |times: &[u64]| witnessed(times.iter().copied().map(Timestamp).collect());
        assert_eq!(times(&[]), None);
        assert_eq!(times(&[5]), Some(Timestamp(5)));
        assert_eq!(times(&[900, 5]), Some(Timestamp(5)), "of two the earlier");
        assert_eq!(times(&[900, 5, 6]), Some(Timestamp(6)), "one liar of three is outvoted");
        assert_eq!(times(&[0, 6, 7]), Some(Timestamp(6)));
    }

    #[test]
    fn epochs_of_one_hour_use_up_one_hour_of_the_day() {
        const HOUR: u64 = 3_600;
        let hour = |n: u64| (n * HOUR, (n + 1) * HOUR);
        let with = |windows: &[(u64, u64)], window| day_used(windows.to_vec(), window) + (window.1 - window.0);
        assert_eq!(day_used(vec![], hour(0)), 0, "the first of the day is always allowed");
        assert_eq!(with(&[hour(0)], hour(1)), 2 * HOUR);
        assert_eq!(with(&[hour(0), hour(0), hour(1)], hour(2)), 3 * HOUR, "a late epoch of the same hour");
        let day: Vec<_> = (0..24).map(hour).collect();
        assert_eq!(with(&day, hour(24)), 25 * HOUR, "the 25th is put off");
        assert!(with(&day, hour(5)) <= 24 * HOUR + 1, "a further epoch of an hour that is gone already");
    }
}
