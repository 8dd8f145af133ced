//! What a steward signs about a list: that it is matched and how, and that it ends.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use lockplate_core::hotlist::limits::{CONF_MIN, EXTRACT_ENTRIES_DEFAULT};
use lockplate_core::hotlist::set::{ListSettings, SetKind};
use lockplate_core::hotlist::steward::ListConfig;
use lockplate_core::person::ByPerson;
use lockplate_core::sign::SigningKey;
use lockplate_core::vocabulary::Purpose;
use lockplate_intake::hotlist_file::Template;
use lockplate_node::api::{B64, Done};
use lockplate_node::hotlist::ListRegistered;
use lockplate_node::problem::ProblemKind;
use lockplate_node::search::read_person_key;
use lockplate_node::shutdown::ExitKind;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::elsewhere::Elsewhere;
use super::{AtArg, HotlistTask, Steward, random, read_text};
use crate::agency::now;
use crate::exit::Ended;
use crate::screen::Screen;
use crate::search::{PinnedOwner, hex_of, usage};

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// Name for people; it decides nothing
    #[arg(long)]
    name: String,
    /// extract (of a national or state file), custom (own entries with a case), amber
    #[arg(long)]
    kind: String,
    /// What a custom list is for: wantedPerson, missingPerson, amberAlert, stolenVehicle, stolenPlate, humanTrafficking
    #[arg(long)]
    purpose: Option<String>,
    /// How its files are read (TOML); without it they come in the own format
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Confidence below which a read is no hit, 0 to 1000
    #[arg(long, default_value_t = CONF_MIN)]
    conf_min: u16,
    /// A state that a camera names without a confidence counts as read
    #[arg(long)]
    trust_state: bool,
    /// Entries it may have; without it 1000000, or what the charter of the recorder's owner lets where that is less
    #[arg(long)]
    entries_max: Option<u64>,
    #[command(flatten)]
    pub(super) shared: SharedArg,
}

#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    /// Name of the list
    #[arg(long)]
    list: String,
    /// How its files are read from now on (TOML)
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Confidence below which a read is no hit, 0 to 1000
    #[arg(long)]
    conf_min: Option<u16>,
    /// Whether a state that a camera names without a confidence counts as read
    #[arg(long, value_name = "true|false")]
    trust_state: Option<bool>,
    /// Entries it may have
    #[arg(long)]
    entries_max: Option<u64>,
    #[command(flatten)]
    pub(super) shared: SharedArg,
}

/// Where the list is, and who approves of what is signed where that is another agency's recorder.
#[derive(Debug, Args)]
pub(super) struct SharedArg {
    #[command(flatten)]
    pub(super) there: AtArg,
    /// Key file of a second person, who approves of a list at another agency's recorder; with --at
    #[arg(long, value_name = "FILE", requires = "at")]
    second: Option<PathBuf>,
}

impl SharedArg {
    pub(super) fn check(&self) -> Result<()> {
        if self.there.at.is_some() && self.second.is_none() {
            return Err(usage("--second", "the key file of a second person, who approves of it").into());
        }
        Ok(())
    }

    /// What the second person signs, who is not `first`.
    fn approval(&self, config: &ListConfig, first: &SigningKey) -> Result<Option<ByPerson<ListConfig>>> {
        let Some(second) = &self.second else { return Ok(None) };
        let second = read_person_key(second)?;
        if second.verify_key() == first.verify_key() {
            return Err(usage("--second", "the key file of another person: this is your own").into());
        }
        Ok(Some(ByPerson::with_key(&second, config.clone())))
    }
}

/// A template that can be read as one; otherwise what is wrong with it, and where.
fn read_template(path: &Path) -> Result<String> {
    let text = read_text(path)?;
    match Template::parse(&text) {
        Ok(_) => Ok(text),
        Err(problem) => Err(usage("--template", &format!("a template; in {} {problem}", path.display())).into()),
    }
}

impl ChangeArgs {
    pub(super) fn check(&self) -> Result<()> {
        self.template.as_deref().map(read_template).transpose()?;
        self.shared.check()
    }
}

impl NewArgs {
    pub(super) fn check(&self) -> Result<()> {
        if self.shared.there.at.is_some() && self.kind != SetKind::Extract.name() {
            return Err(usage("--kind", "extract: what lives with a recorder is matched at the own one alone").into());
        }
        self.template.as_deref().map(read_template).transpose()?;
        self.shared.check()
    }
}

/// No more entries than the charter of the recorder's owner lets; of a new list as many as usual, or as it lets.
pub(super) fn bound_entries(task: &mut HotlistTask, owner: &PinnedOwner) -> Result<()> {
    let most = owner.charter().charter().extract_entries_max;
    let entries = match task {
        HotlistTask::New(new) => *new.entries_max.get_or_insert(EXTRACT_ENTRIES_DEFAULT.min(most)),
        HotlistTask::Change(change) => change.entries_max.unwrap_or(0),
        HotlistTask::Load(_)
        | HotlistTask::Add(_)
        | HotlistTask::Remove { .. }
        | HotlistTask::List { .. }
        | HotlistTask::Retire { .. } => return Ok(()),
    };
    if entries > most {
        let what = format!("at most {most}: the charter of {} lets no more", owner.called());
        return Err(usage("--entries-max", &what).into());
    }
    Ok(())
}

fn template_digest(template: &str) -> [u8; 32] {
    Sha256::digest(template.as_bytes()).into()
}

