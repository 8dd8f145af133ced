//! "Was my plate searched?" at a keeper (`log.md` section 7): a registered owner's one-time code, signed by the owner agency's
//! records custodian, has its blinded elements evaluated under this keeper's notice key. The keeper learns that a code was used,
//! and no plate; what it stores to answer a repeat is blinded as well, and goes after a day.

use lockplate_core::Timestamp;
use lockplate_core::notice::verify_code;
use lockplate_core::signed::SignedObject;
use rusqlite::{Connection, params};

use super::db;
use super::office::{Fault, Office};
use crate::api::{B64, NoticeEvaluated};
use crate::problem::ProblemKind;

/// A stored answer is kept for so many seconds; a repeat gets it, and after that nothing.
const ANSWER_SECONDS: u64 = 86_400;

/// Codes answered in one minute: a custodian who makes codes by machine is slowed down, a counter in a town hall is not.
const CODES_A_MINUTE_MAX: u32 = 30;

/// Codes answered in the running minute.
#[derive(Debug, Default)]
pub(super) struct CodesNow {
    minute: u64,
    count: u32,
}

impl CodesNow {
    /// Counts one more; false if there were enough.
    const fn take(&mut self, now: Timestamp) -> bool {
        let minute = now.0 / 60;
        if self.minute != minute {
            *self = Self { minute, count: 0 };
        }
        let free = self.count < CODES_A_MINUTE_MAX;
        if free {
            self.count = self.count.saturating_add(1);
        }
        free
    }
}

impl Office {
    /// `POST /v1/notice`: the evaluated elements of a code, as the exact bytes of their JSON.
    ///
    /// # Errors
    /// `spent` for a code that was answered over a day ago, `rate` where too many came this minute.
    pub(super) fn answer_code(
        &mut self,
        connection: &mut Connection,
        code: &[u8],
        now: Timestamp,
    ) -> Result<Vec<u8>, Fault> {
        let object = SignedObject::parse(code)?;
        let owner = self.charter().owner.id;
        let code = verify_code(&object, owner, &self.trust, &self.withdrawn, now)?;
        match db::notice_code(connection, &code.digest(), now)? {
            Some(Some(answer)) => return Ok(answer),
            Some(None) => return Err(ProblemKind::Spent.into()),
            None => {}
        }
        if !self.codes_now.take(now) {
            return Err(ProblemKind::Rate.into());
        }
        let evaluated = self.keeper.notice_key().evaluate_blinded(code.elements())?;
        let elements = evaluated.iter().map(|element| B64(element.to_bytes().to_vec())).collect();
        let answer = serde_json::to_vec(&NoticeEvaluated { elements }).map_err(|_our_type| ProblemKind::Internal)?;
        let erase_at = Timestamp(now.0.saturating_add(ANSWER_SECONDS));
        connection.execute(
            "INSERT INTO notice_code (digest, answer, erase_at, until) VALUES (?1, ?2, ?3, ?4)",
            params![code.digest(), answer, db::column(erase_at), db::column(code.until())],
        )?;
        let answered = db::count_up(connection, db::Counter::NoticeCodes)?;
        tracing::info!(answered, "a registered owner's code was answered");
        Ok(answer)
    }

    /// Answers go after a day; that a code was used stays for as long as it could be shown again.
    pub(super) fn drop_old_codes(connection: &Connection, now: Timestamp) -> Result<(), Fault> {
        let sql = "UPDATE notice_code SET answer = NULL WHERE answer IS NOT NULL AND erase_at <= ?1";
        connection.prepare_cached(sql)?.execute([db::column(now)])?;
        // A day more than it is valid: a clock that is set back a little must not make it new.
        let over = db::column(Timestamp(now.0.saturating_sub(ANSWER_SECONDS)));
        connection.prepare_cached("DELETE FROM notice_code WHERE until <= ?1")?.execute([over])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_counted_a_minute() {
        let mut now = CodesNow::default();
        for _code in 0..CODES_A_MINUTE_MAX {
            assert!(now.take(Timestamp(60)));
        }
        assert!(!now.take(Timestamp(60)) && !now.take(Timestamp(119)));
        assert!(now.take(Timestamp(120)));
    }
}
