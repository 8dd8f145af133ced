//! tmp
use std::collections::BTreeSet;
/// tmp
#[must_use]
pub fn listed(plate_text: &str) -> BTreeSet<String> { BTreeSet::from([crate::plate::Plate::parse(plate_text).map(|p| p.fold()).unwrap_or_default()]) }
