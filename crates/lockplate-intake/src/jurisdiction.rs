//! Names of who issued a plate (`intake.md` section 2). A wrongly named state hides a read from the right search, so what
//! is not certain is not named: countries whose states issue plates, federal, tribal and diplomatic plates, numbers.

use lockplate_core::plate::Jurisdiction;

/// How two bare letters are read: `DE` is Delaware to some engines and Germany to others, never both in one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TwoLetters {
    /// A country (ISO 3166-1 alpha-2).
    Country,
    /// A state of the US or a province of Canada; their codes do not collide.
    Subdivision,
}

/// Countries where a subdivision issues plates, with its codes.
const SUBDIVIDED: &[(&str, &str)] = &[
    (
        "US",
        "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR \
         PA RI SC SD TN TX UT VT VA WA WV WI WY DC AS GU MP PR VI",
    ),
    ("CA", "AB BC MB NB NL NS NT NU ON PE QC SK YT"),
    (
        "MX",
        "AGU BCN BCS CAM CMX CHP CHH COA COL DUR GUA GRO HID JAL MEX MIC MOR NAY NLE OAX PUE QUE ROO SLP SIN SON TAB TAM \
         TLA VER YUC ZAC",
    ),
    ("AU", "ACT NSW NT QLD SA TAS VIC WA"),
    ("AE", "AJ AZ DU FU RK SH UQ"),
];

/// Snake names of states, provinces and DC.
const NAMES: &[(&str, &str)] = &[
    ("alabama", "US-AL"),
    ("alaska", "US-AK"),
    ("arizona", "US-AZ"),
    ("arkansas", "US-AR"),
    ("california", "US-CA"),
    ("colorado", "US-CO"),
    ("connecticut", "US-CT"),
    ("delaware", "US-DE"),
    ("florida", "US-FL"),
    ("georgia", "US-GA"),
    ("hawaii", "US-HI"),
    ("idaho", "US-ID"),
    ("illinois", "US-IL"),
    ("indiana", "US-IN"),
    ("iowa", "US-IA"),
    ("kansas", "US-KS"),
    ("kentucky", "US-KY"),
    ("louisiana", "US-LA"),
    ("maine", "US-ME"),
    ("maryland", "US-MD"),
    ("massachusetts", "US-MA"),
    ("michigan", "US-MI"),
    ("minnesota", "US-MN"),
    ("mississippi", "US-MS"),
    ("missouri", "US-MO"),
    ("montana", "US-MT"),
    ("nebraska", "US-NE"),
    ("nevada", "US-NV"),
    ("new_hampshire", "US-NH"),
    ("new_jersey", "US-NJ"),
    ("new_mexico", "US-NM"),
    ("new_york", "US-NY"),
    ("north_carolina", "US-NC"),
    ("north_dakota", "US-ND"),
    ("ohio", "US-OH"),
    ("oklahoma", "US-OK"),
    ("oregon", "US-OR"),
    ("pennsylvania", "US-PA"),
    ("rhode_island", "US-RI"),
    ("south_carolina", "US-SC"),
    ("south_dakota", "US-SD"),
    ("tennessee", "US-TN"),
    ("texas", "US-TX"),
    ("utah", "US-UT"),
    ("vermont", "US-VT"),
    ("virginia", "US-VA"),
    ("washington", "US-WA"),
    ("west_virginia", "US-WV"),
    ("wisconsin", "US-WI"),
    ("wyoming", "US-WY"),
    ("washington_dc", "US-DC"),
    ("district_of_columbia", "US-DC"),
    ("puerto_rico", "US-PR"),
    ("guam", "US-GU"),
    ("alberta", "CA-AB"),
    ("british_columbia", "CA-BC"),
    ("manitoba", "CA-MB"),
    ("new_brunswick", "CA-NB"),
    ("newfoundland_and_labrador", "CA-NL"),
    ("nova_scotia", "CA-NS"),
    ("northwest_territories", "CA-NT"),
    ("nunavut", "CA-NU"),
    ("ontario", "CA-ON"),
    ("prince_edward_island", "CA-PE"),
    ("quebec", "CA-QC"),
    ("saskatchewan", "CA-SK"),
    ("yukon", "CA-YT"),
];

