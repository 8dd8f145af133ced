//! `[account]` of `agency.toml`, for a toll or parking operator.

use std::path::{Path, PathBuf};

use lockplate_core::envelope::HpkePublicKey;
use lockplate_core::hotlist::limits::ACCOUNT_TEXT_BYTES_MAX;
use serde::Deserialize;

use crate::founding::CaseKeyCard;
use crate::intake::TokenHash;
use crate::settings::ConfigError;

/// `[account]`. Paths are relative to the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    /// Name of the operator's list, and of its facility where a camera has no group.
    pub name: String,
    /// The accounts: CSV with the columns `plate,jurisdiction,account_id,valid_from,valid_to`. Read again whenever it changes.
    pub file: PathBuf,
    /// The card of the key to which passages are sealed, as `lockplate sign new-case-key` makes one.
    pub billing_key: PathBuf,
    /// SHA-256 of the 32-byte token with which the operator fetches passages and a gate asks.
    pub token_sha256: String,
    /// A read without a state matches too.
    #[serde(default)]
    pub allow_state_unread: bool,
    /// A state that a camera names without a confidence counts as read.
    #[serde(default)]
    pub trust_state: bool,
}

/// `[account]`, checked.
#[derive(Debug, Clone)]
pub struct AccountSection {
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) billing_key: HpkePublicKey,
    pub(super) token: TokenHash,
    pub(super) allow_state_unread: bool,
    pub(super) trust_state: bool,
}

impl AccountSection {
    /// Checks the section of `file`.
    ///
    /// # Errors
    /// [`ConfigError`] with what to mend.
    pub fn of(file: &Path, config: &AccountConfig) -> Result<Self, ConfigError> {
        let refuse = |what: &str| ConfigError::refused(file, None, format!("account: {what}"));
        let base = file.parent().unwrap_or_else(|| Path::new(""));
        let named =
            (1..=ACCOUNT_TEXT_BYTES_MAX).contains(&config.name.len()) && !config.name.chars().any(char::is_control);
        if !named {
            return Err(refuse("name has 1 to 64 bytes"));
        }
        let card = CaseKeyCard::read(&base.join(&config.billing_key));
        let key = card.ok().and_then(|card| card.public_key());
        Ok(Self {
            name: config.name.clone(),
            file: base.join(&config.file),
            billing_key: key.ok_or_else(|| refuse("billing_key is not the card of a key"))?,
            token: TokenHash::from_hex(&config.token_sha256)
                .ok_or_else(|| refuse("token_sha256 must be 64 hexadecimal digits"))?,
            allow_state_unread: config.allow_state_unread,
            trust_state: config.trust_state,
        })
    }
}
