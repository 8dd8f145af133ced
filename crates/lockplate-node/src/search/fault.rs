//! How a search ends without a result: each end has its exit code (`interfaces.md` section 2) and says what to do.

use core::fmt;
use std::path::PathBuf;

use lockplate_core::{Error, ErrorKind};

use crate::api::{DeskState, ReasonText};
use crate::client::PeerError;
use crate::problem::ProblemKind;
use crate::shutdown::ExitKind;

/// One keeper's no, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Place of the keeper in the charter.
    pub keeper: u8,
    /// Its name.
    pub name: String,
    /// Entry of the request in its public log.
    pub register: u64,
    /// The rules.
    pub reasons: Vec<ReasonText>,
}

/// Who lied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Liar {
    /// Keepers, by their place in the charter.
    Keepers(Vec<u8>),
    /// The owner's archive, recorder or register.
    Owner,
    /// The own desk.
    Desk,
    /// Somebody who had the file in hand.
    Holder,
}

/// Why there is no result. Never "no match": that is a result.
#[derive(Debug)]
pub enum SearchFault {
    /// What was asked cannot be asked so; a fixed sentence.
    Usage(&'static str),
    /// The passcode or the key is not known at the desk.
    NotSignedIn,
    /// Refused: every keeper's rules.
    Refused(Vec<Refusal>),
    /// Verification failed; nothing of the answer is shown. `evidence` is where the proof was written.
    Lied {
        /// Who.
        who: Liar,
        /// What did not hold; a fixed sentence.
        what: &'static str,
        /// The evidence file, where one could be written.
        evidence: Option<PathBuf>,
    },
    /// Not yet, or not now; the request stands and can be fetched later.
    Unavailable(&'static str),
    /// The request is not answered yet.
    Waiting(DeskState),
    /// The epochs asked for are destroyed.
    Gone,
    /// The time is over for which opened reads may be kept.
    Over,
    /// A file of the officer cannot be used; a fixed sentence.
    File(&'static str),
    /// Our bug.
    Internal(&'static str),
}

impl SearchFault {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Usage(_) | Self::NotSignedIn => ExitKind::Usage,
            Self::Refused(_) => ExitKind::Refused,
            Self::Lied { .. } => ExitKind::Lied,
            Self::Unavailable(_) | Self::Waiting(_) => ExitKind::Unavailable,
            Self::Gone | Self::Over => ExitKind::Gone,
            Self::File(_) => ExitKind::Config,
            Self::Internal(_) => ExitKind::Internal,
        }
    }
}

impl fmt::Display for SearchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) | Self::Unavailable(what) | Self::File(what) | Self::Internal(what) => f.write_str(what),
            Self::NotSignedIn => {
                f.write_str("the desk does not know this key with this passcode, or it is locked for ten minutes")
            }
            Self::Refused(_) => f.write_str("refused by policy"),
            Self::Lied { who, what, .. } => match who {
                Liar::Keepers(places) => write!(f, "{what} (keepers {places:?})"),
                Liar::Owner => write!(f, "{what} (the owner's archive or register)"),
                Liar::Desk => write!(f, "{what} (the own desk)"),
                Liar::Holder => f.write_str(what),
            },
            Self::Waiting(DeskState::WaitingForHuman) => {
                f.write_str("a person at a keeper is asked; fetch the answer later")
            }
            Self::Waiting(_) => f.write_str("the keepers have not all answered; fetch the answer later"),
            Self::Over => f.write_str("the time is over for which these reads may be kept"),
            Self::Gone => f.write_str("the hours asked for are destroyed and cannot be read again by anybody"),
        }
    }
}

impl core::error::Error for SearchFault {}

impl From<PeerError> for SearchFault {
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::Unreachable | PeerError::TimedOut => {
                Self::Unavailable("a party cannot be reached; try again later")
            }
            PeerError::WrongKey => {
                Self::Unavailable("another key than the pinned one answers at a party's address; nothing was sent")
            }
            PeerError::TooLarge | PeerError::Malformed => {
                Self::Unavailable("a party's answer is not of this protocol; nothing of it was used")
            }
            PeerError::Unsendable => Self::Internal("a request could not be built: internal error, our bug"),
            PeerError::Problem(problem) => Self::of_problem(problem.kind()),
        }
    }
}

impl SearchFault {
    /// What the owner's archive did not answer, which is named: what lies in it was not looked at, and that is not "no match".
    pub(super) fn of_archive(error: PeerError) -> Self {
        let refused = error.problem().map(Self::of_problem);
        match refused {
            Some(Self::Unavailable(_)) => {
                Self::Unavailable("the owner's archive cannot answer at the moment; try again later")
            }
            Some(other) => other,
            None => Self::from(error),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of other doors than those a searcher knocks at")]
    const fn of_problem(kind: ProblemKind) -> Self {
        match kind {
            ProblemKind::NotSignedIn => Self::NotSignedIn,
            ProblemKind::EpochDestroyed => Self::Gone,
            ProblemKind::Malformed | ProblemKind::Invalid | ProblemKind::TooLarge | ProblemKind::Conflicting => {
                Self::Usage("the request is not acceptable to the desk or archive; repeating it will not help")
            }
            ProblemKind::NotFound => Self::Unavailable("the desk or archive does not know what was asked for"),
            _ => Self::Unavailable("a party cannot answer at the moment; try again later"),
        }
    }
}

impl From<Error> for SearchFault {
    /// For the requester's own steps; where a party is to be named, the caller does it.
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Malformed | ErrorKind::Invalid => Self::Usage(error.what()),
            ErrorKind::KeeperMisbehaved => Self::Lied {
                who: Liar::Keepers(error.culprits().iter().map(|index| index.0).collect()),
                what: error.what(),
                evidence: None,
            },
            ErrorKind::OwnerMisbehaved => Self::Lied { who: Liar::Owner, what: error.what(), evidence: None },
            ErrorKind::TooFewKeepers { .. } | ErrorKind::Unavailable => Self::Unavailable(error.what()),
            ErrorKind::EpochDestroyed => Self::Gone,
            ErrorKind::Internal => Self::Internal(error.what()),
        }
    }
}
