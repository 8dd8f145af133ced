//! Lists of the own agency at another agency's recorder: `--at`. The own desk says who the officer is, with the agency's directory and the
//! key to which alerts are sealed; the other recorder decides by its owner's rules. The shift's token is the own desk's alone and is never
//! sent there.

use std::path::{Path, PathBuf};

use anyhow::Result;
use lockplate_core::charter::CharterFile;
use lockplate_core::envelope::HpkePublicKey;
use lockplate_core::hotlist::handover::lists_asked;
use lockplate_core::hotlist::steward::ListConfig;
use lockplate_core::id::AgencyId;
use lockplate_core::person::{ByPerson, PersonKey};
use lockplate_core::sign::Statement as _;
use lockplate_core::vocabulary::ArchiveKind;
use lockplate_node::alerts::wire::Introduction;
use lockplate_node::api::{B64, Done};
use lockplate_node::client::{CallLimits, PeerClient, PeerError, PeerTrust};
use lockplate_node::hotlist::{HEADER_ORDERS, ListHealth, ListRegistered, LoadReport, SharedAsked, SharedLists};
use lockplate_node::problem::ProblemKind;
use lockplate_node::shift::{SignedIn, session};
use lockplate_node::shutdown::ExitKind;
use reqwest::Body;
use reqwest::header::{HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::agency::now;
use crate::alerts::plain;
use crate::exit::Ended;
use crate::search::{PinnedOwner, hex_of, usage};

/// Another agency's recorder, and what the own desk gave to be shown there.
pub(super) struct Elsewhere {
    name: String,
    file: PathBuf,
    charter: CharterFile,
    client: PeerClient,
    passcode: Zeroizing<String>,
    introduction: Introduction,
}

/// What makes a list impossible there, seen in the charter alone: said before anybody is asked.
pub(super) fn check(owner: &PinnedOwner, agency: AgencyId) -> Result<()> {
    let (name, charter) = (owner.called(), owner.charter().charter());
    if charter.owner.id == agency {
        return Err(usage("--at", "another owner than your own agency; leave it out for the own recorder").into());
    }
    let no = match charter.archive_kind {
        ArchiveKind::Toll | ArchiveKind::Parking => {
            "is of a toll or parking operator, whose reads are matched with no hot list"
        }
        ArchiveKind::Police if charter.agencies.iter().any(|page| page.id == agency) => return Ok(()),
        ArchiveKind::Police => {
            "does not name your agency: its recorder takes no list of yours until a charter of it does"
        }
    };
    Err(Ended::of(ExitKind::Refused, format!("the charter of {name} {no}")).into())
}

/// The own desk knows no door of alerts.
pub(super) fn no_alert_key() -> Ended {
    Ended::of(
        ExitKind::Refused,
        "your agency has no alert key, so no alert could come back: only a police agency with a recorder has hot lists and alerts",
    )
}

/// Every text of it, names included, without what would move a terminal's cursor.
fn plain_texts(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(plain(&text)),
        Value::Array(all) => all.into_iter().map(plain_texts).collect(),
        Value::Object(all) => {
            Value::Object(all.into_iter().map(|(name, value)| (plain(&name), plain_texts(value))).collect())
        }
        value @ (Value::Null | Value::Bool(_) | Value::Number(_)) => value,
    }
}

