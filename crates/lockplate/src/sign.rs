//! `lockplate sign`: an order of a court, of a records custodian or of policy signers becomes a signed paper. It runs where the key is; the
//! plate stays in the order and in the disclosure, which the signer hands to the officer.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use lockplate_core::revocation::Revocation;
use lockplate_core::signed::SignedObject;
use lockplate_log::note::Origin;
use lockplate_node::api::{B64, PolicyFile, PolicyFiled};
use lockplate_node::client::PeerError;
use lockplate_node::fingerprint;
use lockplate_node::founding::{self, FoundingError, Order, PasskeyPaper, SignedPaper, TrustedKey};
use lockplate_node::keeper::enrol::{EnrolOffice, EnrolTerms};
use lockplate_node::keeper::sign_page;
use lockplate_node::oversight::Oversight;
use lockplate_node::passkeys::EnrolledPasskey;
use lockplate_node::policy_folder;
use lockplate_node::problem::ProblemKind;
use lockplate_node::rng::SystemRng;
use lockplate_node::settings::create_secret_file;
use lockplate_node::shutdown::{ExitKind, Tasks};
use lockplate_store::durable;
use serde_json::json;

use crate::audit::CharterArgs;
use crate::exit::Ended;
use crate::keeper::{await_person, make_passkey};
use crate::load_order::{self, SignLoadArgs};
use crate::screen::Screen;
use crate::search::hex_of;

/// Largest order file.
const ORDER_BYTES_MAX: u64 = 256 * 1024;

/// Sign an order with the key or the passkey of the court or of the records custodian.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct SignArgs {
    #[command(subcommand)]
    task: Option<SignTask>,
    /// The order (JSON)
    #[arg(required = true, value_name = "ORDER.json")]
    order: Option<PathBuf>,
    /// The signer's key file
    #[arg(long, required_unless_present = "passkey", conflicts_with = "passkey", value_name = "FILE")]
    key: Option<PathBuf>,
    /// File of the signer's passkey from `sign new-passkey`: serves one page, on which the signer reads the order and signs it
    #[arg(long, value_name = "FILE", conflicts_with = "yes")]
    passkey: Option<PathBuf>,
    /// Loopback address and port of that page, which browsers see under the passkey's origin
    #[arg(long, value_name = "ADDRESS", requires = "passkey", default_value = "127.0.0.1:8543")]
    listen: SocketAddr,
    /// Where the signed paper goes; the disclosures get this name with .disclosure-1, .. behind it
    #[arg(long, required = true, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Do not ask before signing
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Subcommand)]
enum SignTask {
    /// Make a key and print the line for the trust list
    NewKey {
        /// Key file to make
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Name of the key, such as judge-doe.district-court.example
        #[arg(long)]
        name: String,
    },
    /// Serve one page on which a judge or a records custodian makes a passkey, and print what the trust list says of it
    NewPasskey {
        /// Name of the key, such as judge-doe.district-court.example
        #[arg(long)]
        name: String,
        /// File to write; it holds no secret
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Loopback address and port to listen at
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8543")]
        listen: SocketAddr,
        /// Origin under which browsers see this page, and later the pages on which papers are signed: https://HOST, or
        /// http://localhost:PORT on this machine
        #[arg(long, value_name = "URL")]
        origin: String,
        /// Host for which the passkey is made: that of the origin, or a parent of it
        #[arg(long, value_name = "HOST")]
        rp_id: String,
    },
    /// Make the key of a case for a records custodian, to which held reads are sealed
    NewCaseKey {
        /// Key file to make; the public half gets this name with .pub behind it
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Whose it is, such as "Records, Millbrook Police Department"
        #[arg(long)]
        name: String,
    },
    /// Add a signature to a paper that several sign, such as a policy change
    Add {
        /// The signed paper; the signature is added to the file
        #[arg(value_name = "PAPER")]
        paper: PathBuf,
        /// The signer's key file
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Name of the key
        #[arg(long)]
        name: String,
        /// Do not ask before signing
        #[arg(long)]
        yes: bool,
    },
    /// Sign for a load of a hot list with more than five plates of one case, as a person who decides for a keeper
    Load(SignLoadArgs),
    /// Hand a signed paper to every keeper: a delay of notice, a revocation, a trust list, a policy change
    File {
        /// The signed paper
        #[arg(value_name = "PAPER")]
        paper: PathBuf,
        /// Folder of the bundle that a policy change names
        #[arg(long, value_name = "DIR")]
        bundle: Option<PathBuf>,
        /// Text for the public that says what a looser policy allows
        #[arg(long, value_name = "FILE")]
        allows: Option<PathBuf>,
        #[command(flatten)]
        charter: CharterArgs,
    },
}

