//! Row S12: the archive on a cluster of three Garage nodes. A week of the large city is filled into its bucket, with a node killed meanwhile, and
//! searched as in S4: with all nodes, with another node killed or hanging from the middle of a search on, after a new start, and from the disks. Then the work of `scripts/garage`, which kills a node in each
//! phase, wipes one and drops epochs; this row starts it and repeats its figures. All of it takes a quarter of an hour and a Garage, so it runs
//! only where both are wanted.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;

use super::filled::{self, Filled, PLATES, Place, Size};
use super::growth::{Asker, BETWEEN_SEARCHES, LARGE, Searches, WEEK, forget_pages_below, stages};
use super::report::{Bar, Figure, Series};
use super::town::{BINARY, command};
use super::{Measured, Options, fresh};

/// Where `scripts/garage` builds the one that it needs.
const GARAGE: &str = "target/garage/bin/garage";
const SIZE: Size = Size { epochs: WEEK, cells_each: LARGE.cells_each };
const SEARCHES: usize = 30;
const SEARCH_MS_P50: f64 = 1_500.0;
/// How often a node is lost in the middle of a search.
const LOST: usize = 3;
const STARTS: usize = 5;

pub(super) fn measure(options: &Options) -> anyhow::Result<Measured> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    if options.quick || !root.join(GARAGE).is_file() {
        let how = format!(
            "Not measured: in a whole run, where a Garage 2.5 is at {GARAGE} (`scripts/garage` builds one in some twenty minutes), it takes a quarter \
             of an hour."
        );
        return Ok(Measured { figures: Vec::new(), how: vec![how] });
    }
    let mut measured = Measured { figures: Vec::new(), how: Vec::new() };
    if SIZE.cells() > options.cells {
        measured.how.push(format!("SKIPPED the archive of {} cells.", SIZE.cells()));
    } else {
        searches(options, &root, &mut measured)?;
    }
    faults(&root, &mut measured)?;
    Ok(measured)
}

/// The searches of S4. Each must find exactly what was filled in.
fn searches(options: &Options, root: &Path, into: &mut Measured) -> anyhow::Result<()> {
    let folder = options.work.join("nodes");
    let mut nodes = Nodes::start(root, &folder)?;
    let Some(mut filled) = filled::build(options, SIZE, &mut nodes)? else {
        into.how.push(format!("SKIPPED the archive of {} cells: there is no room for three copies.", SIZE.cells()));
        return nodes.end();
    };
    let mut plates = 0..PLATES;
    let mut ask = |asker: &Asker, filled: &Filled, times: usize, into: &mut Searches| -> anyhow::Result<()> {
        plates.by_ref().take(times).try_for_each(|number| asker.measure(filled, number, WEEK, into))
    };
    let [mut whole, mut killed, mut without, mut hung, mut anew, mut cold] = [(); 6].map(|()| Searches::default());
    let asker = Asker::new(&filled)?;
    // Not counted: connections, directories, caches.
    ask(&asker, &filled, 3, &mut Searches::default())?;
    ask(&asker, &filled, SEARCHES, &mut whole)?;
    let half = BETWEEN_SEARCHES + Duration::from_secs_f64(whole.total.median() / 2_000.0);
    for _ in 0..LOST {
        nodes.order_after(half, "kill", 3, || ask(&asker, &filled, 1, &mut killed))?;
        ask(&asker, &filled, SEARCHES / LOST, &mut without)?;
        nodes.order("start", 3)?;
    }
    for _ in 0..LOST {
        nodes.order_after(half, "pause", 3, || ask(&asker, &filled, 1, &mut hung))?;
        nodes.order("resume", 3)?;
    }
    for (searched, from_disk) in [(&mut anew, false), (&mut cold, true)] {
        for _ in 0..STARTS {
            filled.town.agency.take().context("the agency")?.stop();
            if from_disk {
                forget_pages_below(&folder)?;
            }
            filled.town.start_agency();
            filled.town.wait_sealing();
            ask(&Asker::new(&filled)?, &filled, 1, searched)?;
        }
    }
    let bar = Some(Bar::AtMost(SEARCH_MS_P50));
    for (name, searched, bar) in [
        ("all nodes", &whole, bar),
        ("node 3 killed in the middle of it", &killed, bar),
        ("node 3 dead", &without, bar),
        // A read that hangs is asked for again after three seconds.
        ("node 3 stopped in the middle of it", &hung, None),
        ("agency started anew", &anew, bar),
        ("agency started anew, the nodes' files from the disk", &cold, bar),
    ] {
        let what = format!("{WEEK} epochs of the large city, {name}, p50");
        eprintln!("  {what}: {:.0} ms, {:?}", searched.total.median(), searched.total.0);
        into.figures.push(Figure::alone(what, "ms", Series(vec![searched.total.median()]), bar));
        into.how.push(stages(searched, name));
    }
    into.how.push(format!(
        "{} cells in {} objects of segments, filled in {:.0} s, node 2 killed for a third of them; each search found exactly the reads that were \
         imported of its plate.",
        SIZE.cells(),
        SIZE.epochs,
        filled.took
    ));
    filled.town.stop_all();
    filled.town.doctor();
    drop(filled);
    nodes.end()?;
    // Room for what comes.
    fresh(&folder)
}

