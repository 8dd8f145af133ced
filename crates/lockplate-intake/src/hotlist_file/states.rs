//! How a list writes who issued a plate. A code that its table does not know is not taken for "unknown": an entry without a state
//! meets the plates of every state, and that is how a car of one state was stopped for a motorcycle of another. A template may name
//! further codes, one by one.

use lockplate_core::plate::Jurisdiction;

use crate::jurisdiction::{TwoLetters, named};

/// A way to write states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateTable {
    /// ISO 3166-2, with its country (`US-CT`, `us-mo`) or, for the United States and Canada, without (`CT`, `QC`).
    Iso,
    /// Field LIS of NCIC ([`NCIC_STATES`]).
    Ncic,
    /// Lower case and underscores: `new_york`, `washington_dc`.
    Snake,
    /// The English name in full.
    Name,
}

/// Field LIS (License Plate State) of NCIC where it differs from the postal codes of the United States, and where such a code means
/// something else. Source: the FBI's code list as NIEM 2 publishes it (`fbi:LISCodeSimpleType`, with a meaning for each code). Left
/// out are tribes, territories without plates here and all other countries; Nunavut has no code in that list.
///
/// Traps: `NE` is the Netherlands, `SK` the Seminole Nation, `NL` Nuevo Leon, `GU` Guanajuato, `AS` Australia, `MP` Madagascar.
pub const NCIC_STATES: &[(&str, &str)] = &[
    ("NB", "US-NE"),
    ("AM", "US-AS"),
    ("GM", "US-GU"),
    ("MK", "US-MP"),
    ("AB", "CA-AB"),
    ("BC", "CA-BC"),
    ("MB", "CA-MB"),
    ("NK", "CA-NB"),
    ("NF", "CA-NL"),
    ("NS", "CA-NS"),
    ("NT", "CA-NT"),
    ("ON", "CA-ON"),
    ("PE", "CA-PE"),
    ("PQ", "CA-QC"),
    ("SN", "CA-SK"),
    ("YT", "CA-YT"),
    ("AG", "MX-AGU"),
    ("BA", "MX-BCN"),
    ("BJ", "MX-BCS"),
    ("CE", "MX-CAM"),
    ("CH", "MX-CHH"),
    ("CI", "MX-CHP"),
    ("CL", "MX-COL"),
    ("CU", "MX-COA"),
    ("DF", "MX-CMX"),
    ("DO", "MX-DUR"),
    ("GR", "MX-GRO"),
    ("GU", "MX-GUA"),
    ("HL", "MX-HID"),
    ("JL", "MX-JAL"),
    ("MC", "MX-MIC"),
    ("MR", "MX-MOR"),
    ("MX", "MX-MEX"),
    ("NA", "MX-NAY"),
    ("NL", "MX-NLE"),
    ("OA", "MX-OAX"),
    ("PB", "MX-PUE"),
    ("QR", "MX-ROO"),
    ("QU", "MX-QUE"),
    ("SI", "MX-SIN"),
    ("SL", "MX-SLP"),
    ("SO", "MX-SON"),
    ("TA", "MX-TAM"),
    ("TB", "MX-TAB"),
    ("TL", "MX-TLA"),
    ("VC", "MX-VER"),
    ("YU", "MX-YUC"),
    ("ZA", "MX-ZAC"),
];

/// States whose code in NCIC is the postal one: all but Nebraska, with the District of Columbia, Puerto Rico and the Virgin Islands.
const NCIC_AS_POSTAL: &str = "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NV NH NJ NM NY NC ND OH \
    OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR VI";

impl StateTable {
    /// From its name in a template.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "iso" => Some(Self::Iso),
            "ncic" => Some(Self::Ncic),
            "snake" => Some(Self::Snake),
            "name" => Some(Self::Name),
            _ => None,
        }
    }

    /// Who `text` says issued the plate; none if this table does not say.
    #[must_use]
    pub fn state(self, text: &str) -> Option<Jurisdiction> {
        match self {
            Self::Iso if text.len() == 2 || text.contains('-') => named(text, TwoLetters::Subdivision),
            Self::Iso => None,
            Self::Ncic => ncic(&text.to_ascii_uppercase()),
            Self::Snake if text.len() > 3 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => {
                named(text, TwoLetters::Subdivision)
            }
            Self::Name if text.len() > 3 && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b' ') => {
                named(text, TwoLetters::Subdivision)
            }
            Self::Snake | Self::Name => None,
        }
    }
}

fn ncic(code: &str) -> Option<Jurisdiction> {
    if let Some((_, iso)) = NCIC_STATES.iter().find(|(own, _)| *own == code) {
        return Jurisdiction::parse(iso);
    }
    let postal = NCIC_AS_POSTAL.split_ascii_whitespace().any(|known| known == code);
    if postal { Jurisdiction::parse(&format!("US-{code}")) } else { None }
}
