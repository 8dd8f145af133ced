//! `lockplate demo`: the whole story on one machine, offline and without root. Every party is a process of this binary with a
//! folder of its own; what is shown is what the commands said. An act whose outcome is not the expected one ends the demo with
//! an error that names it; nothing is assumed.

mod cameras;
mod children;
pub(crate) mod liar;
mod register;
mod town;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use lockplate_core::Timestamp;
use lockplate_core::epoch::EpochHeader;
use lockplate_core::id::from_b64url;
use lockplate_core::json::time_text;
use lockplate_core::sign::Signed;
use lockplate_node::api::EpochList;
use lockplate_node::clock::{Clock as _, SystemClock};
use lockplate_node::shutdown::ExitKind;
use lockplate_store::durable;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::cameras::{CAMERAS, PERSON, Posts, STOLEN, WANTED};
use self::children::Children;
use self::town::{COURT, JUDGE, KEEPERS, PERIOD_SECONDS, RETENTION_SECONDS, Town};
use crate::agency::now;
use crate::exit::Ended;
use crate::screen::Screen;
use crate::search::hex_of;

/// Longest wait for something that takes a second or two.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(300);
/// Searches until the liar is among those who are asked.
const SEARCHES_FOR_THE_LIAR: usize = 10;
/// Periods that one act searches.
const PERIODS: usize = 3;

/// Play the whole story on this machine, with real processes.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Print the story only, without the commands' own words
    #[arg(long)]
    story: bool,
    /// Leave everything in DIR, which must not exist or be empty
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Plays the story; ends every process whatever happens.
pub(crate) async fn run(args: DemoArgs, screen: &Screen) -> Result<ExitKind> {
    let folder = folder(args.keep.as_deref())?;
    let mut children = Children::new(&folder)?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let played = tokio::select! {
        played = play(&folder, &mut children, args.story, screen) => played,
        _ = interrupt.recv() => Err(Ended::of(ExitKind::Interrupted, "interrupted").into()),
        _ = terminate.recv() => Err(Ended::of(ExitKind::Interrupted, "interrupted").into()),
    };
    children.stop().await;
    match &args.keep {
        Some(_) => screen.note(&format!("everything is left in {}", folder.display())),
        None => drop(std::fs::remove_dir_all(&folder)),
    }
    played.map(|()| ExitKind::Done)
}

/// An absolute folder that is empty.
fn folder(keep: Option<&Path>) -> Result<PathBuf> {
    let folder = match keep {
        Some(path) => std::path::absolute(path).context("the folder has no absolute path")?,
        None => std::env::temp_dir().join(format!("lockplate-demo-{}-{}", std::process::id(), now().0)),
    };
    if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Ended::config(format!("{}: is not empty", folder.display())).into());
    }
    crate::keeper::private_folder(&folder)?;
    Ok(folder)
}

async fn play(folder: &Path, children: &mut Children, story: bool, screen: &Screen) -> Result<()> {
    let begun = SystemClock::new();
    screen.heading("The town of Millbrook");
    screen
        .line("Three offices keep the keys, none can open anything alone: the Town Clerk, the County Auditor and the");
    screen.line(
        "Superior Court. Two of three must agree. Everything below happens between real processes on this machine;",
    );
    screen.line("all plates, people and agencies are invented. An hour lasts 4 seconds here, 21 days last 45.");
    let town = Town::found(children, folder).await.context("founding the town")?;
    town.start(children)?;
    let posts = ready(&town, children).await.context("starting the town")?;
    let stopping = CancellationToken::new();
    let cameras = posts.run(stopping.clone());
    let stage = Stage { town: &town, story, screen, begun };
    let acts = async {
        let played = stage.acts(children).await;
        stopping.cancel();
        played
    };
    let (played, taken) = tokio::join!(acts, cameras);
    played?;
    screen.line("");
    let seconds = stage.begun.monotonic().as_secs();
    screen.line(&format!("{} cameras sent {} reads. The end, after {seconds} seconds.", CAMERAS.len(), taken?));
    Ok(())
}

