//! Start-up check 5 of a log (`log.md` section 3): before anything is signed, every witness says what it last cosigned of this
//! log. A disk that was put back from yesterday looks perfect by itself; only those who remember can tell.

use core::fmt;
use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use lockplate_log::{Error as LogError, WitnessRecord};
use tokio_util::sync::CancellationToken;

use super::{NoCosignature, WitnessPeer, WitnessSet};

/// First pause between two rounds of questions; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Rounds between two lines of trace that name who is missing.
const ROUNDS_A_TRACE: u32 = 8;

/// What the witnesses said, in their order.
#[derive(Debug)]
pub struct Said {
    /// The size each has cosigned, as far as it answered; 0 if it never did.
    pub sizes: Vec<Option<u64>>,
    /// Names of those without which a person had the log start.
    pub missing: Vec<String>,
}

/// Why the log does not start. Nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// A witness has cosigned what this log does not have.
    OldCopy {
        /// Its name in the policy.
        witness: String,
    },
    /// The log's files could not be compared.
    Log(LogError),
    /// A person named somebody who is no witness of this log.
    UnknownName,
    /// The process ends before enough have answered.
    Stopping,
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OldCopy { witness } => write!(
                f,
                "this is an old copy of the log: witness {witness} has confirmed more than lies here, or something else; \
                 restore what is missing\nrun: lockplate keeper restore --log-from URL, or put the newest copy of the \
                 log's folder back"
            ),
            Self::Log(_) => f.write_str("the log cannot be compared with what its witnesses have confirmed"),
            Self::UnknownName => f.write_str("--start-without names nobody who is a witness of this log"),
            Self::Stopping => f.write_str("the process was ended before enough witnesses had answered"),
        }
    }
}

impl core::error::Error for NotStarted {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Log(cause) => Some(cause),
            Self::OldCopy { .. } | Self::UnknownName | Self::Stopping => None,
        }
    }
}

/// Asks until those who have not answered could not have confirmed anything by themselves. `without` are the names that a
/// person does not wait for; they are asked all the same. `fits` compares a record with the log
/// ([`Log::check_witnessed`](lockplate_log::Log::check_witnessed)), or with nothing where there is none yet.
///
/// # Errors
/// [`NotStarted`].
pub async fn ask_before_start(
    set: &WitnessSet,
    without: &BTreeSet<String>,
    fits: impl Fn(&WitnessRecord) -> Result<(), LogError>,
    stopping: &CancellationToken,
) -> Result<Said, NotStarted> {
    if !set.knows(without) {
        return Err(NotStarted::UnknownName);
    }
    let mut sizes: Vec<Option<u64>> = vec![None; set.peers().len()];
    let mut pause = PAUSE_MIN;
    for round in 0_u32.. {
        let open: Vec<usize> = (0..).zip(&sizes).filter_map(|(at, size)| size.is_none().then_some(at)).collect();
        let asked = open.into_iter().filter_map(|at| Some((at, set.peers().get(at)?)));
        let answers = join_all(asked.map(async |(at, peer)| (at, peer, peer.newest(set.log()).await)));
        let answers = tokio::select! {
            answers = answers => answers,
            () = stopping.cancelled() => return Err(NotStarted::Stopping),
        };
        for (at, peer, answer) in answers {
            let size = hear(peer, answer, &fits)?;
            if let (Some(slot), Some(size)) = (sizes.get_mut(at), size) {
                *slot = Some(size);
            }
        }
        let missing: Vec<&WitnessPeer> =
            set.peers().iter().zip(&sizes).filter_map(|(peer, size)| size.is_none().then_some(peer)).collect();
        let waived = |peer: &&&WitnessPeer| without.iter().any(|name| peer.is_called(name));
        let counts = |key: &lockplate_log::VerifierKey| !missing.iter().any(|peer| peer.key() == key && !waived(&peer));
        if set.is_enough_answers(&counts) {
            // Only those without whom there would not have been enough were done without.
            let answered = |key: &lockplate_log::VerifierKey| !missing.iter().any(|peer| peer.key() == key);
            let enough = set.is_enough_answers(&answered);
            let missing = missing.iter().filter(waived).map(|peer| peer.name().to_owned());
            return Ok(Said { missing: if enough { Vec::new() } else { missing.collect() }, sizes });
        }
        if round.is_multiple_of(ROUNDS_A_TRACE) {
            let names = missing.iter().map(|peer| peer.name()).collect::<Vec<_>>().join(", ");
            tracing::warn!(log = %set.log().name(), missing = names, "nothing is signed before these witnesses answer");
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopping.cancelled() => return Err(NotStarted::Stopping),
        }
        pause = pause.saturating_mul(2).min(PAUSE_MAX);
    }
    Err(NotStarted::Stopping)
}

/// The size that a witness has, if it answered.
fn hear(
    peer: &WitnessPeer,
    answer: Result<Option<WitnessRecord>, NoCosignature>,
    fits: &impl Fn(&WitnessRecord) -> Result<(), LogError>,
) -> Result<Option<u64>, NotStarted> {
    match answer {
        Ok(None) => Ok(Some(0)),
        Ok(Some(record)) => match fits(&record) {
            Ok(()) => Ok(Some(record.checkpoint().size())),
            Err(LogError::OldCopy) => Err(NotStarted::OldCopy { witness: peer.name().to_owned() }),
            Err(error) => Err(NotStarted::Log(error)),
        },
        Err(NoCosignature::Lied(_)) => {
            tracing::error!(witness = peer.name(), "the record of a witness does not verify and does not count");
            Ok(None)
        }
        Err(
            NoCosignature::Peer(_)
            | NoCosignature::Busy
            | NoCosignature::Refused(_)
            | NoCosignature::KnowsMore
            | NoCosignature::Own(_),
        ) => Ok(None),
    }
}
