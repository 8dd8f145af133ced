//! `[register]` of `agency.toml`: the public register of this agency's archive. An owner serves it unless the section says
//! otherwise. It is made from the charter and from the logs of all parties as strangers read them; no database, no key and no
//! door of this process but its own public log has a part in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lockplate_audit::time::{ZONE_MINUTES_MAX, ZoneOffset};
use lockplate_core::charter::CharterFile;
use lockplate_policy::{Bundle, CedarPolicy};
use serde::Deserialize;

use super::AgencyError;
use crate::clock::Clock;
use crate::register::{Keeping, Shown};
use crate::settings::ConfigError;
use crate::shutdown::Tasks;

/// Folder of the followed logs, in the data folder.
const FOLDER: &str = "register";

/// `[register]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegisterConfig {
    /// Whether the pages are served.
    pub serve: bool,
    /// From one look at the logs to the next, seconds.
    pub every_seconds: u64,
    /// Minutes that the clocks of people here are ahead of UTC, for the report's night hours.
    pub utc_offset_minutes: i16,
}

impl Default for RegisterConfig {
    fn default() -> Self {
        Self { serve: true, every_seconds: 60, utc_offset_minutes: 0 }
    }
}

/// `[register]` with its values checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct RegisterSection {
    every: Duration,
    zone: ZoneOffset,
}

impl RegisterSection {
    /// Checks `[register]`; none where the pages are not served.
    pub(super) fn of(file: &Path, config: &RegisterConfig) -> Result<Option<Self>, ConfigError> {
        let refuse = |what: &str| ConfigError::refused(file, None, what.to_owned());
        let zone = ZoneOffset::from_minutes(config.utc_offset_minutes).ok_or_else(|| {
            refuse(&format!("`register.utc_offset_minutes` is from -{ZONE_MINUTES_MAX} to {ZONE_MINUTES_MAX}"))
        })?;
        if !(1..=3_600).contains(&config.every_seconds) {
            return Err(refuse("`register.every_seconds` is from 1 to 3600"));
        }
        Ok(config.serve.then_some(Self { every: Duration::from_secs(config.every_seconds), zone }))
    }

    /// Starts to follow the logs, after the doors of this process are open: its own log is one of them.
    pub(super) fn start(
        self,
        charter: CharterFile,
        data: &Path,
        shown: Shown,
        clock: &Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Result<(), AgencyError> {
        let policy = CedarPolicy::load(&Bundle::shipped(charter.charter().owner.state))
            .map_err(|_ours| AgencyError::Unfit("the rules in this program cannot be read"))?;
        let known: Vec<String> = policy.rules().map(str::to_owned).collect();
        let keeping = Keeping::new(charter, &data.join(FOLDER), Arc::new(policy), known).map_err(|_folder| {
            AgencyError::Unfit("the folder of the followed logs cannot be used, or is another charter's")
        })?;
        Keeping { zone: self.zone, every: self.every, ..keeping }.start(shown, Arc::clone(clock), tasks);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bounded() {
        let file = Path::new("agency.toml");
        let of = |text: &str| {
            let config: RegisterConfig = toml::from_str(text).unwrap();
            RegisterSection::of(file, &config)
        };
        assert!(of("").unwrap().is_some(), "an owner serves it");
        assert!(of("serve = false").unwrap().is_none());
        for good in
            ["every_seconds = 1", "every_seconds = 3600", "utc_offset_minutes = -840", "utc_offset_minutes = 840"]
        {
            assert!(of(good).is_ok(), "{good}");
        }
        for bad in
            ["every_seconds = 0", "every_seconds = 3601", "utc_offset_minutes = 841", "utc_offset_minutes = -841"]
        {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert!(toml::from_str::<RegisterConfig>("hurl = 1").is_err());
    }
}