/// ISO 3166-1, alpha-3 and alpha-2 joined.
const COUNTRIES: &str = "ABWAW AFGAF AGOAO AIAAI ALAAX ALBAL ANDAD AREAE ARGAR ARMAM ASMAS ATAAQ ATFTF ATGAG AUSAU AUTAT \
    AZEAZ BDIBI BELBE BENBJ BESBQ BFABF BGDBD BGRBG BHRBH BHSBS BIHBA BLMBL BLRBY BLZBZ BMUBM BOLBO BRABR BRBBB BRNBN \
    BTNBT BVTBV BWABW CAFCF CANCA CCKCC CHECH CHLCL CHNCN CIVCI CMRCM CODCD COGCG COKCK COLCO COMKM CPVCV CRICR CUBCU \
    CUWCW CXRCX CYMKY CYPCY CZECZ DEUDE DJIDJ DMADM DNKDK DOMDO DZADZ ECUEC EGYEG ERIER ESHEH ESPES ESTEE ETHET FINFI \
    FJIFJ FLKFK FRAFR FROFO FSMFM GABGA GBRGB GEOGE GGYGG GHAGH GIBGI GINGN GLPGP GMBGM GNBGW GNQGQ GRCGR GRDGD GRLGL \
    GTMGT GUFGF GUMGU GUYGY HKGHK HMDHM HNDHN HRVHR HTIHT HUNHU IDNID IMNIM INDIN IOTIO IRLIE IRNIR IRQIQ ISLIS ISRIL \
    ITAIT JAMJM JEYJE JORJO JPNJP KAZKZ KENKE KGZKG KHMKH KIRKI KNAKN KORKR KWTKW LAOLA LBNLB LBRLR LBYLY LCALC LIELI \
    LKALK LSOLS LTULT LUXLU LVALV MACMO MAFMF MARMA MCOMC MDAMD MDGMG MDVMV MEXMX MHLMH MKDMK MLIML MLTMT MMRMM MNEME \
    MNGMN MNPMP MOZMZ MRTMR MSRMS MTQMQ MUSMU MWIMW MYSMY MYTYT NAMNA NCLNC NERNE NFKNF NGANG NICNI NIUNU NLDNL NORNO \
    NPLNP NRUNR NZLNZ OMNOM PAKPK PANPA PCNPN PERPE PHLPH PLWPW PNGPG POLPL PRIPR PRKKP PRTPT PRYPY PSEPS PYFPF QATQA \
    REURE ROURO RUSRU RWARW SAUSA SDNSD SENSN SGPSG SGSGS SHNSH SJMSJ SLBSB SLESL SLVSV SMRSM SOMSO SPMPM SRBRS SSDSS \
    STPST SURSR SVKSK SVNSI SWESE SWZSZ SXMSX SYCSC SYRSY TCATC TCDTD TGOTG THATH TJKTJ TKLTK TKMTM TLSTL TONTO TTOTT \
    TUNTN TURTR TUVTV TWNTW TZATZ UGAUG UKRUA UMIUM URYUY USAUS UZBUZ VATVA VCTVC VENVE VGBVG VIRVI VNMVN VUTVU WLFWF \
    WSMWS YEMYE ZAFZA ZMBZM ZWEZW";

/// The jurisdiction that `word` names, if it names one.
#[must_use]
pub fn named(word: &str, two_letters: TwoLetters) -> Option<Jurisdiction> {
    let word = word.trim();
    if word.len() > 32 || !word.is_ascii() {
        return None;
    }
    let upper = word.to_ascii_uppercase().replace('_', "-");
    if let Some((country, sub)) = upper.split_once('-').filter(|(country, _)| country.len() == 2) {
        return match country {
            "EU" => country_code(sub),
            _ => subdivision(country, sub),
        };
    }
    match upper.len() {
        2 if two_letters == TwoLetters::Subdivision => subdivision("US", &upper).or_else(|| subdivision("CA", &upper)),
        2 => country_code(&upper),
        3 => {
            let known = COUNTRIES.split_ascii_whitespace().find_map(|row| row.strip_prefix(upper.as_str()))?;
            country_code(known)
        }
        _ => {
            let snake = word.to_ascii_lowercase().replace([' ', '-'], "_");
            let code = NAMES.iter().find(|(name, _)| *name == snake)?.1;
            Jurisdiction::parse(code)
        }
    }
}

/// Why a word that a person wrote is no code of who issued a plate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCode {
    /// Two letters of a state or province without its country, which are a country's as well or could be.
    Bare,
    /// No such code.
    Unknown,
}

impl NoCode {
    /// What to write instead, a sentence.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Bare => {
                "two letters of a state or province alone could be a country's; write US-CT or CA-ON, and for a country of \
                 these letters its three: DEU"
            }
            Self::Unknown => {
                "no such code of a state or country; write it like US-CT or CA-ON, or a country as PL or POL"
            }
        }
    }
}

/// The jurisdiction whose code a person wrote down, for a search or a court's order. No engine says how two letters are meant, and a
/// wrong guess would make "no match" of a read that is there: so they name a country only where they cannot be a state's.
///
/// # Errors
/// [`NoCode`].
pub fn written(code: &str) -> Result<Jurisdiction, NoCode> {
    let code = code.trim();
    // Engines' names of states are no codes.
    let is_code = code.len() <= 3 || code.as_bytes().get(2) == Some(&b'-');
    if code.len() == 2 && named(code, TwoLetters::Subdivision).is_some() {
        return Err(NoCode::Bare);
    }
    named(code, TwoLetters::Country).filter(|_| is_code).ok_or(NoCode::Unknown)
}