/// Carries out one task.
pub(crate) async fn run(args: SignArgs, screen: &Screen) -> Result<ExitKind> {
    match args.task {
        Some(SignTask::NewKey { key, name }) => new_key(&key, &name, screen),
        Some(SignTask::NewPasskey { name, out, listen, origin, rp_id }) => {
            let terms = EnrolTerms { office: EnrolOffice::Court, name, listen, origin, rp_id };
            new_passkey(terms, &out, screen).await
        }
        Some(SignTask::NewCaseKey { key, name }) => new_case_key(&key, &name, screen),
        Some(SignTask::Add { paper, key, name, yes }) => add(&paper, &key, &name, yes, screen),
        Some(SignTask::Load(args)) => load_order::sign(&args, screen, || agreed(screen)),
        Some(SignTask::File { paper, bundle, allows, charter }) => {
            let change = policy_files(bundle.as_deref(), allows.as_deref())?;
            file(&paper, change, &charter, screen).await
        }
        None => sign(args, screen).await,
    }
}

fn new_key(key: &Path, name: &str, screen: &Screen) -> Result<ExitKind> {
    let public = founding::make_note_key(key, name, &mut SystemRng)?;
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/sign/1", "key": public.to_string() }));
    } else {
        screen.line(&public.to_string());
    }
    Ok(ExitKind::Done)
}

async fn new_passkey(terms: EnrolTerms, out: &Path, screen: &Screen) -> Result<ExitKind> {
    // Before a person is asked: under a name with a space no trust list could hold it.
    Origin::parse(&terms.name).map_err(|_grammar| Ended::usage("--name: this cannot be the name of a key"))?;
    let made = make_passkey(terms, out, screen).await?;
    let (key, site) = (TrustedKey::of_passkey(&made)?.vkey.to_string(), made.passkey.site);
    let (rp_id, origins) = (site.rp_id(), site.origins());
    if screen.json() {
        screen.document(
            &json!({ "schema": "lockplate/sign/1", "key": key, "rp_id": rp_id, "origins": origins, "file": out }),
        );
    } else {
        screen.line(&key);
        screen.line(&format!("for {rp_id} at {}", origins.join(" ")));
        screen.note(&format!(
            "Give {} to whoever drafts the charter or the trust list; it holds no secret.",
            out.display()
        ));
    }
    Ok(ExitKind::Done)
}

fn new_case_key(key: &Path, name: &str, screen: &Screen) -> Result<ExitKind> {
    let mut public = key.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    if public.try_exists().unwrap_or(true) {
        return Err(Ended::config(format!("{}: is there already", public.display())).into());
    }
    let card = founding::make_case_key(key, name, &mut SystemRng)?;
    let fingerprint = card.fingerprint().unwrap_or_default();
    durable::write_new(&public, serde_json::to_string(&card)?.as_bytes())
        .with_context(|| format!("{}: cannot be created", public.display()))?;
    if screen.json() {
        screen.document(
            &json!({ "schema": "lockplate/sign/1", "case_key": fingerprint, "name": name, "public": public }),
        );
    } else {
        screen.line(&format!("{fingerprint}  {}", public.display()));
        screen.note(
            "Keep the key file apart from the files of holds: whoever has both can read what is held, and without the key nobody can.",
        );
    }
    Ok(ExitKind::Done)
}

/// What several sign names no plate: the object itself is what is shown.
fn add(paper: &Path, key: &Path, name: &str, yes: bool, screen: &Screen) -> Result<ExitKind> {
    let before = read_bounded(paper)?;
    let object = SignedObject::parse(&before).map_err(|error| Ended::usage(format!("{}: {error}", paper.display())))?;
    screen.note(object.text().trim_end());
    if !yes && !agreed(screen)? {
        return Err(Ended::of(ExitKind::Interrupted, "not signed").into());
    }
    let after = founding::cosign(&before, key, name)?;
    durable::replace(paper, &after).with_context(|| format!("{}: cannot be replaced", paper.display()))?;
    let digest = hex_of(&object.digest());
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/sign/1", "digest": digest, "paper": paper }));
    } else {
        screen.line(&format!("Signed: {} (fingerprint {}).", paper.display(), digest.get(..16).unwrap_or(&digest)));
    }
    Ok(ExitKind::Done)
}

/// The files that go with a policy change; none for any other paper.
fn policy_files(bundle: Option<&Path>, allows: Option<&Path>) -> Result<Option<(Vec<PolicyFile>, Option<String>)>> {
    let text = |path: &Path| {
        let read = String::from_utf8(read_bounded(path)?);
        anyhow::Ok(read.map_err(|_bytes| Ended::usage(format!("{}: not a text", path.display())))?)
    };
    let allows = allows.map(text).transpose()?;
    let Some(folder) = bundle else { return Ok(allows.map(|text| (Vec::new(), Some(text)))) };
    let bundle = policy_folder::read(folder).map_err(|fault| Ended::usage(format!("{}: {fault}", folder.display())))?;
    Ok(Some((bundle.files().map(PolicyFile::new).collect(), allows)))
}

