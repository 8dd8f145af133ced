//! The trust file (C2SP tlog-policy): which logs and witnesses a reader knows, and which witnesses together are enough. It never fetches a key
//! and never asks a clock: whoever wrote the file decides whom to trust, and the time is an argument. Publishing, verifying and the start-up
//! check of a log all ask a [`WitnessPolicy`], so there is one meaning of "witnessed".
//!
//! The grammar is C2SP's; bounds are those of `log.md` section 8. Narrower than C2SP: the file is UTF-8 (the names of keys are, anyhow), and
//! no key stands twice, be it as log or witness, because a log that cosigns itself is witnessed by nobody.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use core::fmt;

use crate::checkpoint::{Checkpoint, SignedCheckpoint, parse_decimal};
use crate::cosignature::Cosignature;
use crate::error::{Error, PolicyFault};
use crate::limits::{KEY_NAME_BYTES_MAX, POLICY_BYTES_MAX, POLICY_GROUPS_MAX, POLICY_LOGS_MAX, POLICY_WITNESSES_MAX};
use crate::note::{SignatureType, SignedNote, VerifierKey};

/// The name of the quorum that asks for no witness; nothing else may have it.
const NONE: &str = "none";

/// A log that the reader accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyLog {
    /// Its key; the key's name is the log's origin.
    pub key: VerifierKey,
    /// Where it is served, if the file says so: the prefix of `/checkpoint` and `/tile/..`.
    pub url: Option<String>,
}

/// A witness that the reader knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWitness {
    /// Its name within the file, for groups and quorum. Not its key's name, though it may be the same.
    pub name: String,
    /// Its key. One of a type that this crate cannot verify stands in the file and never counts.
    pub key: VerifierKey,
    /// Where it takes `/add-checkpoint`, if the file says so.
    pub url: Option<String>,
}

/// How many members of a group must have witnessed a checkpoint so that the group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// One of them.
    Any,
    /// Every one.
    All,
    /// So many.
    AtLeast(usize),
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::All => f.write_str("all"),
            Self::AtLeast(count) => write!(f, "{count}"),
        }
    }
}

/// Witnesses and groups that count together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyGroup {
    /// Its name within the file.
    pub name: String,
    /// How many of the members are enough.
    pub threshold: Threshold,
    /// The names of its members, each defined before it and a member of nothing else.
    pub members: Vec<String>,
}

/// A trust file, read or made. INVARIANT: every name and key stands once, every member is defined before its group and is in one group at
/// most, and every threshold can be reached by its group; so evaluating a quorum is one pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessPolicy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<PolicyGroup>,
    quorum: Option<String>,
}

/// A checkpoint that a trust file finds good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// The checkpoint, signed by a log of the file.
    pub signed: SignedCheckpoint,
    /// The verified cosignatures by witnesses of the file, in the note's order.
    pub cosignatures: Vec<Cosignature>,
    /// The newest time, in seconds since 1970, at and after which a quorum cosigned: how fresh the checkpoint is. None where the quorum is
    /// `none`.
    pub quorum_at: Option<u64>,
}

impl Cosigned {
    /// Checks that a quorum cosigned within the last `seconds` before `now`. Where the quorum is `none` nobody says when, and this is `Ok`.
    ///
    /// # Errors
    /// [`Error::StaleQuorum`].
    pub fn check_age(&self, now: u64, seconds: u64) -> Result<(), Error> {
        match self.quorum_at {
            Some(time) if time < now.saturating_sub(seconds) => Err(Error::StaleQuorum),
            Some(_) | None => Ok(()),
        }
    }
}

