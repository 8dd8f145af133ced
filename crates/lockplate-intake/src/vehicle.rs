//! Closed code lists of what an engine says about a vehicle. An unknown word is absent; numbers are final: they stand in
//! sealed records. People, occupants and signatures have no list.

use lockplate_core::read::Coded;

/// One entry: number, name, other words for it in the same normal form (lower case, letters and digits only).
type Entry = (u16, &'static str, &'static [&'static str]);

/// Body classes.
pub const CLASSES: &[Entry] = &[
    (1, "car", &["passengercar", "vehicle", "automobile", "smallcar", "minicar", "microcar"]),
    (
        2,
        "sedan",
        &["saloon", "salooncar", "sedanstandard", "sedancompact", "sedansports", "sedanconvertible", "sedanwagon"],
    ),
    (3, "suv", &["suvstandard", "suvcrossover", "suvwagon", "crossover", "suvmpv"]),
    (4, "pickup", &["pickuptruck", "truckstandard", "pickuptruckcrewcab"]),
    (5, "van", &["vanfull", "vanmini", "minivan", "mpv"]),
    (
        6,
        "truck",
        &["bigtruck", "tractortrailer", "lorry", "heavytruck", "lighttruck", "largetruck", "midtruck", "microtruck"],
    ),
    (7, "bus", &["coach", "minibus", "largebus", "mediumbus", "microbus"]),
    (8, "motorcycle", &["motorbike", "scooter"]),
    (9, "trailer", &[]),
    (10, "emergency", &["ambulance", "firetruck"]),
    (11, "hatchback", &[]),
    (12, "estate", &["wagon", "stationwagon"]),
    (13, "coupe", &["convertible"]),
];

/// Makes.
pub const MAKES: &[Entry] = &[
    (1, "acura", &[]),
    (2, "alfa-romeo", &["alfaromeo"]),
    (3, "audi", &[]),
    (4, "bmw", &[]),
    (5, "buick", &[]),
    (6, "cadillac", &[]),
    (7, "chevrolet", &["chevy"]),
    (8, "chrysler", &[]),
    (9, "citroen", &[]),
    (10, "dacia", &[]),
    (11, "dodge", &[]),
    (12, "fiat", &[]),
    (13, "ford", &[]),
    (14, "gmc", &[]),
    (15, "honda", &[]),
    (16, "hyundai", &[]),
    (17, "infiniti", &[]),
    (18, "isuzu", &[]),
    (19, "iveco", &[]),
    (20, "jaguar", &[]),
    (21, "jeep", &[]),
    (22, "kia", &[]),
    (23, "land-rover", &["landrover", "rangerover"]),
    (24, "lexus", &[]),
    (25, "lincoln", &[]),
    (26, "man", &[]),
    (27, "mazda", &[]),
    (28, "mercedes-benz", &["mercedesbenz", "mercedes", "benz"]),
    (29, "mercury", &[]),
    (30, "mini", &[]),
    (31, "mitsubishi", &[]),
    (32, "nissan", &[]),
    (33, "oldsmobile", &[]),
    (34, "opel", &["vauxhall"]),
    (35, "peugeot", &[]),
    (36, "pontiac", &[]),
    (37, "porsche", &[]),
    (38, "ram", &[]),
    (39, "renault", &[]),
    (40, "saab", &[]),
    (41, "saturn", &[]),
    (42, "scania", &[]),
    (43, "scion", &[]),
    (44, "seat", &[]),
    (45, "skoda", &[]),
    (46, "smart", &[]),
    (47, "subaru", &[]),
    (48, "suzuki", &[]),
    (49, "tesla", &[]),
    (50, "toyota", &[]),
    (51, "volkswagen", &["vw"]),
    (52, "volvo", &[]),
    (53, "byd", &[]),
    (54, "geely", &[]),
    (55, "genesis", &[]),
    (56, "rivian", &[]),
    (57, "harley-davidson", &["harleydavidson"]),
    (58, "yamaha", &[]),
    (59, "kawasaki", &[]),
];

/// Colours.
pub const COLOURS: &[Entry] = &[
    (1, "black", &[]),
    (2, "white", &[]),
    (3, "grey", &["gray", "silvergray", "silvergrey", "deepgray", "darkgray"]),
    (4, "silver", &[]),
    (5, "red", &[]),
    (6, "blue", &["darkblue", "lightblue"]),
    (7, "green", &["darkgreen", "lightgreen"]),
    (8, "yellow", &["goldyellow"]),
    (9, "brown", &[]),
    (10, "orange", &[]),
    (11, "gold", &["goldbeige"]),
    (12, "beige", &["tan"]),
    (13, "purple", &["violet"]),
    (14, "pink", &[]),
];

/// The code of `word` in `list`; unknown: absent.
#[must_use]
pub fn code_of(list: &[Entry], word: &str) -> Option<u16> {
    if word.len() > 64 {
        return None;
    }
    let normal: String = word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    list.iter()
        .find(|(_, name, words)| {
            name.bytes().filter(|b| *b != b'-').eq(normal.bytes()) || words.contains(&normal.as_str())
        })
        .map(|entry| entry.0)
}

/// The name of `code` in `list`.
#[must_use]
pub fn name_of(list: &[Entry], code: u16) -> Option<&'static str> {
    list.iter().find(|entry| entry.0 == code).map(|entry| entry.1)
}

pub(crate) fn coded(list: &[Entry], word: Option<&str>, conf: Option<u16>) -> Option<Coded> {
    Some(Coded { code: code_of(list, word?)?, conf })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_word_leads_to_its_code_and_back() {
        for list in [CLASSES, MAKES, COLOURS] {
            for (at, (code, name, words)) in list.iter().enumerate() {
                assert_eq!(usize::from(*code), at + 1, "{name}");
                assert_eq!(code_of(list, name), Some(*code));
                assert_eq!(name_of(list, *code), Some(*name));
                assert!(words.iter().all(|word| code_of(list, word) == Some(*code)), "{name}");
            }
            assert_eq!((code_of(list, "unknown"), code_of(list, ""), name_of(list, 0)), (None, None, None));
        }
        assert_eq!(code_of(CLASSES, "Pickup Truck"), Some(4));
        assert_eq!(code_of(MAKES, "Mercedes-Benz"), Some(28));
        assert_eq!(code_of(COLOURS, "silver-gray"), Some(3));
    }
}