/// Every keeper writes it into its own log, and each stands for itself: one that is away gets it by the same command later.
async fn file(
    paper: &Path,
    with: Option<(Vec<PolicyFile>, Option<String>)>,
    charter: &CharterArgs,
    screen: &Screen,
) -> Result<ExitKind> {
    let order = read_bounded(paper)?;
    let is_policy = SignedObject::parse(&order).is_ok_and(|object| {
        object.fields().and_then(|mut fields| fields.take::<String>("kind")).is_ok_and(|kind| kind == "policy-change")
    });
    let change = is_policy.then(|| {
        let (files, allows) = with.unwrap_or_default();
        PolicyFiled { object: B64(order.clone()), files, allows }
    });
    let taken = taken(&order);
    let charter = charter.charter(screen).await?;
    let oversight = Oversight::new(charter.charter())?;
    let (mut ended, mut told) = (ExitKind::Done, Vec::new());
    for keeper in &charter.charter().keepers {
        let filed = match &change {
            Some(change) => oversight.file_policy(keeper.index, change).await,
            None => oversight.file_order(keeper.index, &order).await,
        };
        let said = match filed {
            Ok(()) => taken.to_owned(),
            Err(PeerError::Problem(problem)) if problem.kind() == ProblemKind::NotFound => {
                ended = ExitKind::Refused;
                "has no such request".to_owned()
            }
            Err(PeerError::Problem(problem)) if problem.kind() == ProblemKind::Invalid => {
                ended = ExitKind::Refused;
                "refused; is it signed by who may, for this owner, in force, and does it follow what is in force?"
                    .to_owned()
            }
            Err(error) => {
                ended = if ended == ExitKind::Done { ExitKind::Unavailable } else { ended };
                error.to_string()
            }
        };
        if !screen.json() {
            screen.line(&format!("{}: {said}", keeper.name));
        }
        told.push(json!({ "keeper": keeper.index.0, "said": said }));
    }
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/sign/1", "filed": told }));
    }
    Ok(ended)
}

/// What a keeper has done with a paper that it took. That a paper was taken back it keeps to itself until somebody comes with that paper, so
/// nothing of it is on the register; only of a declaration there is an entry, which from here cannot be told.
fn taken(paper: &[u8]) -> &'static str {
    let revocation = SignedObject::parse(paper).and_then(|object| object.read::<Revocation>());
    if revocation.is_ok_and(|revocation| revocation.body.object.is_some()) {
        "noted"
    } else {
        "written into its register"
    }
}

async fn sign(args: SignArgs, screen: &Screen) -> Result<ExitKind> {
    let (Some(order), Some(out)) = (args.order, args.out) else {
        return Err(Ended::usage("an order and --out are needed").into());
    };
    let order = read_order(&order)?;
    let now = crate::agency::now();
    // What cannot be signed is not shown for a yes either.
    let draft = order.draft(now, &mut SystemRng)?;
    // Standard error: standard output is for the result.
    for line in order.expose_words() {
        screen.note(&line);
    }
    match (args.key, args.passkey) {
        (Some(key), _) => {
            if !args.yes && !agreed(screen)? {
                return Err(Ended::of(ExitKind::Interrupted, "not signed").into());
            }
            let paper = draft.sign(&key)?;
            keep(&paper, &out)?.tell(&paper, screen);
            Ok(ExitKind::Done)
        }
        (None, Some(passkey)) => {
            let passkey = EnrolledPasskey::read(&passkey).map_err(FoundingError::from)?;
            let paper = PasskeyPaper::new(draft, passkey)?;
            sign_on_page(paper, order, args.listen, &out, screen).await
        }
        (None, None) => Err(Ended::usage("--key or --passkey is needed").into()),
    }
}

/// Serves the page on which the signer reads the order; the page is the question, so the terminal asks nothing.
async fn sign_on_page(
    paper: PasskeyPaper,
    order: Order,
    listen: SocketAddr,
    out: &Path,
    screen: &Screen,
) -> Result<ExitKind> {
    if out.try_exists().unwrap_or(true) {
        return Err(Ended::config(format!("{}: is there already", out.display())).into());
    }
    let digest = paper.digest();
    screen.note(&format!("Fingerprint of what will be signed: {}", fingerprint::digits(&digest)));
    screen.note(&format!("In words: {}", fingerprint::words(&digest)));
    let tasks = Tasks::new();
    tasks.stop_on_signals().context("the system refuses signal handlers")?;
    let waiting = sign_page::ask(paper, order, listen, &tasks, &mut SystemRng).await?;
    let mut kept = None;
    let signed = await_person(waiting, &tasks, screen, |signed| {
        kept = Some(keep(signed, out)?);
        Ok(())
    })
    .await?;
    if let Some(kept) = kept {
        kept.tell(&signed, screen);
    }
    Ok(ExitKind::Done)
}