impl Elsewhere {
    /// `owner` was checked.
    pub(super) async fn open(
        owner: PinnedOwner,
        officer: &SignedIn,
        passcode: Zeroizing<String>,
        limits: CallLimits,
    ) -> Result<Self> {
        let introduction = match officer.get("/v1/alerts/introduction").await {
            Err(error) if error.problem() == Some(ProblemKind::NotFound) => return Err(no_alert_key().into()),
            introduction => introduction?,
        };
        let (name, file, charter) = owner.into_parts();
        let archive = &charter.charter().archive;
        let client = PeerClient::new(&archive.url, PeerTrust::Pinned(archive.tls_pin), limits)?;
        Ok(Self { name, file, charter, client, passcode, introduction })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// To which alerts are sealed.
    pub(super) fn alert_key(&self) -> Result<HpkePublicKey> {
        let key = HpkePublicKey::from_slice(&self.introduction.alert_key.0);
        Ok(key.ok_or_else(|| Ended::internal("the own agency's alert key is none"))?)
    }

    /// The section of the own agency.toml by which alerts on a list come.
    pub(super) fn section(&self, list: &[u8; 16]) -> String {
        let file = self.file.file_name().map(Path::new).unwrap_or(&self.file);
        let (hash, list) = (hex_of(&self.charter.hash()), hex_of(list));
        // A string of JSON is one of TOML.
        format!(
            "[[alerts.from]]\ncharter = {}\nhash = \"{hash}\"\nlists = [\"{list}\"]\n",
            json!(file.display().to_string())
        )
    }

    async fn session(&self, officer: &SignedIn, digest: &[u8; 32]) -> Result<B64> {
        Ok(session(officer.client(), officer.key(), &self.passcode, digest, now()).await?)
    }

    /// Registers, changes or ends a list there. One that is known as it is gets the directory of today.
    pub(super) async fn say(
        &self,
        officer: &SignedIn,
        signed: &ByPerson<ListConfig>,
        template: Option<String>,
        approval: Option<&ByPerson<ListConfig>>,
    ) -> Result<()> {
        let digest = ListConfig::signed_hash(&signed.claimed().encode());
        let asked = ListRegistered {
            config: B64(signed.to_bytes()),
            template,
            directory: Some(self.introduction.directory.clone()),
            session: Some(self.session(officer, &digest).await?),
            approval: approval.map(|approval| B64(approval.to_bytes())),
        };
        let said: Result<Done, PeerError> = self.client.post_json("/v1/hotlists", &asked, None).await;
        said.map(drop).map_err(|error| self.explained(error))
    }

    /// The own agency's lists there.
    pub(super) async fn lists(&self, officer: &SignedIn) -> Result<Vec<ListHealth>> {
        let directory = self.introduction.directory.clone();
        let asked =
            SharedAsked { directory, session: self.session(officer, &lists_asked(&self.charter.hash())).await? };
        let shared: Result<Value, PeerError> = self.client.post_json("/v1/hotlists/shared", &asked, None).await;
        self.said::<SharedLists>(shared).map(|shared| shared.lists)
    }

    /// What is signed anew is made from what was signed: the other recorder does not choose it, nor another officer.
    pub(super) fn check_steward(
        &self,
        signed: &ByPerson<ListConfig>,
        agency: AgencyId,
        officer: &SignedIn,
    ) -> Result<()> {
        let own = PersonKey::File(officer.key().verify_key());
        if signed.claimed().agency == agency && signed.verify(&own).is_ok() {
            return Ok(());
        }
        let what = format!(
            "only its steward loads and ends a list at the recorder of {}, and you did not sign this one",
            self.name
        );
        Err(Ended::of(ExitKind::Refused, what).into())
    }

    /// Brings a file, for which people signed.
    pub(super) async fn bring(&self, path: &str, orders: HeaderValue, file: Body) -> Result<LoadReport> {
        let headers = HeaderMap::from_iter([(HEADER_ORDERS, orders)]);
        let answer = self.client.post_with(path, headers, file).await;
        self.said(answer.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|_json| PeerError::Malformed)))
    }

    /// What the other recorder says, fit for a screen: its words are another party's.
    fn said<T: DeserializeOwned>(&self, answer: Result<Value, PeerError>) -> Result<T> {
        let answer = answer.map_err(|error| self.explained(error))?;
        serde_json::from_value(plain_texts(answer)).map_err(|_json| self.explained(PeerError::Malformed))
    }

    fn explained(&self, error: PeerError) -> anyhow::Error {
        let name = &self.name;
        let (kind, what) = match error.problem() {
            Some(ProblemKind::NotSignedIn) => (
                ExitKind::Refused,
                "does not accept who signed: only the list's steward changes and loads it, the directory of your agency must be under a key \
                 that its charter trusts today, and the clocks must agree",
            ),
            Some(ProblemKind::NotFound) => (ExitKind::Refused, "has no hot lists, or not this one"),
            Some(ProblemKind::Conflicting) => {
                (ExitKind::Refused, "has another list of this name, or a newer word on this one")
            }
            Some(ProblemKind::LogUnwitnessed) => (
                ExitKind::Unavailable,
                "has logged it, and the log's witnesses have not confirmed it: it takes effect by itself once they have",
            ),
            Some(ProblemKind::Invalid) if error.pointer() == Some("/approval") => (
                ExitKind::Refused,
                "takes as second person another officer of your agency who is in service, and nobody else",
            ),
            None if matches!(error, PeerError::Unreachable | PeerError::TimedOut) => {
                (ExitKind::Unavailable, "does not answer: see with `list --at` what it has before you try again")
            }
            Some(_) | None => return anyhow::Error::from(error).context(format!("the recorder of {name}")),
        };
        Ended::of(kind, format!("the recorder of {name} {what}")).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_partys_words_do_nothing_to_a_terminal() {
        let said = json!({ "a\u{1b}[2J": ["b\u{7}", { "c": "d\r" }], "n": 1 });
        assert_eq!(plain_texts(said), json!({ "a[2J": ["b", { "c": "d" }], "n": 1 }));
    }
}
