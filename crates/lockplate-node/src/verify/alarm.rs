//! An alarm's file, read by somebody who was not there: every entry in it is proved against its register by the receipt beside it. Which
//! rule they break together can rest on what is *not* in the registers, and that no file shows; whoever wants to know asks the registers.

use core::fmt;

use lockplate_audit::monitor::{ALARM_SCHEMA, MonitorRule};
use lockplate_core::charter::{Charter, LogName};
use serde::Deserialize;

use super::receipt::{self, ReceiptFault, Trust};

/// What an alarm's file says, of which only what is used is read.
#[derive(Debug, Deserialize)]
struct File {
    schema: String,
    rule: String,
    leaves: Vec<Shown>,
}

#[derive(Debug, Deserialize)]
struct Shown {
    origin: String,
    index: u64,
    leaf: Option<String>,
    receipt: Option<String>,
}

/// An alarm whose entries are proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The rule that whoever kept the file says is broken.
    pub rule: MonitorRule,
    /// The entries that their registers hold.
    pub proved: Vec<Entry>,
    /// Entries that are named without a receipt.
    pub bare: u64,
}

/// An entry that its register holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The register.
    pub log: LogName,
    /// Its index there.
    pub index: u64,
    /// What it is, by its `type`; none for one that is not of the agreed form.
    pub type_name: Option<String>,
}

/// Why a file is no alarm that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmFault {
    /// It has not the form of one, or names a rule that this program does not know.
    Malformed,
    /// It says that a register is forked: that has evidence of its own, which convicts.
    Fork,
    /// A receipt does not hold.
    Receipt(ReceiptFault),
    /// A receipt is for another entry than the one it stands beside.
    OtherEntry,
}

impl fmt::Display for AlarmFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the file has not the form of an alarm"),
            Self::Fork => {
                f.write_str("that a register is forked is proved by the file in the register's own evidence folder")
            }
            Self::Receipt(fault) => fault.fmt(f),
            Self::OtherEntry => f.write_str("an entry in the file is not the one that its receipt proves"),
        }
    }
}

impl core::error::Error for AlarmFault {}

/// Whether a file says that it is an alarm's.
#[must_use]
pub fn is_alarm(bytes: &[u8]) -> bool {
    serde_json::from_slice::<File>(bytes).is_ok_and(|file| file.schema == ALARM_SCHEMA)
}

/// Checks the entries of an alarm's file against a charter. `now` is in seconds since 1970.
///
/// # Errors
/// [`AlarmFault`].
pub fn check(bytes: &[u8], charter: &Charter, now: u64) -> Result<Checked, AlarmFault> {
    let file: File = serde_json::from_slice(bytes).map_err(|_form| AlarmFault::Malformed)?;
    let rule = MonitorRule::from_name(&file.rule).filter(|_| file.schema == ALARM_SCHEMA);
    let rule = rule.ok_or(AlarmFault::Malformed)?;
    if rule == MonitorRule::Fork {
        return Err(AlarmFault::Fork);
    }
    let mut checked = Checked { rule, proved: Vec::new(), bare: 0 };
    for shown in &file.leaves {
        let Some(receipt) = &shown.receipt else {
            checked.bare = checked.bare.saturating_add(1);
            continue;
        };
        let good = receipt::check(receipt.as_bytes(), None, Trust::Charter(charter), now);
        let good = good.map_err(AlarmFault::Receipt)?;
        let origin = good.cosigned.signed.checkpoint().origin().as_str();
        let leaf = shown.leaf.as_ref().is_some_and(|leaf| *leaf == String::from_utf8_lossy(&good.leaf));
        if origin != shown.origin || good.index != shown.index || !leaf {
            return Err(AlarmFault::OtherEntry);
        }
        let (index, type_name) = (good.index, good.type_name);
        checked.proved.extend(good.log.map(|log| Entry { log, index, type_name }));
    }
    Ok(checked)
}