/// Files of a signed paper.
struct Kept {
    paper: PathBuf,
    disclosures: Vec<PathBuf>,
    person: Option<PathBuf>,
}

fn keep(paper: &SignedPaper, out: &Path) -> Result<Kept> {
    durable::write_new(out, &paper.auth).with_context(|| format!("{}: cannot be created", out.display()))?;
    let beside = |ending: &str, text: &str| {
        let mut name = out.as_os_str().to_owned();
        name.push(ending);
        let path = PathBuf::from(name);
        // It opens a plate or a person: closed to everybody but the signer.
        create_secret_file(&path, format!("{text}\n").as_bytes()).map(|()| path)
    };
    let mut disclosures = Vec::new();
    for (disclosure, number) in paper.disclosures.iter().zip(1..) {
        disclosures.push(beside(&format!(".disclosure-{number}"), disclosure)?);
    }
    let person = paper.person.as_ref().map(|disclosure| beside(".person", disclosure)).transpose()?;
    Ok(Kept { paper: out.to_owned(), disclosures, person })
}

impl Kept {
    fn tell(self, signed: &SignedPaper, screen: &Screen) {
        let Self { paper, disclosures, person } = self;
        let (digest, words) = (hex_of(&signed.digest), fingerprint::words(&signed.digest));
        if screen.json() {
            screen.document(&json!({ "schema": "lockplate/sign/1", "digest": digest, "words": words, "paper": paper, "disclosures": disclosures, "person": person }));
            return;
        }
        screen.line(&format!("Signed: {} (fingerprint {}).", paper.display(), fingerprint::digits(&signed.digest)));
        screen.line(&format!("In words, for the paper order: {words}"));
        for file in disclosures {
            screen.line(&format!("Hand {} to the officer; it names the plate.", file.display()));
        }
        if let Some(file) = person {
            screen.line(&format!("Keep {}; it names the person.", file.display()));
        }
    }
}

fn read_order(path: &Path) -> Result<Order> {
    // The position only: an order's text names a plate.
    Ok(Order::from_json(&read_bounded(path)?).map_err(|error| {
        Ended::usage(format!("{}: not an order, at line {} column {}", path.display(), error.line(), error.column()))
    })?)
}

fn read_bounded(path: &Path) -> Result<Vec<u8>> {
    let refuse = |what: &str| Ended::usage(format!("{}: {what}", path.display()));
    let length = std::fs::metadata(path).map_err(|_cause| refuse("cannot be read"))?.len();
    if length > ORDER_BYTES_MAX {
        return Err(refuse("larger than an order can be").into());
    }
    Ok(std::fs::read(path).map_err(|_cause| refuse("cannot be read"))?)
}

fn agreed(screen: &Screen) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Ended::usage("nobody is there to ask; give --yes to sign without asking").into());
    }
    screen.note("Sign this? Type yes:");
    let _closed = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("the terminal cannot be read")?;
    Ok(answer.trim() == "yes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockplate_core::Timestamp;

    #[test]
    fn a_paper_that_is_taken_back_is_noted_and_everything_else_is_on_the_register() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("judge.pem");
        let vkey = founding::make_note_key(&key, "judge.court.example", &mut SystemRng).unwrap();
        let signed = |order: serde_json::Value| {
            let order = Order::from_json(order.to_string().as_bytes()).unwrap();
            order.sign(&key, Timestamp(1), &mut SystemRng).unwrap().auth
        };
        let revocation = |object: &str, vkey: &str| {
            signed(json!({
                "kind": "revocation", "issuer": "judge.court.example", "object": object, "key": vkey, "reason": "mistake",
                "from": "2026-11-24T08:00:00Z",
            }))
        };
        assert_eq!(taken(&revocation(&"ab".repeat(32), "")), "noted");
        assert_eq!(taken(&revocation("", &vkey.to_string())), "written into its register");
        let delay = signed(json!({
            "kind": "delay-notice", "issuer": "judge.court.example", "court": "District Court", "docket": "1",
            "request": "ab".repeat(32), "until": "2026-11-24T08:00:00Z",
        }));
        assert_eq!(taken(&delay), "written into its register");
    }
}