/// A country as a jurisdiction: none where a subdivision is needed.
fn country_code(alpha2: &str) -> Option<Jurisdiction> {
    let known = COUNTRIES.split_ascii_whitespace().any(|row| row.get(3..) == Some(alpha2));
    let subdivided = SUBDIVIDED.iter().any(|(country, _)| *country == alpha2);
    if known && !subdivided { Jurisdiction::parse(alpha2) } else { None }
}

fn subdivision(country: &str, sub: &str) -> Option<Jurisdiction> {
    let (_, subs) = SUBDIVIDED.iter().find(|(code, _)| *code == country)?;
    let known = subs.split_ascii_whitespace().any(|code| code == sub);
    if known { Jurisdiction::parse(&format!("{country}-{sub}")) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_jurisdictions() {
        use TwoLetters::{Country, Subdivision};
        for (word, two, want) in [
            ("us-mo", Country, Some("US-MO")),
            ("US-CT", Country, Some("US-CT")),
            ("ca-qc", Country, Some("CA-QC")),
            ("au-nsw", Country, Some("AU-NSW")),
            ("mx-cmx", Country, Some("MX-CMX")),
            ("POL", Country, Some("PL")),
            ("LVA", Country, Some("LV")),
            ("deu", Subdivision, Some("DE")),
            ("DE", Subdivision, Some("US-DE")),
            ("de", Country, Some("DE")),
            ("mo", Subdivision, Some("US-MO")),
            ("qc", Subdivision, Some("CA-QC")),
            ("gb", Country, Some("GB")),
            ("new_york", Country, Some("US-NY")),
            ("washington_dc", Country, Some("US-DC")),
            ("eu-pl", Country, Some("PL")),
            ("us", Country, None),
            ("USA", Country, None),
            ("us", Subdivision, None),
            ("CA", Country, None),
            ("us-government", Country, None),
            ("us-xx", Country, None),
            ("pl-mz", Country, None),
            ("xx", Country, None),
            ("NON", Country, None),
            ("840", Country, None),
            ("84", Subdivision, None),
            ("", Country, None),
            ("-", Country, None),
            ("é", Country, None),
        ] {
            assert_eq!(named(word, two).as_ref().map(Jurisdiction::code), want, "{word}");
        }
    }

    #[test]
    fn what_a_person_writes_is_a_code_that_exists_and_means_one_thing() {
        for (code, want) in [
            ("US-CT", Ok("US-CT")),
            ("us-ct", Ok("US-CT")),
            ("CA-QC", Ok("CA-QC")),
            ("MX-CMX", Ok("MX-CMX")),
            ("PL", Ok("PL")),
            ("POL", Ok("PL")),
            ("DEU", Ok("DE")),
            ("CT", Err(NoCode::Bare)),
            ("ct", Err(NoCode::Bare)),
            ("DE", Err(NoCode::Bare)),
            ("CA", Err(NoCode::Bare)),
            ("NL", Err(NoCode::Bare)),
            ("US-ZZ", Err(NoCode::Unknown)),
            ("ZZ", Err(NoCode::Unknown)),
            ("US", Err(NoCode::Unknown)),
            ("USA", Err(NoCode::Unknown)),
            ("connecticut", Err(NoCode::Unknown)),
            ("ohio", Err(NoCode::Unknown)),
            ("", Err(NoCode::Unknown)),
            ("\u{e9}", Err(NoCode::Unknown)),
        ] {
            assert_eq!(written(code).as_ref().map(Jurisdiction::code), want.as_ref().copied(), "{code}");
        }
        for (country, subs) in SUBDIVIDED.iter().take(2) {
            for sub in subs.split_ascii_whitespace() {
                assert_eq!(written(sub), Err(NoCode::Bare), "{sub}");
                assert!(written(&format!("{country}-{sub}")).is_ok(), "{country}-{sub}");
            }
        }
    }

    #[test]
    fn lists_are_complete_and_codes_of_us_and_ca_do_not_collide() {
        assert_eq!(COUNTRIES.split_ascii_whitespace().count(), 249);
        assert!(COUNTRIES.split_ascii_whitespace().all(|row| row.len() == 5));
        let subs = |at: usize| SUBDIVIDED[at].1.split_ascii_whitespace().collect::<Vec<_>>();
        assert_eq!((subs(0).len(), subs(1).len(), subs(2).len()), (56, 13, 32));
        assert!(subs(0).iter().all(|code| !subs(1).contains(code)));
        assert!(NAMES.iter().all(|(name, code)| named(name, TwoLetters::Country).unwrap().code() == *code));
    }
}
