//! Exit codes: from whatever went wrong to one number and one message (`interfaces.md` section 2). The table itself is
//! [`ExitKind`]; which error is of which kind stands here and nowhere else.

use std::fmt;

use lockplate_node::agency::AgencyError;
use lockplate_node::client::{AddressError, PeerError};
use lockplate_node::doctor::StoreRefused;
use lockplate_node::follow::FollowError;
use lockplate_node::founding::FoundingError;
use lockplate_node::import::ImportError;
use lockplate_node::keeper::KeeperError;
use lockplate_node::keeper::admin::AdminError;
use lockplate_node::keeper::once::OnceError;
use lockplate_node::keeper::restore::RestoreError;
use lockplate_node::search::SearchFault;
use lockplate_node::settings::{ConfigError, KeyFileError};
use lockplate_node::shutdown::ExitKind;
use lockplate_node::tls::TlsError;
use lockplate_node::verify::pin::PinError;
use lockplate_node::witness::role::RoleError;
use serde_json::{Value, json};

/// A message with the kind it ends the process with, for what has no error type of its own.
#[derive(Debug)]
pub(crate) struct Ended {
    kind: ExitKind,
    message: String,
}

impl Ended {
    /// Wrong usage.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { kind: ExitKind::Usage, message: message.into() }
    }

    /// Configuration or data folder refused.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self { kind: ExitKind::Config, message: message.into() }
    }

    /// Our bug, or a system that refuses what no system refuses.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self { kind: ExitKind::Internal, message: message.into() }
    }

    /// Any kind.
    pub(crate) fn of(kind: ExitKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Ended {}

/// The kind of the first error of the chain that has one; an error nobody classified is our bug.
pub(crate) fn kind_of(error: &anyhow::Error) -> ExitKind {
    error
        .chain()
        .find_map(|cause| {
            None.or_else(|| cause.downcast_ref::<Ended>().map(|ended| ended.kind))
                .or_else(|| cause.downcast_ref::<SearchFault>().map(SearchFault::exit_kind))
                .or_else(|| cause.downcast_ref::<KeeperError>().map(KeeperError::exit_kind))
                .or_else(|| cause.downcast_ref::<RestoreError>().map(RestoreError::exit_kind))
                .or_else(|| cause.downcast_ref::<RoleError>().map(RoleError::exit_kind))
                .or_else(|| cause.downcast_ref::<AgencyError>().map(AgencyError::exit_kind))
                .or_else(|| cause.downcast_ref::<StoreRefused>().map(StoreRefused::exit_kind))
                .or_else(|| cause.downcast_ref::<ImportError>().map(ImportError::exit_kind))
                .or_else(|| cause.downcast_ref::<AdminError>().map(AdminError::exit_kind))
                .or_else(|| cause.downcast_ref::<OnceError>().map(OnceError::exit_kind))
                .or_else(|| cause.downcast_ref::<FoundingError>().map(FoundingError::exit_kind))
                .or_else(|| cause.downcast_ref::<ConfigError>().map(ConfigError::exit_kind))
                .or_else(|| cause.downcast_ref::<KeyFileError>().map(KeyFileError::exit_kind))
                .or_else(|| cause.downcast_ref::<TlsError>().map(TlsError::exit_kind))
                .or_else(|| cause.downcast_ref::<FollowError>().map(FollowError::exit_kind))
                .or_else(|| cause.downcast_ref::<PinError>().map(PinError::exit_kind))
                .or_else(|| cause.downcast_ref::<AddressError>().map(|address| address.exit_kind()))
                .or_else(|| cause.downcast_ref::<PeerError>().map(|_| ExitKind::Unavailable))
        })
        .unwrap_or(ExitKind::Internal)
}

/// The message, its causes after colons. Texts of our own errors hold no value from outside.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let next = cause.to_string();
        if text.is_empty() {
            text = next;
        } else if !text.contains(&next) {
            // A hint stands on a line of its own, after the causes.
            let (first, hint) = text.split_once('\n').map_or((text.as_str(), ""), |(first, hint)| (first, hint));
            text = if hint.is_empty() { format!("{first}: {next}") } else { format!("{first}: {next}\n{hint}") };
        }
    }
    text
}

/// What `--json` prints where something failed: a problem document of `interfaces.md` section 6, with the exit code.
pub(crate) fn problem(verb: &str, kind: ExitKind, text: &str) -> Value {
    let (slug, title) = match kind {
        ExitKind::Done => ("done", "Done"),
        ExitKind::Internal => ("internal", "Internal error"),
        ExitKind::Usage => ("invalid", "Wrong usage"),
        ExitKind::Config => ("configuration", "Configuration or data folder refused"),
        ExitKind::Refused => ("refused", "Refused by policy"),
        ExitKind::Lied => ("verification-failed", "Verification failed"),
        ExitKind::Unavailable => ("unavailable", "Unavailable"),
        ExitKind::Problems => ("problems-found", "Problems found"),
        ExitKind::Gone => ("epoch-destroyed", "Destroyed"),
        ExitKind::Fenced => ("taken-over", "Another machine has taken over"),
        ExitKind::Interrupted => ("interrupted", "Interrupted"),
    };
    json!({
        "schema": format!("lockplate/{verb}/1"),
        "type": format!("urn:lockplate:problem:{slug}"),
        "title": title,
        "detail": text,
        "exit": kind.code(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn the_kind_comes_from_the_first_error_that_has_one() {
        let refused = anyhow::Error::from(SearchFault::Gone).context("searching");
        assert_eq!(kind_of(&refused), ExitKind::Gone);
        let unknown: anyhow::Error = std::io::Error::other("x").into();
        assert_eq!(kind_of(&unknown), ExitKind::Internal);
        let usage = Err::<(), _>(Ended::usage("no")).context("reading the window").unwrap_err();
        assert_eq!(kind_of(&usage), ExitKind::Usage);
        assert_eq!(message(&usage), "reading the window: no");
    }

    #[test]
    fn a_hint_stays_on_its_own_line() {
        let error = anyhow::Error::from(std::io::Error::other("the cause")).context("the failure\nthe hint");
        assert_eq!(message(&error), "the failure: the cause\nthe hint");
    }

    #[test]
    fn a_problem_names_its_verb_and_exit() {
        let document = problem("search", ExitKind::Refused, "refused by policy");
        assert_eq!(document["schema"], "lockplate/search/1");
        assert_eq!(document["exit"], 4);
        assert_eq!(document["type"], "urn:lockplate:problem:refused");
    }
}
