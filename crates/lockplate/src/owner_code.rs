//! `lockplate agency owner-code`: at the records custodian's counter. A registered owner, who has shown who he is, gets a file with
//! which his own program asks the keepers whether this one plate was searched. The plate comes from a file or from standard input,
//! never from an argument, which other users of the machine could read.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use lockplate_core::Timestamp;
use lockplate_core::charter::{Charter, CharterFile};
use lockplate_core::directory::TrustRole;
use lockplate_core::json::time_text;
use lockplate_core::notice::OwnerCode;
use lockplate_core::plate::Plate;
use lockplate_intake::jurisdiction::written;
use lockplate_log::NoteSigner;
use lockplate_node::founding::note_signer;
use lockplate_node::rng::SystemRng;
use lockplate_node::search::has_wildcard;
use lockplate_node::settings::{create_secret_file, read_public_file};
use lockplate_node::shutdown::ExitKind;
use serde_json::json;
use zeroize::Zeroizing;

use crate::exit::Ended;
use crate::screen::Screen;

/// Bytes of a file that holds a plate and nothing else.
const PLATE_FILE_BYTES_MAX: u64 = 1024;
/// Seconds in a day.
const DAY: u64 = 86_400;

/// Make a registered owner's one-time code.
#[derive(Debug, Args)]
pub(crate) struct OwnerCodeArgs {
    /// File that holds the plate and nothing else; - reads standard input
    #[arg(long, value_name = "FILE")]
    plate_file: PathBuf,
    /// State of the registration, such as US-CT
    #[arg(long)]
    state: String,
    /// The records custodian's key file
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The charter
    #[arg(long, value_name = "FILE", default_value = "charter.auth")]
    charter: PathBuf,
    /// Days for which the code is good
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=30))]
    days: u64,
    /// Where the owner's file goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Makes the code and its file.
pub(crate) fn run(args: &OwnerCodeArgs, screen: &Screen) -> Result<ExitKind> {
    let charter = CharterFile::verify(&read_public_file(&args.charter)?)
        .map_err(|_core| Ended::config(format!("{}: not a charter that holds", args.charter.display())))?;
    let charter = charter.charter();
    let state = written(&args.state).map_err(|no_code| Ended::usage(format!("--state: {}", no_code.hint())))?;
    let plate = read_plate(&args.plate_file)?;
    let custodian = trusted_signer(&args.key, charter, TrustRole::Custodian)?;
    let now = crate::agency::now();
    let until = Timestamp(now.0.saturating_add(args.days.saturating_mul(DAY)));
    let code = OwnerCode::issue(charter.owner.id, &plate, state, (now, until), &custodian, &mut SystemRng)
        .map_err(|_core| Ended::internal("the code could not be made"))?;
    let file = Zeroizing::new(code.expose_file().map_err(|_core| Ended::internal("the code could not be written"))?);
    create_secret_file(&args.out, &file)?;
    if screen.json() {
        let document = json!({ "schema": "lockplate/owner-code/1", "code": args.out, "until": time_text(until) });
        screen.document(&document);
    } else {
        screen.line(&format!("Made: {}, good until {}.", args.out.display(), time_text(until)));
        screen.line("Hand it to the owner and keep no copy: it names the plate, and whoever has it can ask in the owner's place.");
        screen.line("The owner asks with: lockplate audit mine --code FILE --plate-file FILE CHARTER");
    }
    Ok(ExitKind::Done)
}

/// What to do about a plate with wildcards. Left out like a blank, they would make another plate.
pub(crate) const WHOLE_PLATE: &str = "* % _ ? # @ are in no plate, and wildcards cannot be asked; name the whole plate";

/// The plate in a file of its own.
pub(crate) fn read_plate(path: &Path) -> Result<Plate> {
    let plate = Plate::parse(read_plate_words(path)?.trim()).filter(|plate| !plate.is_overlong());
    let what = "no plate: 1 to 16 letters and digits, and nothing else in the file";
    Ok(plate.ok_or_else(|| Ended::config(format!("{}: {what}", path.display())))?)
}

/// The same as it stands there.
pub(crate) fn read_plate_words(path: &Path) -> Result<Zeroizing<String>> {
    let text = read_words(path, PLATE_FILE_BYTES_MAX)?;
    if has_wildcard(&text) {
        return Err(Ended::config(format!("{}: {WHOLE_PLATE}", path.display())).into());
    }
    Ok(text)
}

/// The text of a file, or of standard input for `-`, that must not stand among the arguments of a process.
pub(crate) fn read_words(path: &Path, bytes_max: u64) -> Result<Zeroizing<String>> {
    let refuse = |what: &str| Ended::config(format!("{}: {what}", path.display()));
    let mut text = Zeroizing::new(String::new());
    let limit = bytes_max.saturating_add(1);
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(path).map_err(|_os| refuse("cannot be read"))?;
        file.take(limit).read_to_string(&mut text)
    };
    read.map_err(|_os_or_utf8| refuse("cannot be read as text"))?;
    // A text that was cut would say something else.
    if u64::try_from(text.len()).is_ok_and(|length| length <= bytes_max) {
        Ok(text)
    } else {
        Err(refuse("larger than such a file can be").into())
    }
}

/// The signer of a key file under the name by which the charter's trust list knows it in this role.
pub(crate) fn trusted_signer(key: &Path, charter: &Charter, role: TrustRole) -> Result<NoteSigner> {
    for entry in charter.trust.iter().filter(|entry| entry.role == role) {
        let signer = note_signer(key, entry.vkey.name().as_str())?;
        if *signer.verifier_key() == entry.vkey {
            return Ok(signer);
        }
    }
    let what = format!("{}: the charter's trust list knows this key as no {}", key.display(), role.name());
    Err(Ended::config(what).into())
}