/// `scripts/garage`.
fn script(root: &Path) -> anyhow::Result<Command> {
    let mut script = command(root.join("scripts/garage").to_str().context("a path of this repository")?);
    script.current_dir(root);
    Ok(script)
}

/// What `scripts/garage` does and finds.
fn faults(root: &Path, into: &mut Measured) -> anyhow::Result<()> {
    let ran = script(root)?.args(["--bin", BINARY]).output().context("scripts/garage cannot be started")?;
    let Ok(report) = serde_json::from_slice::<Value>(&ran.stdout) else {
        bail!("scripts/garage: a step failed:\n{}", String::from_utf8_lossy(&ran.stderr));
    };
    let phases = report.get("phases").and_then(Value::as_object).context("phases")?;
    let number = |phase: &Value, name: &str| phase.get(name).and_then(Value::as_f64);
    let mut wrong = 0.0;
    for (name, phase) in phases {
        let Some(median) = number(phase, "median_seconds") else { continue };
        into.figures.push(Figure::alone(format!("{name}: a search of some minutes"), "s", Series(vec![median]), None));
        wrong += ["missing", "wrong", "unavailable"].iter().filter_map(|kind| number(phase, kind)).sum::<f64>();
    }
    into.figures.push(Figure::alone(
        "reads missing, answers wrong or not given, in all phases",
        "",
        Series(vec![wrong]),
        Some(Bar::AtMost(0.0)),
    ));
    let held = ran.status.success() && report.get("right") == Some(&Value::Bool(true));
    into.figures.push(Figure::alone(
        "1 where anything did not hold (also in the bucket, and at the processes' end)",
        "",
        Series(vec![f64::from(u8::from(!held))]),
        Some(Bar::AtMost(0.0)),
    ));
    into.how.push(
        "Three Garage nodes on the loopback, replication 3, everything synced, their own defaults else; a balancer of connections before them. In the \
         searches of some minutes a node is killed in each phase, one hangs, one is wiped and healed, epochs are dropped, and every read that was acknowledged is \
         searched for; epochs are of ten seconds with some 400 reads in all."
            .to_owned(),
    );
    Ok(())
}

/// The nodes: `scripts/garage --nodes`, which ends with its input.
struct Nodes {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    reached: Reached,
    down: bool,
}

/// Its first line.
#[derive(Deserialize)]
struct Reached {
    endpoint: String,
    bucket: String,
    region: String,
    credentials: (String, String),
}

impl Nodes {
    fn start(root: &Path, folder: &Path) -> anyhow::Result<Self> {
        let mut child = script(root)?
            .args(["--nodes", "--keep"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("scripts/garage cannot be started")?;
        let orders = child.stdin.take().context("its input")?;
        let mut answers = BufReader::new(child.stdout.take().context("its output")?);
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let reached = serde_json::from_str(&line).context("the nodes did not start")?;
        Ok(Self { child, orders, answers, reached, down: false })
    }

    /// An order that comes in the middle of something else. Done when this returns, and so is that.
    fn order_after(
        &mut self,
        delay: Duration,
        what: &str,
        node: u8,
        other: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        std::thread::scope(|scope| {
            let order = scope.spawn(|| {
                std::thread::sleep(delay);
                self.order(what, node)
            });
            let other = other();
            order.join().map_err(|_panicked| anyhow::anyhow!("the order panicked"))?.and(other)
        })
    }

    /// `kill`, `start`, `pause` or `resume` of a node, done when this returns.
    fn order(&mut self, what: &str, node: u8) -> anyhow::Result<()> {
        writeln!(self.orders, "{what} {node}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.trim() != "done" {
            bail!("scripts/garage could not {what} node {node}");
        }
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<()> {
        drop(self.orders);
        if !self.child.wait()?.success() {
            bail!("scripts/garage --nodes failed");
        }
        Ok(())
    }
}

impl Place for Nodes {
    fn copies(&self) -> u64 {
        3
    }

    fn bucket(&self) -> Option<(String, String)> {
        let Reached { endpoint, bucket, region, credentials: (id, secret) } = &self.reached;
        // Garage knows no conditional put.
        let section = format!(
            "endpoint = \"{endpoint}\"\nplain_http = true\nbucket = \"{bucket}\"\nregion = \"{region}\"\nprefix = \"millbrook\"\n\
             credentials_file = \"keys/archive.s3\"\nconditional_put = false\n"
        );
        Some((section, format!("{id}\n{secret}\n")))
    }

    fn filled(&mut self, windows: u64) -> anyhow::Result<()> {
        let third = SIZE.epochs / 3;
        let down = (third..2 * third).contains(&windows);
        if down == self.down {
            return Ok(());
        }
        self.down = down;
        self.order(if down { "kill" } else { "start" }, 2)
    }
}
