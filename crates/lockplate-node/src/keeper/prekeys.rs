//! What the owner's recorder leaves with a keeper: prekeys fetched ahead, one share an epoch, and the epoch's end (LPv1
//! sections 5 and 7). The order is the promise: a private prekey is stored before its public half leaves; a share is durable
//! before the private prekey is erased; both before the leaf, and the leaf before the receipt.

use lockplate_core::Timestamp;
use lockplate_core::charter::RecorderEntry;
use lockplate_core::entry::{LogEntry, ShareReceived};
use lockplate_core::envelope::HpkeSecretKey;
use lockplate_core::epoch::{
    EpochClose, EpochHeader, Prekey, PrekeyOrder, SHARE_ENVELOPE_BYTES, ShareReceipt, unwrap_share,
};
use lockplate_core::id::{AgencyId, RecorderId};
use lockplate_core::limits::EPOCHS_PER_DAY_MAX;
use lockplate_core::sign::{Signed, VerifyKey};
use lockplate_oprf::Secret;
use rand_core::Rng as _;
use rusqlite::{Connection, params};

use super::db;
use super::office::{Fault, Office};
use crate::problem::ProblemKind;
use crate::release::Unreleased;
use crate::rng::SystemRng;

/// Most prekeys of one answer: 1.3 KB each.
pub const PREKEYS_A_CALL_MAX: u32 = 256;

/// A prekey is valid for so many seconds: twice the largest stock that is meant to lie ahead.
const PREKEY_SECONDS: u64 = 14 * 86_400;

/// How far the recorder's clock may be from ours, seconds.
const ORDER_SKEW_SECONDS_MAX: u64 = 300;

/// How far ahead a capture window may begin, seconds: a later label would stretch the retention.
const AHEAD_SECONDS_MAX: u64 = 86_400;

/// The most unused prekeys for a stock of `days`.
pub(super) const fn stock_max(days: u32) -> u32 {
    EPOCHS_PER_DAY_MAX.saturating_mul(days)
}

impl Office {
    /// `POST /v1/prekeys`.
    pub(super) fn make_prekeys(
        &mut self,
        connection: &mut Connection,
        order: &[u8],
        now: Timestamp,
    ) -> Result<Unreleased<Vec<Vec<u8>>>, Fault> {
        let order = Signed::<PrekeyOrder>::from_bytes(order)?;
        let claimed = order.claimed();
        let order = order.verify(&self.recorder_key(claimed.agency, claimed.recorder)?)?;
        if order.time.0.abs_diff(now.0) > ORDER_SKEW_SECONDS_MAX {
            return Err(ProblemKind::Invalid.into());
        }
        let room = self.prekeys_max.saturating_sub(db::prekeys_unused(connection, now)?);
        let count = u32::from(order.count).min(room).min(PREKEYS_A_CALL_MAX);
        if count == 0 {
            return Err(ProblemKind::Rate.into());
        }
        let mut made = Vec::new();
        for _ in 0..count {
            let mut id = [0; 16];
            SystemRng.fill_bytes(&mut id);
            made.push((id, HpkeSecretKey::random(&mut SystemRng)));
        }
        let names: Vec<_> = made.iter().map(|(id, _)| *id).collect();
        self.kek.change(&names, &[], &mut SystemRng)?;
        let not_after = Timestamp(now.0.saturating_add(PREKEY_SECONDS));
        let transaction = db::begin(connection)?;
        let mut answers = Vec::new();
        for (id, secret) in &made {
            let seed = self.kek.wrap(id, secret.seed().expose_secret(), &mut SystemRng)?;
            transaction
                .prepare_cached("INSERT INTO prekey (id, seed, not_after) VALUES (?1, ?2, ?3)")?
                .execute(params![id, seed, db::column(not_after)])?;
            let prekey = Prekey {
                keeper_key_id: self.keeper.key().verify_key().0,
                prekey_id: *id,
                not_before: now,
                not_after,
                public_key: secret.public_key()?,
            };
            answers.push(self.keeper.key().sign(prekey).to_bytes());
        }
        transaction.commit()?;
        Ok(Unreleased::at_once(answers))
    }