/// Waits until every party answers and reads are taken, then registers the cameras.
async fn ready(town: &Town, children: &mut Children) -> Result<Posts> {
    let clock = SystemClock::new();
    let is_up =
        async |client: &lockplate_node::client::PeerClient, path: &str| client.get_bytes(path, &[]).await.is_ok();
    let registers = town.registers()?;
    for (register, path) in registers.iter().map(|register| (register, "/readyz")) {
        while !is_up(&register.client, path).await {
            children.check()?;
            if clock.monotonic() > PATIENCE {
                return Err(Ended::internal(format!("{} does not get ready", register.name)).into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    children.must(&["--config", "millbrook/agency.toml", "agency", "camera", "import", "cameras.csv"]).await?;
    let card = town.cards.first().ok_or_else(|| Ended::internal("there is no owner"))?;
    let pin = from_b64url(&card.tls_pin).ok_or_else(|| Ended::internal("a card has no pin"))?;
    Ok(Posts { base: card.url.clone(), pin, rekor: town.rekor.clone(), stream: town.stream.clone() })
}

/// What the acts share.
struct Stage<'a> {
    town: &'a Town,
    story: bool,
    screen: &'a Screen,
    begun: SystemClock,
}

/// A window of whole, closed periods.
#[derive(Clone)]
struct Window {
    from: Timestamp,
    to: Timestamp,
    headers: Vec<String>,
}

impl Stage<'_> {
    async fn acts(&self, children: &mut Children) -> Result<()> {
        let first = self.closed(children, PERIODS).await.context("waiting for the first periods")?;
        self.stolen_car(children, &first).await.context("act 1, the stolen car")?;
        self.neighbour(children).await.context("act 2, the neighbour")?;
        let paper = self.federal_refused(children).await.context("act 3, the administrative warrant")?;
        self.federal_granted(children, paper).await.context("act 4, the judge's warrant")?;
        self.liar(children).await.context("act 5, the keeper that lies")?;
        self.destroyed(children, &first).await.context("act 6, the destroyed hour")?;
        self.public(children).await.context("act 7, the public register")
    }

    fn act(&self, number: u8, title: &str, words: &[&str]) {
        self.screen.line("");
        self.screen.heading(&format!("{number}. {title}"));
        for line in words {
            self.screen.line(line);
        }
    }

    fn command(&self, line: &[&str]) {
        let quoted: Vec<String> =
            line.iter().map(|word| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() }).collect();
        self.screen.line(&format!("$ lockplate {}", quoted.join(" ")));
    }

    /// What a command said, indented; with `--story` only the line that says what became of it.
    fn said(&self, output: &Output) {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !self.story {
            for line in text.lines() {
                self.screen.line(&format!("    {line}"));
            }
        }
    }

    fn outcome(&self, text: &str) {
        self.screen.line(&format!("=> {text}"));
    }

    fn expect(&self, output: &Output, kind: ExitKind) -> Result<()> {
        let code = output.status.code();
        if code == Some(i32::from(kind.code())) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Err(Ended::internal(format!("exit {code:?} instead of {}: {}{}", kind.code(), text, said.trim())).into())
    }

    /// The newest closed periods, at least so many.
    async fn closed(&self, children: &mut Children, count: usize) -> Result<Window> {
        let client = self.town.agency(0)?;
        let clock = SystemClock::new();
        loop {
            children.check()?;
            let to = now().0;
            let from = to.saturating_sub(10 * PERIOD_SECONDS);
            let (from, to) = (from.to_string(), to.to_string());
            let list: EpochList = client.get_json("/v1/epochs", &[("from", &from), ("to", &to)]).await?;
            let mut headers = Vec::new();
            for epoch in &list.epochs {
                let header = Signed::<EpochHeader>::from_bytes(&epoch.header.0)?;
                headers.push((
                    header.claimed().cap_from,
                    header.claimed().cap_to,
                    lockplate_core::id::b64url(&header.claimed().hash()),
                ));
            }
            headers.sort();
            let newest: Vec<_> = headers.iter().rev().take(count).rev().cloned().collect();
            if let (true, Some(first), Some(last)) = (newest.len() >= count, newest.first(), newest.last()) {
                return Ok(Window {
                    from: first.0,
                    to: last.1,
                    headers: newest.iter().map(|one| one.2.clone()).collect(),
                });
            }
            if clock.monotonic() > PATIENCE {
                return Err(Ended::internal("no period was closed in time").into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A search in words that a user would type.
    fn search<'a>(
        config: &'a str,
        plate: &'a str,
        purpose: &'a str,
        times: &'a (String, String),
        more: &[&'a str],
    ) -> Vec<&'a str> {
        let mut line = vec!["--config", config, "search", "--plate", plate, "--state", "US-CT", "--purpose", purpose];
        line.extend(["--from", &times.0, "--to", &times.1]);
        line.extend_from_slice(more);
        line
    }

    /// The search of acts 1, 5 and 6: the same officer and car, another window.
    fn stolen_car_search(times: &(String, String)) -> Vec<&str> {
        Self::search(
            "millbrook/officer.toml",
            STOLEN,
            "stolenVehicle",
            times,
            &["--case", "26-0481", "--facts", "The owner reported the blue car stolen this morning."],
        )
    }

    async fn stolen_car(&self, children: &mut Children, window: &Window) -> Result<()> {
        self.act(1, "A stolen car", &[
            "An officer of Millbrook looks for a stolen car in the town's own reads. The rules allow it; no person has to",
            "be asked. Two of the three offices answer, and only this plate's reads open.",
        ]);
        let times = (time_text(window.from), time_text(window.to));
        let line = Self::stolen_car_search(&times);
        self.command(&line);
        let output = children.run(&line).await?;
        self.said(&output);
        self.expect(&output, ExitKind::Done)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !text.contains(STOLEN) {
            return Err(Ended::internal(format!("the stolen car was not found: {text}")).into());
        }
        self.outcome(&format!("found, {} seconds after the start", self.begun.monotonic().as_secs()));
        Ok(())
    }

    async fn neighbour(&self, children: &mut Children) -> Result<()> {
        self.act(2, "A neighbour asks", &[
            "Eastport is in New York. Connecticut lets its officers ask if their agency has signed a declaration that the",
            "data will not serve immigration enforcement. Their supervisor signs the same request, and because it comes",
            "from outside the state, a person at one office looks at it.",
        ]);
        let declare = [
            "agency",
            "declare",
            "CT-26-14",
            "--folder",
            "eastport",
            "--charter",
            "eastport/charter.auth",
            "--signer",
            "A. Invented, Chief",
        ];
        self.command(&declare);
        let output = children.run(&declare).await?;
        self.said(&output);
        self.expect(&output, ExitKind::Done)?;
        let window = self.closed(children, PERIODS).await?;
        let times = (time_text(window.from), time_text(window.to));
        let facts = "A witness saw this car leave the burglary in Eastport.";
        let line = Self::search(
            "eastport/officer.toml",
            WANTED,
            "crimeInvestigation",
            &times,
            &[
                "--basis",
                "reasonableSuspicion",
                "--offence",
                "felony",
                "--offence-text",
                "burglary",
                "--case",
                "NY-26-77",
                "--facts",
                facts,
                "--second",
                "eastport/supervisor.pem",
            ],
        );
        let output = self.with_people(children, &line, 1).await?;
        self.expect(&output, ExitKind::Done)?;
        self.outcome("granted under the declaration, after a person said yes");
        Ok(())
    }

    async fn federal_refused(&self, children: &mut Children) -> Result<PathBuf> {
        self.act(3, "A federal agency asks with its own paper", &[
            "A federal agency looks for a person for civil immigration enforcement. Its warrant is signed by an official",
            "of the agency, not by a judge.",
        ]);
        let window = self.closed(children, PERIODS).await?;
        let times = (time_text(window.from), time_text(window.to));
        let facts = "The person is the subject of a removal proceeding.";
        let line = Self::search(
            "federal/officer.toml",
            PERSON,
            "civilImmigration",
            &times,
            &[
                "--basis",
                "administrativeWarrant",
                "--case",
                "A-26-900",
                "--facts",
                facts,
                "--second",
                "federal/supervisor.pem",
            ],
        );
        self.command(&line);
        let output = children.run(&line).await?;
        self.said(&output);
        self.expect(&output, ExitKind::Refused)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let named = KEEPERS.iter().filter(|(_, name, _)| text.contains(name)).count();
        if named < 2 || !text.contains("base.immigration-paper") || !text.contains("base.civil-immigration") {
            return Err(Ended::internal(format!("the refusal does not name offices and rules: {text}")).into());
        }
        self.outcome(&format!(
            "refused by {named} of 3 offices: base.immigration-paper, base.civil-immigration. Nothing was opened"
        ));
        let order = self.order()?;
        Ok(order)
    }

    /// The order of a judge for the car of act 4, as the clerk of the court writes it down.
    fn order(&self) -> Result<PathBuf> {
        let (requester, owner) = match self.town.cards.as_slice() {
            [owner, _, requester] => (requester.id.clone(), owner.id.clone()),
            _ => return Err(Ended::internal("there is no such agency").into()),
        };
        let at = |ahead: i64| {
            let seconds = now().0.saturating_add_signed(ahead);
            time_text(Timestamp(seconds))
        };
        let order = json!({
            "kind": "search-warrant", "issuer": JUDGE, "court": COURT, "docket": "26-mj-0017",
            "valid_from": at(-60), "valid_until": at(86_400), "requester": requester, "officer": "", "owners": [owner],
            "plates": [{ "state": "US-CT", "text": PERSON }], "window": [at(-3_600), at(3_600)],
            "purpose": "civilImmigration", "offence": "none", "max_requests": 3, "pdf": "", "supersedes": "",
        });
        let path = self.town.folder.join("order.json");
        durable::replace(&path, order.to_string().as_bytes())?;
        Ok(path)
    }

    async fn federal_granted(&self, children: &mut Children, _order: PathBuf) -> Result<()> {
        self.act(4, "The same with a judge's warrant", &[
            "A judge signs a search warrant for this one car. The court's key is on the list that all offices know. Now",
            "the rules let people decide: two offices each ask a person, who sees the paper and says yes.",
        ]);
        let sign = ["--quiet", "sign", "order.json", "--key", "people/judge.pem", "--out", "warrant.auth", "--yes"];
        self.command(&sign);
        let output = children.run(&sign).await?;
        self.said(&output);
        self.expect(&output, ExitKind::Done)?;
        let window = self.closed(children, PERIODS).await?;
        let times = (time_text(window.from), time_text(window.to));
        let facts = "A judge has ordered this search in docket 26-mj-0017.";
        let line = Self::search(
            "federal/officer.toml",
            PERSON,
            "civilImmigration",
            &times,
            &[
                "--basis",
                "searchWarrant",
                "--case",
                "A-26-900",
                "--facts",
                facts,
                "--second",
                "federal/supervisor.pem",
                "--auth",
                "warrant.auth",
                "--disclosure",
                "warrant.auth.disclosure-1",
            ],
        );
        let output = self.with_people(children, &line, 2).await?;
        self.expect(&output, ExitKind::Done)?;
        self.outcome("granted: a judge signed, and a person at two offices said yes");
        Ok(())
    }

    /// Runs a search that waits for people, and lets the offices' people say yes until `people` have.
    async fn with_people(&self, children: &Children, line: &[&str], people: usize) -> Result<Output> {
        self.command(line);
        let mut said_yes = 0;
        let search = children.run(line);
        let mut search = core::pin::pin!(search);
        let output = loop {
            tokio::select! {
                output = &mut search => break output?,
                () = tokio::time::sleep(LOOK) => {}
            }
            for (name, title, _) in KEEPERS {
                let config = format!("{name}/keeper.toml");
                let listed = children.run(&["--json", "--config", &config, "keeper", "waiting"]).await?;
                let listed: Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
                let digest =
                    listed.pointer("/waiting/0/digest").and_then(Value::as_str).and_then(|digest| digest.get(..12));
                if let Some(digest) = digest {
                    let key = format!("people/{name}.pem");
                    let approve = ["--config", &config, "keeper", "approve", digest, "--key", &key];
                    self.screen.line(&format!("  (at the {title}'s own machine)"));
                    self.command(&approve);
                    let output = children.run(&approve).await?;
                    self.said(&output);
                    self.expect(&output, ExitKind::Done)?;
                    said_yes += 1;
                }
            }
        };
        self.said(&output);
        if said_yes < people {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Ended::internal(format!("{said_yes} people were asked instead of {people}: {said}")).into());
        }
        Ok(output)
    }

    async fn liar(&self, children: &mut Children) -> Result<()> {
        self.act(5, "A keeper lies", &[
            "Somebody has taken over the County Auditor's machine. It answers with the office's real key and a wrong",
            "result. Every answer is checked before it is used, so the wrong one is found, named and thrown away; the other two suffice.",
        ]);
        let window = self.closed(children, PERIODS).await?;
        let lie = self.town.folder.join("LIE");
        durable::replace(&lie, b"")?;
        let times = (time_text(window.from), time_text(window.to));
        let line = Self::stolen_car_search(&times);
        self.command(&line);
        let named =
            |text: &str| text.contains("Keeper 2 (County Auditor) gave a wrong answer") && text.contains(STOLEN);
        // The two that say yes first are asked for their part; the liar may be the third.
        let mut text = String::new();
        for _search in 0..SEARCHES_FOR_THE_LIAR {
            let run = children.run(&line).await?;
            self.expect(&run, ExitKind::Done)?;
            text = String::from_utf8_lossy(&run.stdout).into_owned();
            if named(&text) {
                self.said(&run);
                break;
            }
        }
        durable::remove(&lie)?;
        if !named(&text) {
            return Err(Ended::internal(format!("the lie was not found or the car was not: {text}")).into());
        }
        self.outcome("found without the liar: County Auditor is named, the evidence is in a file");
        Ok(())
    }

    async fn destroyed(&self, children: &mut Children, window: &Window) -> Result<()> {
        self.act(6, "A destroyed hour", &[
            "The reads of act 1 are past their retention. Each office destroys its share by itself and says so on its",
            "register. The sealed reads may lie on any backup; nobody can open them any more.",
        ]);
        let clock = SystemClock::new();
        let mut destroyed = Vec::new();
        for register in self.town.registers()?.iter().take(KEEPERS.len()) {
            loop {
                children.check()?;
                let entries = register.entries().await?;
                let lines: Vec<String> = entries
                    .iter()
                    .enumerate()
                    .filter(|(_, entry)| {
                        let of = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
                        of("type") == "share.destroyed" && window.headers.iter().any(|header| header == of("header"))
                    })
                    .map(|(number, entry)| register::line(number, entry))
                    .collect();
                if lines.len() >= window.headers.len() {
                    destroyed.extend(lines.first().map(|line| format!("    {}: {line}", register.name)));
                    break;
                }
                let most = PATIENCE.saturating_add(Duration::from_secs(RETENTION_SECONDS));
                if clock.monotonic() > most {
                    return Err(Ended::internal(format!("{} did not destroy its shares", register.name)).into());
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        for line in destroyed {
            self.screen.line(&line);
        }
        let times = (time_text(window.from), time_text(window.to));
        let line = Self::stolen_car_search(&times);
        self.command(&line);
        let output = children.run(&line).await?;
        if !self.story {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            for line in said.lines().filter(|line| line.starts_with("error:")) {
                self.screen.line(&format!("    {line}"));
            }
        }
        self.expect(&output, ExitKind::Gone)?;
        self.outcome("destroyed: exit 8, for everybody and for ever");
        Ok(())
    }

    async fn public(&self, children: &Children) -> Result<()> {
        self.act(7, "What the public sees", &[
            "Every party's register, read as any resident can, each entry checked against the signed head. No plate, no",
            "case number and no name of a person is in it.",
        ]);
        let mut requests = 0_usize;
        for register in self.town.registers()? {
            let entries = register.entries().await?;
            self.screen.line(&format!("  {}: {} entries, all those of its signed head", register.name, entries.len()));
            for (number, entry) in entries.iter().enumerate() {
                let kind = entry.get("type").and_then(Value::as_str).unwrap_or_default();
                requests += usize::from(kind == "request");
                let routine = kind.starts_with("epoch.") || kind.starts_with("share.") || kind.starts_with("prekey");
                if !self.story && !routine {
                    self.screen.line(&format!("    {}", register::line(number, entry)));
                }
                let text = entry.to_string();
                if [STOLEN, WANTED, PERSON].iter().any(|plate| text.contains(plate)) {
                    return Err(Ended::internal("a plate is on the public register").into());
                }
            }
        }
        if requests < 6 {
            return Err(Ended::internal(format!("only {requests} requests are on the registers")).into());
        }
        self.outcome(&format!("{requests} entries about requests, granted and refused, and no plate in any of them"));
        let (charter, hash) = ("millbrook/charter.auth", hex_of(&self.town.charter.hash()));
        for line in [
            ["verify", charter, "--hash", &hash].as_slice(),
            &["agency", "register", charter, "--hash", &hash, "--out", "register"],
        ] {
            self.command(line);
            let output = children.run(line).await?;
            self.said(&output);
            self.expect(&output, ExitKind::Done)?;
        }
        self.outcome("valid, and the same pages can be made by anybody: register/index.html, with --keep");
        Ok(())
    }
}
