//! Delays of notice: a court may keep a leaf's embargoed fields closed for longer (`log.md` section 7). The keeper logs the delay
//! before it counts. A delay never shortens, and never lasts for ever: another paper is needed after a year.

use crate::Timestamp;
use crate::authorisation::{PAPER_SECONDS_MAX, Withdrawn, recognised};
use crate::directory::{Trust, TrustRole};
use crate::error::{Error, Result};
use crate::json::json_object;
use crate::signed::{SignedObject, signed_kind};

json_object! {
    /// Fields of a court's order to delay notice.
    #[derive(Clone, Debug, PartialEq, Eq)]
    DelayNoticeBody {
        /// The court.
        court: String,
        /// Docket number.
        docket: String,
        /// `request_digest` of the request it is about.
        request: [u8; 32],
        /// Until then nobody is told.
        until: Timestamp,
    }
}

signed_kind! {
    /// A court's order to delay notice, signed as a warrant is.
    DelayNotice(DelayNoticeBody) = "delay-notice"
}

/// A delay that holds. Only [`verify_delay`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedDelay {
    /// New end of the embargo.
    pub until: Timestamp,
    /// Digest of the order, for the `embargo` leaf.
    pub authorisation: [u8; 32],
}

/// Checks an order to delay notice of one request: signed by a judge, or a clerk who may issue papers, of the court it names;
/// longer than the embargo in force, and at most 366 days after it was issued.
///
/// # Errors
/// `Malformed` if it is no such order; `Invalid` if a signature, the request or a time does not hold, or it was withdrawn.
pub fn verify_delay(
    object: &SignedObject,
    request_digest: &[u8; 32],
    embargo: Timestamp,
    trust: &Trust,
    withdrawn: &Withdrawn,
    now: Timestamp,
) -> Result<VerifiedDelay> {
    let order: DelayNotice = object.read()?;
    let rule = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(Error::invalid(what)) };
    let by_court = recognised(object, &order.header, trust, withdrawn, now).iter().any(|entry| {
        let may_issue = entry.role == TrustRole::Judge || (entry.role == TrustRole::Clerk && entry.may_issue);
        may_issue && !entry.court.is_empty() && entry.court == order.body.court
    });
    rule(by_court, "the order to delay notice is not signed by its court")?;
    let authorisation = object.digest();
    let (issuer, court) = (&order.header.issuer, &order.body.court);
    rule(!withdrawn.covers(&authorisation, issuer, court), "the order to delay notice was withdrawn")?;
    rule(order.body.request == *request_digest, "the order to delay notice is about another request")?;
    // Once published, nothing can be closed again; a new embargo would only say that there was something.
    rule(now < embargo, "the embargo is over")?;
    rule(embargo < order.body.until, "an embargo can only be extended")?;
    let length = order.body.until.0.saturating_sub(order.header.issued.0);
    rule(length <= PAPER_SECONDS_MAX, "the order to delay notice is for too long")?;
    Ok(VerifiedDelay { until: order.body.until, authorisation })
}

#[cfg(test)]
mod tests;
