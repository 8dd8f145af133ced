//! One receipt: that a leaf is in a log of a charter, and that the log's witnesses confirmed it. A receipt proves for ever, so the age of its
//! confirmations does not count; who gave them does.

use core::fmt;

use lockplate_core::charter::{Charter, LogName};
use lockplate_core::entry::{Leaf, parse_leaf};
use lockplate_log::{Checkpoint, Cosigned, Error as LogError, Receipt, WitnessPolicy};

/// Whom to trust about a receipt.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// The logs of a charter, each with the quorum that the charter gives it.
    Charter(&'a Charter),
    /// A trust file.
    Policy(&'a WitnessPolicy),
}

/// A receipt that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipted {
    /// The log of the charter; none where only a trust file was asked.
    pub log: Option<LogName>,
    /// The leaf's index.
    pub index: u64,
    /// The leaf.
    pub leaf: Vec<u8>,
    /// The checkpoint it is in, and who confirmed it.
    pub cosigned: Cosigned,
    /// What the leaf is, by its `type`; none for one that is not of the agreed form.
    pub type_name: Option<String>,
}

/// Why a receipt is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptFault {
    /// No receipt, or none with the leaf in it and no leaf beside it.
    Malformed,
    /// Its log is none of those that are trusted.
    UnknownLog,
    /// Too few of the log's witnesses confirmed it.
    Unconfirmed,
    /// The log did not sign the checkpoint, a witness's line is forged, or the leaf is not in it.
    Invalid,
}

impl fmt::Display for ReceiptFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "this is no receipt, or one without its entry",
            Self::UnknownLog => "the receipt is of a register that is not trusted here",
            Self::Unconfirmed => "too few watchers confirmed what the receipt shows",
            Self::Invalid => "the receipt is forged or altered: the entry is not in the register it names",
        })
    }
}

impl core::error::Error for ReceiptFault {}

/// Checks a receipt. The leaf is the one in it, or `beside` where it has none; where both are there they must be equal. `now` is in seconds
/// since 1970 and bounds the witnesses' times from above only.
///
/// # Errors
/// [`ReceiptFault`].
pub fn check(bytes: &[u8], beside: Option<&[u8]>, trust: Trust<'_>, now: u64) -> Result<Receipted, ReceiptFault> {
    let receipt = Receipt::parse(bytes).map_err(|_form| ReceiptFault::Malformed)?;
    let leaf = beside.or(receipt.leaf()).ok_or(ReceiptFault::Malformed)?.to_vec();
    let checkpoint = Checkpoint::parse(receipt.note().text()).map_err(|_form| ReceiptFault::Malformed)?;
    let (log, policy) = match trust {
        Trust::Policy(policy) => (None, policy.clone()),
        Trust::Charter(charter) => {
            let log = charter.logs().find(|log| log.key.name() == checkpoint.origin());
            let name = log.ok_or(ReceiptFault::UnknownLog)?.name;
            (Some(name), charter.witness_policy(&name).map_err(|_no_log| ReceiptFault::UnknownLog)?)
        }
    };
    let key = policy.logs().iter().find(|log| log.key.name() == checkpoint.origin());
    let key = &key.ok_or(ReceiptFault::UnknownLog)?.key;
    #[expect(clippy::wildcard_enum_match_arm, reason = "all else is a note that no honest party hands out")]
    let cosigned = policy.check_note(receipt.note(), now).map_err(|error| match error {
        LogError::NoQuorum => ReceiptFault::Unconfirmed,
        _ => ReceiptFault::Invalid,
    })?;
    receipt.verify(key, &leaf).map_err(|_refused| ReceiptFault::Invalid)?;
    let type_name = match parse_leaf(&leaf) {
        Ok(Leaf::Known(stamped)) => Some(stamped.entry().type_name().to_owned()),
        Ok(Leaf::Unknown(unknown)) => Some(unknown.type_name),
        Err(_not_ours) => None,
    };
    Ok(Receipted { log, index: receipt.index(), leaf, cosigned, type_name })
}
