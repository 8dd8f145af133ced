//! The closed vocabularies of requests and rules: purposes, bases, states, levels. Numbers are those of the wire
//! (LPv1 section 8, `law.md` section 3), names those of the policy schema. An unknown number or name is malformed.

macro_rules! vocabulary {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident = $code:literal $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $(
            #[doc = $text]
            $variant,
        )* }

        impl $name {
            /// Every member, in order of code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Number on the wire.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(Self::$variant => $code,)* }
            }

            /// Name in the policy schema, in leaves and on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// From the number on the wire.
            #[must_use]
            pub const fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// From the name, exact case.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|member| member.name() == name)
            }
        }
    )*};
}

vocabulary! {
    /// What a request is for.
    Purpose {
        CrimeInvestigation = 1 "crimeInvestigation",
        WantedPerson = 2 "wantedPerson",
        MissingPerson = 3 "missingPerson",
        AmberAlert = 4 "amberAlert",
        StolenVehicle = 5 "stolenVehicle",
        StolenPlate = 6 "stolenPlate",
        HumanTrafficking = 7 "humanTrafficking",
        CourtProceeding = 8 "courtProceeding",
        OwnRecord = 9 "ownRecord",
        TollOrParking = 10 "tollOrParking",
        CivilImmigration = 11 "civilImmigration",
        ProtectedHealth = 12 "protectedHealth",
        ProtectedSpeech = 13 "protectedSpeech",
        ProtectedTrait = 14 "protectedTrait",
    }
    /// The legal basis stated in a request.
    Basis {
        None = 0 "none",
        ReasonableSuspicion = 1 "reasonableSuspicion",
        CourtOrder = 2 "courtOrder",
        SearchWarrant = 3 "searchWarrant",
        Exigency = 4 "exigency",
        AdministrativeWarrant = 5 "administrativeWarrant",
        AdministrativeSubpoena = 6 "administrativeSubpoena",
        Detainer = 7 "detainer",
        Consent = 8 "consent",
        StatutoryDuty = 9 "statutoryDuty",
    }
    /// How a court paper was verified.
    Assurance {
        None = 0 "none",
        CustodianAttested = 1 "custodianAttested",
        CourtKey = 2 "courtKey",
    }
    /// Class of the offence stated.
    Offence {
        None = 0 "none",
        Felony = 1 "felony",
        GrossMisdemeanor = 2 "grossMisdemeanor",
        Misdemeanor = 3 "misdemeanor",
        Infraction = 4 "infraction",
    }
    /// Level of an agency.
    Level {
        Local = 1 "local",
        County = 2 "county",
        State = 3 "state",
        Tribal = 4 "tribal",
        Federal = 5 "federal",
        Private = 6 "private",
        Foreign = 7 "foreign",
    }
    /// Role of a person in the agency directory that a rule may ask for.
    Role {
        Supervisor = 1 "supervisor",
        Custodian = 2 "custodian",
        Prosecutor = 3 "prosecutor",
        StateCustodian = 4 "stateCustodian",
    }
    /// Kind of an archive.
    ArchiveKind {
        Police = 1 "police",
        Toll = 2 "toll",
        Parking = 3 "parking",
    }
    /// A statutory declaration that an agency of another state files.
    DeclarationName {
        Ct2614 = 1 "CT-26-14",
        Il2130c = 2 "IL-2-130-c",
        Nj20264 = 3 "NJ-2026-4",
        Nm202620 = 4 "NM-2026-20",
    }
    /// What the policy is asked about.
    Action {
        Search = 1 "search",
        HoldEvidence = 2 "holdEvidence",
        OwnerAccess = 3 "ownerAccess",
    }
}

/// Two-letter code of a state or territory of the United States; `US` every federal agency, `XX` everything foreign.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State([u8; 2]);

impl State {
    /// The closed list, in the order of the policy schema.
    pub const ALL: [&'static str; 58] = [
        "AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DE", "DC", "FL", "GA", "HI", "ID", "IL", "IN", "IA", "KS", "KY",
        "LA", "ME", "MD", "MA", "MI", "MN", "MS", "MO", "MT", "NE", "NV", "NH", "NJ", "NM", "NY", "NC", "ND", "OH",
        "OK", "OR", "PA", "RI", "SC", "SD", "TN", "TX", "UT", "VT", "VA", "WA", "WV", "WI", "WY", "AS", "GU", "MP",
        "PR", "VI", "US", "XX",
    ];

    /// From its code, exact case; `None` outside the closed list.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.contains(&code).then_some(())?;
        code.as_bytes().try_into().ok().map(Self)
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &str {
        // INVARIANT: only `parse` makes one, from ASCII.
        core::str::from_utf8(&self.0).unwrap_or("XX")
    }
}

impl core::fmt::Debug for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.code())
    }
}