    /// `POST /v1/shares`. A repeat of the same header gets the same receipt; another header for a used prekey is refused.
    pub(super) fn store_share(
        &mut self,
        connection: &mut Connection,
        header: &[u8],
        envelope: &[u8],
        now: Timestamp,
    ) -> Result<Unreleased<Vec<u8>>, Fault> {
        let signed = Signed::<EpochHeader>::from_bytes(header)?;
        let claimed = signed.claimed();
        let header = signed.verify(&self.recorder_key(claimed.agency, claimed.recorder)?)?;
        let slot = self.check_header(header, now)?;
        if let Some(row) = db::epoch(connection, header.epoch_id)? {
            let known = Signed::<EpochHeader>::from_bytes(&row.header)?;
            if known.statement_bytes() != signed.statement_bytes() {
                return Err(ProblemKind::Conflicting.into());
            }
            if row.destroyed {
                return Err(ProblemKind::EpochDestroyed.into());
            }
            return match row.receipt {
                Some(receipt) => Ok(self.resting_on_all(receipt)),
                None => self.give_receipt(connection, header, slot, now),
            };
        }
        if db::prekey_is_used(connection, &slot)? {
            return Err(ProblemKind::Spent.into());
        }
        let wrapped = db::prekey_seed(connection, &slot)?.ok_or(ProblemKind::Invalid)?;
        if envelope.len() != SHARE_ENVELOPE_BYTES {
            return Err(ProblemKind::Malformed.into());
        }
        let seed = Secret::from_slice(&self.kek.unwrap(&slot, &wrapped)?).ok_or(ProblemKind::Internal)?;
        let held = unwrap_share(envelope, &HpkeSecretKey::from_seed(seed), header, self.index())?;

        self.kek.change(&[header.epoch_id.0], &[], &mut SystemRng)?;
        let share = self.kek.wrap(&header.epoch_id.0, held.to_secret().expose_secret(), &mut SystemRng)?;
        let transaction = db::begin(connection)?;
        transaction.execute(
            "INSERT INTO epoch (id, header_hash, prekey, recorder, header, cap_from, cap_to, destroy_after, share)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                header.epoch_id.0,
                header.hash(),
                slot,
                header.recorder.0,
                signed.to_bytes(),
                db::column(header.cap_from),
                db::column(header.cap_to),
                db::column(header.destroy_after),
                share,
            ],
        )?;
        transaction.execute("DELETE FROM prekey WHERE id = ?1", [slot])?;
        transaction.commit()?;
        self.give_receipt(connection, header, slot, now)
    }

    /// The share is durable; what is left is to erase the private prekey, to log, and to sign. Each step may be a repeat after
    /// a crash.
    fn give_receipt(
        &mut self,
        connection: &mut Connection,
        header: &EpochHeader,
        prekey: [u8; 16],
        now: Timestamp,
    ) -> Result<Unreleased<Vec<u8>>, Fault> {
        self.kek.change(&[], &[prekey], &mut SystemRng)?;
        let header_hash = header.hash();
        if !self.unfinished.received.contains(&header_hash) {
            let leaf = LogEntry::ShareReceived(ShareReceived { header: header_hash, index: self.index() });
            let logged = self.keeper.state(vec![leaf], now, &mut SystemRng);
            logged.map_err(|error| self.log_fault(error))?;
            self.unfinished.received.insert(header_hash);
            self.publish();
        }
        let receipt = ShareReceipt { header_hash, index: self.index(), time: now };
        let receipt = self.keeper.key().sign(receipt).to_bytes();
        connection.execute("UPDATE epoch SET receipt = ?2 WHERE id = ?1", params![header.epoch_id.0, receipt])?;
        self.unfinished.received.remove(&header_hash);
        Ok(self.resting_on_all(receipt))
    }

    /// `POST /v1/closes`. One close an epoch, for ever.
    pub(super) fn store_close(&mut self, connection: &mut Connection, close: &[u8]) -> Result<Unreleased<()>, Fault> {
        let signed = Signed::<EpochClose>::from_bytes(close)?;
        let (id, row) = db::epoch_by_header(connection, &signed.claimed().header_hash)?.ok_or(ProblemKind::NotFound)?;
        let header = Signed::<EpochHeader>::from_bytes(&row.header)?;
        signed.verify(&self.recorder_key(header.claimed().agency, header.claimed().recorder)?)?;
        match row.close {
            Some(known) if known == signed.to_bytes() => Ok(Unreleased::at_once(())),
            Some(_) => Err(ProblemKind::Conflicting.into()),
            None => {
                let sql = "UPDATE epoch SET closed = ?2 WHERE id = ?1 AND closed IS NULL";
                connection.execute(sql, params![id.0, signed.to_bytes()])?;
                Ok(Unreleased::at_once(()))
            }
        }
    }

    /// Takes away prekeys whose time is over, from the table first.
    pub(super) fn drop_old_prekeys(&mut self, connection: &mut Connection, now: Timestamp) -> Result<(), Fault> {
        let over: Vec<_> =
            db::prekeys(connection, now)?.into_iter().filter_map(|(id, over)| over.then_some(id)).collect();
        if over.is_empty() {
            return Ok(());
        }
        self.kek.change(&[], &over, &mut SystemRng)?;
        connection.execute("DELETE FROM prekey WHERE not_after <= ?1", [db::column(now)])?;
        Ok(())
    }

    pub(super) fn recorder_key(&self, agency: AgencyId, recorder: RecorderId) -> Result<VerifyKey, Fault> {
        let charter = self.charter();
        let entry = charter.recorder(recorder).filter(|_| agency == charter.owner.id);
        let RecorderEntry { key, .. } = entry.ok_or(ProblemKind::Invalid)?;
        Ok(VerifyKey(*key))
    }

    /// The header fits this charter and this keeper; the prekey of its slot.
    fn check_header(&self, header: &EpochHeader, now: Timestamp) -> Result<[u8; 16], Fault> {
        let charter = self.charter();
        let slot = header.slot(self.index()).ok_or(ProblemKind::Invalid)?;
        let length = header.cap_to.0.saturating_sub(header.cap_from.0);
        let fits = header.charter_hash == self.charter_file().hash()
            && header.threshold == self.charter_file().threshold()
            && slot.keeper_key_id == self.keeper.key().verify_key().0
            && length <= charter.epoch_seconds
            && header.cap_from.0 <= now.0.saturating_add(AHEAD_SECONDS_MAX)
            // A recorder may not keep shares longer than the charter allows.
            && header.destroy_after.0 <= charter.destroy_after(header.cap_to.0)
            && header.destroy_after > self.latest(now);
        if fits { Ok(slot.prekey_id) } else { Err(ProblemKind::Invalid.into()) }
    }
}