impl Steward {
    pub(super) async fn register(&self, args: &NewArgs, screen: &Screen) -> Result<ExitKind> {
        let kind = SetKind::from_name(&args.kind).ok_or_else(|| usage("--kind", "extract, custom or amber"))?;
        let purpose = match &args.purpose {
            None => None,
            Some(name) => Some(Purpose::from_name(name).ok_or_else(|| usage("--purpose", "one of the six of --help"))?),
        };
        if purpose.is_some() != (kind == SetKind::Custom) {
            return Err(usage("--purpose", "what the entries are for, for a custom list and for no other").into());
        }
        let template = args.template.as_deref().map(read_template).transpose()?;
        let config = ListConfig {
            agency: self.agency,
            name: args.name.clone(),
            settings: ListSettings {
                list: random(),
                kind,
                conf_min: args.conf_min,
                trust_jurisdiction: args.trust_state,
            },
            purpose,
            template: template.as_deref().map_or([0; 32], template_digest),
            entries_max: args.entries_max.unwrap_or(EXTRACT_ENTRIES_DEFAULT),
            alert_key: self.there.as_ref().map(Elsewhere::alert_key).transpose()?,
            serial: 1,
            retired: false,
            time: now(),
        };
        let approval = args.shared.approval(&config, self.officer.key())?;
        self.say(&config, template, approval.as_ref()).await?;
        let id = hex_of(&config.settings.list);
        let section = self.there.as_ref().map(|there| there.section(&config.settings.list));
        if screen.json() {
            let at = self.there.as_ref().map(Elsewhere::name);
            screen.document(&json!({
                "schema": "lockplate/hotlist/1", "list": config.name, "id": id, "at": at, "section": section,
            }));
            return Ok(ExitKind::Done);
        }
        let at = self.there.as_ref().map_or_else(String::new, |there| format!(" at the recorder of {}", there.name()));
        screen.line(&format!(
            "The list {} is registered{at}, with you as its steward. Its id in the recorder's public log is {id}.",
            config.name
        ));
        screen.line("Nothing is matched before a file is loaded.");
        if let Some(section) = section {
            screen.note("Alerts come once the charter lies beside your agency.toml, these lines are in it, and the agency is started anew:");
            screen.line(&format!("\n{}", section.trim_end()));
        }
        Ok(ExitKind::Done)
    }

    pub(super) async fn say(
        &self,
        config: &ListConfig,
        template: Option<String>,
        approval: Option<&ByPerson<ListConfig>>,
    ) -> Result<()> {
        let signed = ByPerson::with_key(self.officer.key(), config.clone());
        if let Some(there) = &self.there {
            return there.say(&self.officer, &signed, template, approval).await;
        }
        let asked =
            ListRegistered { config: B64(signed.to_bytes()), template, directory: None, session: None, approval: None };
        let Err(error) = self.officer.post::<Done>("/v1/hotlists", &asked).await else { return Ok(()) };
        let (kind, what) = match error.problem() {
            Some(ProblemKind::LogUnwitnessed) => (
                ExitKind::Unavailable,
                "it is logged, and the log's witnesses have not confirmed it: it takes effect by itself once they have",
            ),
            Some(ProblemKind::NotSignedIn) => (
                ExitKind::Refused,
                "only the list's steward, or a supervisor, changes or ends it; another agency's list is ended here by a supervisor",
            ),
            Some(ProblemKind::Conflicting) => {
                (ExitKind::Refused, "another list has this name, or a newer word on this list stands")
            }
            Some(_) | None => return Err(error.into()),
        };
        Err(Ended::of(kind, what).into())
    }

    pub(super) async fn sign_anew(&self, args: &ChangeArgs, screen: &Screen) -> Result<ExitKind> {
        let (_, signed) = self.named(&args.list).await?;
        let known = signed.claimed();
        let template = args.template.as_deref().map(read_template).transpose()?;
        let config = ListConfig {
            settings: ListSettings {
                conf_min: args.conf_min.unwrap_or(known.settings.conf_min),
                trust_jurisdiction: args.trust_state.unwrap_or(known.settings.trust_jurisdiction),
                ..known.settings
            },
            template: template.as_deref().map_or(known.template, template_digest),
            entries_max: args.entries_max.unwrap_or(known.entries_max),
            serial: known.serial.saturating_add(1),
            time: now(),
            ..known.clone()
        };
        let approval = args.shared.approval(&config, self.officer.key())?;
        self.say(&config, template, approval.as_ref()).await?;
        if screen.json() {
            screen.document(&json!({
                "schema": "lockplate/hotlist/1", "list": config.name, "state": "changed", "serial": config.serial,
            }));
        } else {
            screen.line(&format!(
                "Signed by you, the steward of {}: it holds from the next load on. What is in force stays as it is.",
                config.name
            ));
        }
        Ok(ExitKind::Done)
    }

    pub(super) async fn retire(&self, list: &str, screen: &Screen) -> Result<ExitKind> {
        let (_, signed) = self.named(list).await?;
        let config = signed.claimed();
        let ended =
            ListConfig { serial: config.serial.saturating_add(1), retired: true, time: now(), ..config.clone() };
        // How files were read matters no more.
        self.say(&ListConfig { template: [0; 32], ..ended }, None, None).await?;
        if screen.json() {
            screen.document(&json!({ "schema": "lockplate/hotlist/1", "list": config.name, "state": "retired" }));
        } else {
            screen.line(&format!("The list {} has ended: nothing of it is matched or kept.", config.name));
        }
        Ok(ExitKind::Done)
    }
}
