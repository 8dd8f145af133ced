//! The public registers as anybody reads them: every entry of a party's log, checked against its signed head. What is shown is
//! what stands there; nothing is taken from the demo's own memory.

use anyhow::Result;
use lockplate_log::merkle::{self, leaf_hash};
use lockplate_log::tile::parse_bundle;
use lockplate_log::{SignedCheckpoint, TileKind, TilePath, VerifierKey};
use lockplate_node::client::PeerClient;
use lockplate_node::shutdown::ExitKind;
use serde_json::Value;

use crate::exit::Ended;

/// Entries of a full tile.
const WIDTH: u64 = 256;

/// One party's log.
pub(super) struct Register {
    /// Name for people.
    pub(super) name: String,
    /// Client of the party that serves it.
    pub(super) client: PeerClient,
    /// Where it is served.
    pub(super) prefix: &'static str,
    /// Key of its checkpoints.
    pub(super) key: VerifierKey,
}

impl Register {
    /// Every entry, in order, after the head's signature and the root were checked.
    pub(super) async fn entries(&self) -> Result<Vec<Value>> {
        let lied = |what: &str| Ended::of(ExitKind::Lied, format!("{}: {what}", self.name));
        let head = self.client.get_bytes(&format!("{}/checkpoint", self.prefix), &[]).await?;
        let head =
            SignedCheckpoint::parse(&head, &self.key).map_err(|_note| lied("the head is not signed by this party"))?;
        let size = head.checkpoint().size();
        let (mut hashes, mut entries) = (Vec::new(), Vec::new());
        for index in 0..size.div_ceil(WIDTH) {
            let width = size.saturating_sub(index.saturating_mul(WIDTH)).min(WIDTH);
            let width = u16::try_from(width).map_err(|_range| lied("a tile is too wide"))?;
            let path = TilePath::new(TileKind::Entries, index, width).map_err(|_range| lied("a tile has no path"))?;
            let bundle = self.client.get_bytes(&format!("{}/{path}", self.prefix), &[]).await?;
            for leaf in parse_bundle(&bundle, width).map_err(|_form| lied("an entry cannot be read"))? {
                hashes.push(leaf_hash(leaf));
                entries.push(serde_json::from_slice(leaf).map_err(|_json| lied("an entry cannot be read"))?);
            }
        }
        if merkle::root(&hashes) == head.checkpoint().root() {
            Ok(entries)
        } else {
            Err(lied("the entries are not those of the signed head").into())
        }
    }
}

/// An entry in one line: what happened, the decision, the rules.
pub(super) fn line(number: usize, entry: &Value) -> String {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut parts = vec![format!("no. {number:<3}"), format!("{:<15}", text("type"))];
    for field in ["decision", "purpose", "basis", "outcome", "declaration"] {
        if !text(field).is_empty() {
            parts.push(text(field));
        }
    }
    if let Some(rules) = entry.get("rules").and_then(Value::as_array) {
        let rules: Vec<&str> = rules.iter().filter_map(Value::as_str).collect();
        if !rules.is_empty() {
            parts.push(format!("[{}]", rules.join(", ")));
        }
    }
    parts.join(" ")
}
