//! `lockplate agency passages`: a toll or parking operator fetches the passes of its customers and opens them with the billing key.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use lockplate_core::hotlist::account::open_passage;
use lockplate_core::json::time_text;
use lockplate_node::account::{PassagesListed, PassagesTaken};
use lockplate_node::api::Done;
use lockplate_node::founding::read_case_key;
use lockplate_node::settings::read_secret_file;
use lockplate_node::shutdown::ExitKind;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::json;

use crate::desk_client::OwnAgency;
use crate::exit::Ended;
use crate::screen::Screen;

/// Fetch the passes of an operator's customers.
#[derive(Debug, Args)]
pub(crate) struct PassagesArgs {
    /// The billing key (mode 0600), as `lockplate sign new-case-key` made it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// File of mode 0600 with the token of `[account]`
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// CSV file to which they are added; made where it is absent
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// Fetches all that is there. What is on the operator's disk goes from the recorder's.
pub(crate) async fn run(args: &PassagesArgs, config: &Path, screen: &Screen) -> Result<ExitKind> {
    let agency = OwnAgency::open(config)?;
    let key = read_case_key(&args.key)?;
    let token = read_secret_file(&args.token_file)?;
    let token = std::str::from_utf8(token.trim_ascii()).map_err(|_text| Ended::config("the token file is not text"))?;
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
    value.set_sensitive(true);
    let shown = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let is_new = !args.to.exists();
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&args.to);
    let file = file.with_context(|| format!("{}: cannot be written", args.to.display()))?;
    let mut rows = csv::Writer::from_writer(file);
    if is_new {
        rows.write_record(["number", "account_id", "facility", "lane", "time", "match"])?;
    }
    let mut fetched: u64 = 0;
    loop {
        let answer = agency.client.get_with("/v1/passages", shown.clone()).await?;
        let listed: PassagesListed = serde_json::from_slice(&answer)?;
        if listed.lost > 0 {
            screen.note(&format!("{} passes could not be kept since the recorder started.", listed.lost));
        }
        let Some(last) = listed.passages.last().map(|passage| passage.number) else { break };
        let mut list = [0; 16];
        hex_into(&listed.list, &mut list)?;
        for passage in &listed.passages {
            let opened = open_passage(&key, &list, &passage.sealed.0)
                .map_err(|_core| Ended::config("a passage was sealed to another billing key"))?;
            let (number, time) = (passage.number.to_string(), time_text(opened.time));
            rows.write_record([
                number.as_str(),
                &opened.account_id,
                &opened.facility,
                &opened.lane,
                &time,
                opened.matched.name(),
            ])?;
            fetched = fetched.saturating_add(1);
        }
        rows.flush()?;
        rows.get_ref().sync_all().with_context(|| format!("{}: cannot be written", args.to.display()))?;
        let mut headers = shown.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = serde_json::to_vec(&PassagesTaken { number: last })?;
        let answer = agency.client.post_with("/v1/passages/taken", headers, body).await?;
        let Done {} = serde_json::from_slice(&answer)?;
    }
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/passages/1", "fetched": fetched, "file": args.to }));
    } else {
        screen.line(&format!("{fetched} passes added to {}.", args.to.display()));
    }
    Ok(ExitKind::Done)
}

fn hex_into(text: &str, to: &mut [u8; 16]) -> Result<()> {
    let bad = || Ended::internal("the recorder names its list otherwise than it should");
    if text.len() != 32 || !text.is_ascii() {
        return Err(bad().into());
    }
    for (at, byte) in to.iter_mut().enumerate() {
        let digits = text.get(at.saturating_mul(2)..at.saturating_mul(2).saturating_add(2)).ok_or_else(bad)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_digits| bad())?;
    }
    Ok(())
}
