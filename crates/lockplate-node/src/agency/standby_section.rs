//! `[standby]` of `agency.toml`: the agency runs on two machines, and this one is the active one or waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockplate_core::charter::CharterFile;
use lockplate_store::log_files::folder_name;
use serde::Deserialize;

use super::AgencyError;
use super::settings::AgencySettings;
use crate::clock::Clock;
use crate::founding;
use crate::object_storage::BucketSettings;
use crate::rng::SystemRng;
use crate::settings::{read_or_create_secret, read_public_file};
use crate::shutdown::{ExitKind, Tasks};
use crate::standby::{Active, Cipher, Journal, LogOf, StandbyParts, take_part};

/// The active says that it lives at most so seldom, seconds.
const SIGNS_OF_LIFE_MAX: u64 = 60;
/// Longest silence after which a standby takes over, seconds.
const TAKEOVER_MAX: u64 = 3_600;
/// Signs of life that a takeover waits for at least: one that is late is no death.
const SIGNS_MISSED_MIN: u64 = 3;
const PREFIX_BYTES_MAX: usize = 64;

/// `[standby]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StandbyConfig {
    /// Folder of the journal in the archive's bucket, below the archive's prefix.
    pub prefix: String,
    /// The active makes a record at least so often, seconds.
    pub signs_of_life_seconds: u64,
    /// The standby takes over when it has seen none for so long, seconds.
    pub takeover_seconds: u64,
}

impl Default for StandbyConfig {
    fn default() -> Self {
        Self { prefix: "standby".to_owned(), signs_of_life_seconds: 5, takeover_seconds: 20 }
    }
}

/// `[standby]` with its values checked.
#[derive(Debug, Clone)]
pub(super) struct StandbySection {
    config: StandbyConfig,
    bucket: BucketSettings,
}

impl StandbySection {
    /// `bucket` is that of the archive, with its own conditional puts.
    pub(super) fn of(config: StandbyConfig, bucket: Option<&BucketSettings>) -> Result<Self, &'static str> {
        let bucket = bucket.cloned().ok_or(
            "`[standby]` needs `[recorder.archive]`: two machines have one archive, and the journal is in its bucket",
        )?;
        if !bucket.has_conditional_put() {
            return Err("`[standby]` needs a store with conditional puts: `recorder.archive.conditional_put` is false");
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if config.prefix.is_empty() || config.prefix.len() > PREFIX_BYTES_MAX || !config.prefix.bytes().all(plain) {
            return Err("`standby.prefix` is a name of letters, digits, `-` and `_`");
        }
        if !(1..=SIGNS_OF_LIFE_MAX).contains(&config.signs_of_life_seconds) {
            return Err("`standby.signs_of_life_seconds` is from 1 to 60");
        }
        let least = config.signs_of_life_seconds.saturating_mul(SIGNS_MISSED_MIN);
        if !(least..=TAKEOVER_MAX).contains(&config.takeover_seconds) {
            return Err("`standby.takeover_seconds` is at least three times `signs_of_life_seconds`, and at most 3600");
        }
        Ok(Self { config, bucket })
    }

    /// Waits until this machine is the active one; `None` where it was asked to stop before.
    pub(super) async fn take_part(
        &self,
        settings: &AgencySettings,
        clock: &Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Result<Option<Active>, AgencyError> {
        let (section, settings, clock) = (self.clone(), settings.clone(), Arc::clone(clock));
        let parts = tokio::task::spawn_blocking(move || section.parts(&settings, clock)).await;
        let parts = parts.map_err(|_panicked| AgencyError::Ended)??;
        let fenced = || std::process::exit(i32::from(ExitKind::Fenced.code()));
        Ok(Box::pin(take_part(parts, tasks.stopping(), fenced)).await?)
    }

    /// Blocks.
    fn parts(&self, settings: &AgencySettings, clock: Arc<dyn Clock>) -> Result<StandbyParts, AgencyError> {
        let section = settings.recorder.as_ref().ok_or(AgencyError::Unfit("`[standby]` needs a `[recorder]`"))?;
        let charter = CharterFile::verify(&read_public_file(&section.charter)?)?;
        let key = founding::statement_signer(&settings.keys.recorder)?;
        let recorder = charter.charter().recorders.iter().find(|entry| entry.key == key.verify_key().0);
        let recorder = recorder.ok_or(AgencyError::Unfit("the recorder's key is none of the charter's recorders"))?.id;
        let unfit = AgencyError::Unfit("the name of a log cannot be that of a folder");
        let name = folder_name(charter.charter().archive.log_key.name());
        let mut logs = BTreeMap::from([(LogOf::Recorder, name.map_err(|_name| unfit)?)]);
        if let Some(desk) = &settings.desk {
            let unfit = AgencyError::Unfit("the name of a log cannot be that of a folder");
            logs.insert(LogOf::Desk, folder_name(desk.log_key()?.name()).map_err(|_name| unfit)?);
        }
        let master = read_or_create_secret(&settings.keys.standby, &mut SystemRng)?;
        let bucket = self.bucket.open()?;
        let prefix = bucket.prefix.join(self.config.prefix.as_str());
        Ok(StandbyParts {
            journal: Journal::new(bucket.store, prefix, Cipher::new(master, recorder.0)),
            data: settings.data.clone(),
            logs,
            signs_of_life: Duration::from_secs(self.config.signs_of_life_seconds),
            takeover: Duration::from_secs(self.config.takeover_seconds),
            clock,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_take_over_too_soon_or_without_a_fence_is_refused() {
        let file = std::path::Path::new("agency.toml");
        let bucket = |conditional: bool| {
            let text = format!(
                "endpoint = \"https://s3.example\"\nbucket = \"alpr\"\ncredentials_file = \"keys/s3\"\nconditional_put = {conditional}"
            );
            BucketSettings::of(file, "recorder.archive", file, toml::from_str(&text).unwrap()).unwrap()
        };
        let config = |text: &str| toml::from_str::<StandbyConfig>(text).unwrap();
        let of = |text: &str, bucket: Option<&BucketSettings>| StandbySection::of(config(text), bucket).map(|_| ());
        let good = bucket(true);
        assert_eq!(of("", Some(&good)), Ok(()));
        for bad in [
            "signs_of_life_seconds = 0",
            "takeover_seconds = 14",
            "takeover_seconds = 3601",
            "prefix = \"a/../b\"",
            "prefix = \"\"",
        ] {
            assert!(of(bad, Some(&good)).is_err(), "{bad}");
        }
        assert!(of("", Some(&bucket(false))).is_err(), "no fence");
        assert!(of("", None).is_err(), "an archive on one machine's disk");
    }
}