impl WitnessPolicy {
    /// A trust file from its parts; `quorum` names a witness or group, `None` is `quorum none`.
    ///
    /// # Errors
    /// [`Error::Policy`] with line 0 and what is wrong.
    pub fn new(
        logs: Vec<PolicyLog>,
        witnesses: Vec<PolicyWitness>,
        groups: Vec<PolicyGroup>,
        quorum: Option<String>,
    ) -> Result<Self, Error> {
        let mut policy = Self::empty();
        let add = |fault| Error::Policy { line: 0, fault };
        logs.into_iter().try_for_each(|log| policy.add_log(log)).map_err(add)?;
        witnesses.into_iter().try_for_each(|witness| policy.add_witness(witness)).map_err(add)?;
        groups.into_iter().try_for_each(|group| policy.add_group(group)).map_err(add)?;
        policy.set_quorum(quorum.as_deref().unwrap_or(NONE)).map_err(add)?;
        // What a writer cannot read back is no trust file: names and URLs of another alphabet, or too much of it.
        if Self::parse(&policy.to_text()).as_ref() == Ok(&policy) { Ok(policy) } else { Err(add(PolicyFault::Grammar)) }
    }

    /// Reads a trust file.
    ///
    /// # Errors
    /// [`Error::Policy`] with the line and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let at = |line: usize| move |fault| Error::Policy { line: u32::try_from(line).unwrap_or(u32::MAX), fault };
        if text.len() > POLICY_BYTES_MAX {
            return Err(at(0)(PolicyFault::TooMany));
        }
        let lines = text.strip_suffix('\n').ok_or(at(0)(PolicyFault::Character))?;
        let mut policy = Self::empty();
        let mut has_quorum = false;
        for (number, line) in (1_usize..).zip(lines.split('\n')) {
            policy.read_line(line, &mut has_quorum).map_err(at(number))?;
        }
        if has_quorum { Ok(policy) } else { Err(at(0)(PolicyFault::NoQuorumLine)) }
    }

    const fn empty() -> Self {
        Self { logs: Vec::new(), witnesses: Vec::new(), groups: Vec::new(), quorum: None }
    }

    fn read_line(&mut self, line: &str, has_quorum: &mut bool) -> Result<(), PolicyFault> {
        if line.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
            return Err(PolicyFault::Character);
        }
        // Space and tab only: white space of other alphabets is part of a name.
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key, url @ ..] => self.add_log(PolicyLog { key: read_key(key)?, url: read_url(url)? }),
            ["witness", name, key, url @ ..] => {
                self.add_witness(PolicyWitness { name: (*name).to_owned(), key: read_key(key)?, url: read_url(url)? })
            }
            ["group", name, threshold, members @ ..] => {
                let threshold = match *threshold {
                    "any" => Threshold::Any,
                    "all" => Threshold::All,
                    count => Threshold::AtLeast(
                        parse_decimal(count)
                            .and_then(|count| usize::try_from(count).ok())
                            .ok_or(PolicyFault::Threshold)?,
                    ),
                };
                let members = members.iter().map(|member| (*member).to_owned()).collect();
                self.add_group(PolicyGroup { name: (*name).to_owned(), threshold, members })
            }
            ["quorum", name] if !*has_quorum => {
                *has_quorum = true;
                self.set_quorum(name)
            }
            ["quorum", _] => Err(PolicyFault::QuorumTwice),
            _ => Err(PolicyFault::Grammar),
        }
    }

    fn add_log(&mut self, log: PolicyLog) -> Result<(), PolicyFault> {
        if log.key.signature_type() == SignatureType::CosignatureV1 {
            return Err(PolicyFault::KeyType);
        }
        self.check_new_key(&log.key)?;
        add(&mut self.logs, log, POLICY_LOGS_MAX)
    }

    fn add_witness(&mut self, witness: PolicyWitness) -> Result<(), PolicyFault> {
        if witness.key.signature_type() == SignatureType::Ed25519 {
            return Err(PolicyFault::KeyType);
        }
        self.check_new_name(&witness.name)?;
        self.check_new_key(&witness.key)?;
        add(&mut self.witnesses, witness, POLICY_WITNESSES_MAX)
    }

    fn add_group(&mut self, group: PolicyGroup) -> Result<(), PolicyFault> {
        self.check_new_name(&group.name)?;
        for (place, member) in group.members.iter().enumerate() {
            if !self.defines(member) {
                return Err(PolicyFault::Undefined);
            }
            let mut taken = self.groups.iter().flat_map(|other| &other.members).chain(group.members.iter().take(place));
            if taken.any(|other| other == member) {
                return Err(PolicyFault::MemberTwice);
            }
        }
        let count = group.count();
        if count == 0 || count > group.members.len() {
            return Err(PolicyFault::Threshold);
        }
        add(&mut self.groups, group, POLICY_GROUPS_MAX)
    }

    fn set_quorum(&mut self, name: &str) -> Result<(), PolicyFault> {
        if name != NONE {
            if !self.defines(name) {
                return Err(PolicyFault::Undefined);
            }
            self.quorum = Some(name.to_owned());
        }
        Ok(())
    }

    fn defines(&self, name: &str) -> bool {
        self.witnesses.iter().any(|witness| witness.name == name) || self.groups.iter().any(|group| group.name == name)
    }

    fn check_new_name(&self, name: &str) -> Result<(), PolicyFault> {
        if name == NONE || name.is_empty() || name.len() > KEY_NAME_BYTES_MAX {
            return Err(PolicyFault::Name);
        }
        if self.defines(name) { Err(PolicyFault::NameTwice) } else { Ok(()) }
    }

    /// The same public key under another name is the same party; another key of one name and id would make its signatures ambiguous.
    fn check_new_key(&self, key: &VerifierKey) -> Result<(), PolicyFault> {
        let same = |other: &VerifierKey| {
            other.public_key() == key.public_key() || (other.name() == key.name() && other.id() == key.id())
        };
        if self.keys().any(same) { Err(PolicyFault::KeyTwice) } else { Ok(()) }
    }

    fn keys(&self) -> impl Iterator<Item = &VerifierKey> {
        self.logs.iter().map(|log| &log.key).chain(self.witnesses.iter().map(|witness| &witness.key))
    }

    /// The logs.
    #[must_use]
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The witnesses.
    #[must_use]
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// The groups, members before what they are members of.
    #[must_use]
    pub fn groups(&self) -> &[PolicyGroup] {
        &self.groups
    }

    /// The witness or group whose cosignature a checkpoint needs; `None` if it needs none.
    #[must_use]
    pub fn quorum(&self) -> Option<&str> {
        self.quorum.as_deref()
    }

    /// The trust file as it is stored and handed out: logs, witnesses, groups, quorum.
    #[must_use]
    pub fn to_text(&self) -> String {
        let url = |url: &Option<String>| url.as_ref().map(|url| format!(" {url}")).unwrap_or_default();
        let mut text = String::new();
        for log in &self.logs {
            text.push_str(&format!("log {}{}\n", log.key, url(&log.url)));
        }
        for witness in &self.witnesses {
            text.push_str(&format!("witness {} {}{}\n", witness.name, witness.key, url(&witness.url)));
        }
        for group in &self.groups {
            text.push_str(&format!("group {} {} {}\n", group.name, group.threshold, group.members.join(" ")));
        }
        text.push_str(&format!("quorum {}\n", self.quorum.as_deref().unwrap_or(NONE)));
        text
    }

    /// Whether the witnesses for whose keys `present` is true are enough. Keys of a type that cannot be verified here never are. Always true
    /// where the quorum is `none`.
    #[must_use]
    pub fn is_quorum(&self, present: &dyn Fn(&VerifierKey) -> bool) -> bool {
        let Some(quorum) = &self.quorum else { return true };
        let mut reached: Vec<&str> = self
            .witnesses
            .iter()
            .filter(|witness| witness.key.signature_type() == SignatureType::CosignatureV1 && present(&witness.key))
            .map(|witness| witness.name.as_str())
            .collect();
        for group in &self.groups {
            if group.members.iter().filter(|member| reached.contains(&member.as_str())).count() >= group.count() {
                reached.push(&group.name);
            }
        }
        reached.contains(&quorum.as_str())
    }

    /// Whether the witnesses for whose keys `answered` is true have said enough about the newest checkpoint they know: those who did not
    /// answer are no quorum, so every checkpoint that was ever published has a cosigner among those who did (start-up check 5 of `log.md`
    /// section 3). Always true where the quorum is `none`, because then nobody could know.
    #[must_use]
    pub fn is_enough_answers(&self, answered: &dyn Fn(&VerifierKey) -> bool) -> bool {
        self.quorum.is_none() || !self.is_quorum(&|key| !answered(key))
    }

    /// Checks a published checkpoint: signed by a log of the file that has its origin, every line by a known key good and none of them more
    /// than 300 s after `now` (seconds since 1970), cosigned by a quorum. How old that quorum may be is the reader's own rule:
    /// [`Cosigned::check_age`].
    ///
    /// # Errors
    /// [`Error::MalformedNote`], [`Error::MalformedCheckpoint`]; [`Error::ForeignOrigin`] if no log of the file has its origin;
    /// [`Error::NoKnownSignature`] if that log did not sign; [`Error::BadSignature`], [`Error::CosignatureTime`] if any known key's line is
    /// bad; [`Error::NoQuorum`].
    pub fn check(&self, note: &[u8], now: u64) -> Result<Cosigned, Error> {
        self.check_note(&SignedNote::parse(note)?, now)
    }

    /// As [`WitnessPolicy::check`], of a note already read.
    ///
    /// # Errors
    /// As [`WitnessPolicy::check`].
    pub fn check_note(&self, note: &SignedNote, now: u64) -> Result<Cosigned, Error> {
        let checkpoint = Checkpoint::parse(note.text())?;
        let mut logs =
            self.logs.iter().filter(|log| log.key.name() == checkpoint.origin()).map(|log| &log.key).peekable();
        if logs.peek().is_none() {
            return Err(Error::ForeignOrigin);
        }
        let keys: Vec<VerifierKey> = self.keys().cloned().collect();
        let good = note.verify(&keys)?;
        let signer = good.iter().find(|line| line.cosigned_at.is_none() && line.key.name() == checkpoint.origin());
        let signer = signer.ok_or(Error::NoKnownSignature)?;
        let mut cosignatures = Vec::new();
        let mut times = Vec::new();
        for line in &good {
            if let Some(time) = line.cosigned_at {
                Cosignature::check_time(time, now)?;
                cosignatures.push(Cosignature::verified(line.key.name().clone(), time));
                times.push((line.key, time));
            }
        }
        let since =
            |from: u64| self.is_quorum(&|key| times.iter().any(|(witness, time)| *witness == key && *time >= from));
        if !since(0) {
            return Err(Error::NoQuorum);
        }
        let quorum_at =
            self.quorum.as_ref().and_then(|_| times.iter().map(|(_, time)| *time).filter(|time| since(*time)).max());
        let signed = SignedCheckpoint::from_note(note.clone(), signer.key)?;
        Ok(Cosigned { signed, cosignatures, quorum_at })
    }
}

impl PolicyGroup {
    /// The number of members that is enough.
    const fn count(&self) -> usize {
        match self.threshold {
            Threshold::Any => 1,
            Threshold::All => self.members.len(),
            Threshold::AtLeast(count) => count,
        }
    }
}

fn add<T>(list: &mut Vec<T>, item: T, count_max: usize) -> Result<(), PolicyFault> {
    if list.len() >= count_max {
        return Err(PolicyFault::TooMany);
    }
    list.push(item);
    Ok(())
}

fn read_key(text: &str) -> Result<VerifierKey, PolicyFault> {
    VerifierKey::parse(text).ok().ok_or(PolicyFault::Key)
}

/// At most one word after the key.
fn read_url(words: &[&str]) -> Result<Option<String>, PolicyFault> {
    match words {
        [] => Ok(None),
        [url] => Ok(Some((*url).to_owned())),
        _ => Err(PolicyFault::Grammar),
    }
}
