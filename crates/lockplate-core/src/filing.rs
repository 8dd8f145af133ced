//! The statements around a filing: what a desk vouches for towards a keeper, and how an officer proves his key towards his own
//! desk. A request and its digest become public; without these, whoever holds one could file it with other attachments, or look
//! at what is private about it.

use sha2::{Digest as _, Sha256};

use crate::Timestamp;
use crate::error::{Error, Result};
use crate::id::KeeperIndex;
use crate::sign::Statement;
use crate::wire::{Reader, Writer};

/// Everything a desk hands to one keeper besides the signed request, bound together under the desk's key (the `desk_key` of the
/// agency's directory). A keeper looks at nothing that no desk vouches for: another keeper, which has seen the request, cannot
/// file it first with a spoilt Opening, without its session, or with another wish for a human.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilingSlip {
    /// SHA-256 of the filed request, second signatures included.
    pub filed: [u8; 32],
    /// The keeper it is for.
    pub keeper: KeeperIndex,
    /// SHA-256 of the Opening for that keeper.
    pub opening: [u8; 32],
    /// [`list_hash`] of the hashes of all Openings.
    pub opening_hashes: [u8; 32],
    /// [`list_hash`] of the attachments.
    pub attachments: [u8; 32],
    /// SHA-256 of the session statement; zeros without one.
    pub session: [u8; 32],
    /// The keeper's human is to be asked, if the policy names one.
    pub ask_human: bool,
}

impl Statement for FilingSlip {
    const LABEL: &'static str = "filing";
    const BYTES_MAX: usize = 5 * 32 + 2;

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.raw(&self.filed).u8(self.keeper.0).raw(&self.opening).raw(&self.opening_hashes).raw(&self.attachments);
        w.raw(&self.session).u8(u8::from(self.ask_human)).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let slip = Self {
            filed: r.array()?,
            keeper: KeeperIndex(r.u8()?),
            opening: r.array()?,
            opening_hashes: r.array()?,
            attachments: r.array()?,
            session: r.array()?,
            ask_human: match r.u8()? {
                0 => false,
                1 => true,
                _ => return Err(Error::malformed("a filing has a flag that is neither 0 nor 1")),
            },
        };
        r.end()?;
        Ok(slip)
    }
}

impl FilingSlip {
    /// The slip that belongs to these exact bytes.
    #[must_use]
    pub fn of(
        keeper: KeeperIndex,
        filed: &[u8],
        opening: &[u8],
        opening_hashes: &[&[u8]],
        attachments: &[&[u8]],
        session: Option<&[u8]>,
        ask_human: bool,
    ) -> Self {
        Self {
            filed: Sha256::digest(filed).into(),
            keeper,
            opening: Sha256::digest(opening).into(),
            opening_hashes: list_hash(opening_hashes),
            attachments: list_hash(attachments),
            session: session.map_or([0; 32], |session| Sha256::digest(session).into()),
            ask_human,
        }
    }
}

/// SHA-256 over the items, each with a four-byte length before it.
#[must_use]
pub fn list_hash(items: &[&[u8]]) -> [u8; 32] {
    let mut w = Writer::new();
    for item in items {
        w.lv32(item);
    }
    Sha256::digest(w.finish()).into()
}

/// What an officer's client wants of its own desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeskCallKind {
    /// 1: a session statement; the passcode comes beside it.
    Session,
    /// 2: the state of a request.
    Look,
    /// 3: an evaluation did not verify.
    Culprit,
    /// 4: to be signed in for a shift at hot lists and alerts; no request is meant, and its digest is zero.
    SignIn,
}

/// An officer's proof, towards the own desk, of the key that filed a request. Good for five minutes around `time`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskCall {
    /// The request.
    pub request_digest: [u8; 32],
    /// What for.
    pub kind: DeskCallKind,
    /// The client's clock.
    pub time: Timestamp,
}

impl DeskCall {
    /// Longest time between a call and the desk's clock, either way, seconds.
    pub const SKEW_SECONDS_MAX: u64 = 300;

    /// Made at about `now`?
    #[must_use]
    pub const fn is_fresh(&self, now: Timestamp) -> bool {
        self.time.0.abs_diff(now.0) <= Self::SKEW_SECONDS_MAX
    }
}

impl Statement for DeskCall {
    const LABEL: &'static str = "desk-call";
    const BYTES_MAX: usize = 41;

    fn encode(&self) -> Vec<u8> {
        let kind = match self.kind {
            DeskCallKind::Session => 1,
            DeskCallKind::Look => 2,
            DeskCallKind::Culprit => 3,
            DeskCallKind::SignIn => 4,
        };
        Writer::new().raw(&self.request_digest).u8(kind).u64(self.time.0).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let request_digest = r.array()?;
        let kind = match r.u8()? {
            1 => DeskCallKind::Session,
            2 => DeskCallKind::Look,
            3 => DeskCallKind::Culprit,
            4 => DeskCallKind::SignIn,
            _ => return Err(Error::malformed("a call at the desk is of an unknown kind")),
        };
        let call = Self { request_digest, kind, time: Timestamp(r.u64()?) };
        r.end()?;
        Ok(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_changes_with_everything_it_binds_and_comes_back() {
        let of = |filed: &[u8], opening: &[u8], hashes: &[&[u8]], attachments: &[&[u8]], session, ask| {
            FilingSlip::of(KeeperIndex(2), filed, opening, hashes, attachments, session, ask)
        };
        let slip = of(b"f", b"o", &[b"h"], &[b"a"], Some(b"s".as_slice()), true);
        assert_eq!(FilingSlip::decode(&slip.encode()).unwrap(), slip);
        for other in [
            of(b"g", b"o", &[b"h"], &[b"a"], Some(b"s".as_slice()), true),
            of(b"f", b"p", &[b"h"], &[b"a"], Some(b"s".as_slice()), true),
            of(b"f", b"o", &[b"i"], &[b"a"], Some(b"s".as_slice()), true),
            of(b"f", b"o", &[b"h"], &[], Some(b"s".as_slice()), true),
            of(b"f", b"o", &[b"h"], &[b"a"], None, true),
            of(b"f", b"o", &[b"h"], &[b"a"], Some(b"s".as_slice()), false),
            FilingSlip { keeper: KeeperIndex(1), ..slip.clone() },
        ] {
            assert_ne!(other, slip);
        }
        assert_ne!(list_hash(&[b"ab", b"c"]), list_hash(&[b"a", b"bc"]));
        let mut bytes = slip.encode();
        *bytes.last_mut().unwrap() = 2;
        assert!(FilingSlip::decode(&bytes).is_err());
    }

    #[test]
    fn a_call_is_good_for_five_minutes() {
        let call = DeskCall { request_digest: [1; 32], kind: DeskCallKind::Look, time: Timestamp(1_000) };
        assert_eq!(DeskCall::decode(&call.encode()).unwrap(), call);
        assert!(call.is_fresh(Timestamp(1_300)) && call.is_fresh(Timestamp(700)));
        assert!(!call.is_fresh(Timestamp(1_301)) && !call.is_fresh(Timestamp(699)));
        let mut bytes = call.encode();
        bytes[32] = 5;
        assert!(DeskCall::decode(&bytes).is_err());
    }
}
