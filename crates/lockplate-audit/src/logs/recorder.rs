//! What the recorder's log says beside the epochs: cameras, hot lists, alerts, self-tests.

use std::collections::BTreeMap;

use lockplate_core::Timestamp;
use lockplate_core::entry::{AlertsLeaf, CameraLeaf, CanaryLeaf, HotlistLeaf};

use super::Said;

/// Hot lists that are looked at. An honest recorder has a few dozen.
pub const LISTS_MAX: usize = 1_024;

/// The recorder's words, each kind in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecorderWords {
    cameras: Vec<Said<CameraLeaf>>,
    lists: BTreeMap<[u8; 16], Vec<Said<HotlistLeaf>>>,
    alerts: Vec<Said<AlertsLeaf>>,
    self_tests: Vec<Said<CanaryLeaf>>,
}

impl RecorderWords {
    pub(super) fn camera(&mut self, index: u64, time: Timestamp, said: &CameraLeaf) {
        self.cameras.push(Said { index, time, entry: said.clone() });
    }

    /// False if there are too many lists.
    pub(super) fn hotlist(&mut self, index: u64, time: Timestamp, said: &HotlistLeaf) -> bool {
        let fits = self.lists.len() < LISTS_MAX || self.lists.contains_key(&said.list);
        if fits {
            self.lists.entry(said.list).or_default().push(Said { index, time, entry: said.clone() });
        }
        fits
    }

    pub(super) fn alerts(&mut self, index: u64, time: Timestamp, said: &AlertsLeaf) {
        self.alerts.push(Said { index, time, entry: said.clone() });
    }

    pub(super) fn self_test(&mut self, index: u64, time: Timestamp, said: &CanaryLeaf) {
        self.self_tests.push(Said { index, time, entry: said.clone() });
    }

    pub(crate) fn cameras(&self) -> &[Said<CameraLeaf>] {
        &self.cameras
    }

    /// The changes of each hot list, in order.
    pub(crate) fn lists(&self) -> impl Iterator<Item = (&[u8; 16], &[Said<HotlistLeaf>])> {
        self.lists.iter().map(|(list, changes)| (list, changes.as_slice()))
    }

    pub(crate) fn alert_days(&self) -> &[Said<AlertsLeaf>] {
        &self.alerts
    }

    pub(crate) fn self_tests(&self) -> &[Said<CanaryLeaf>] {
        &self.self_tests
    }
}
