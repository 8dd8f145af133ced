//! An evidence package as somebody checks it who was not there, without the network: the receipts under the charter's trust, then what core
//! asks of the rest. The page for people is made from the package alone, so that a page that says anything else is noticed.

mod page;

use core::fmt;

use lockplate_core::charter::CharterFile;
use lockplate_core::facts::AccessPolicy;
use lockplate_core::package::{Checked, Package, PackageFault, Proven};
use lockplate_policy::{Bundle, CedarPolicy};

use super::receipt::{self, ReceiptFault, Trust};

pub use lockplate_core::package::{PACKAGE_BYTES_MAX, is_package};

/// Name of the package in its folder.
pub const PACKAGE_FILE: &str = "package.json";
/// Name of the page in its folder.
pub const PAGE_FILE: &str = "index.html";

/// Why a package is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageError {
    /// What core asks.
    Package(PackageFault),
    /// A receipt.
    Receipt(ReceiptFault),
    /// The rules in it cannot be read, or are not those that were in force.
    Rules,
    /// The page beside it says something else.
    Page,
    /// Our bug: the page could not be made.
    Internal,
}

impl fmt::Display for PackageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package(fault) => fault.fmt(f),
            Self::Receipt(fault) => fault.fmt(f),
            Self::Rules => f.write_str("the rules in the package are not those under which was decided"),
            Self::Page => f.write_str("the page beside the package says something else than the package"),
            Self::Internal => f.write_str("the page could not be made: internal error, our bug"),
        }
    }
}

impl core::error::Error for PackageError {}

impl From<PackageFault> for PackageError {
    fn from(fault: PackageFault) -> Self {
        Self::Package(fault)
    }
}

/// A rule that took part, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSaid {
    /// Its id.
    pub rule: String,
    /// What it says; none where the rules did not come along.
    pub say: Option<String>,
    /// Its statute.
    pub cite: Option<String>,
}

/// A package that holds.
#[derive(Debug)]
pub struct CheckedPackage {
    /// The package.
    pub package: Package,
    /// What core found.
    pub checked: Checked,
    /// The charter that it was checked against.
    pub charter: CharterFile,
    /// The rules, in words.
    pub rules: Vec<RuleSaid>,
    /// Names of the watchers who confirmed the registers, each once.
    pub confirmed_by: Vec<String>,
}

/// Checks a package against a charter that the caller has pinned. `now` is in seconds since 1970 and bounds the witnesses' times from above
/// only. Whether the package may still be kept is for the caller: `checked.keep_until`.
///
/// # Errors
/// The first [`PackageError`].
pub fn check(bytes: &[u8], charter: &CharterFile, now: u64) -> Result<CheckedPackage, PackageError> {
    let package = Package::parse(bytes)?;
    let policy = policy(&package)?;
    // Before its receipts: a package of another charter has none of this one's.
    if package.charter.0 != charter.bytes() {
        package.check(charter, &[], None)?;
    }
    let mut proven = Vec::with_capacity(package.receipts.len());
    let mut confirmed_by = std::collections::BTreeSet::new();
    for receipt in &package.receipts {
        let good = receipt::check(&receipt.0, None, Trust::Charter(charter.charter()), now);
        let good = good.map_err(PackageError::Receipt)?;
        let log = good.log.ok_or(PackageError::Receipt(ReceiptFault::UnknownLog))?;
        for cosignature in &good.cosigned.cosignatures {
            let name = cosignature.witness().as_str();
            let witness = charter.charter().witnesses_of(&log).find(|witness| witness.key.name().as_str() == name);
            confirmed_by.extend(witness.map(|witness| format!("{} ({})", witness.name, witness.operator)));
        }
        proven.push(Proven { log, index: good.index, leaf: good.leaf });
    }
    let asked: Option<&dyn AccessPolicy> = policy.as_ref().map(|policy| policy as &dyn AccessPolicy);
    let checked = package.check(charter, &proven, asked)?;
    let say = |rule: &String| {
        let reason = policy.as_ref().and_then(|policy| policy.explain(rule));
        let (say, cite) = reason.map_or((None, None), |reason| (Some(reason.say), reason.cite));
        RuleSaid { rule: rule.clone(), say, cite }
    };
    let rules = checked.rules.iter().map(say).collect();
    let confirmed_by = confirmed_by.into_iter().collect();
    Ok(CheckedPackage { package, checked, charter: charter.clone(), rules, confirmed_by })
}

/// The rules in a package; none where none came along.
fn policy(package: &Package) -> Result<Option<CedarPolicy>, PackageError> {
    if package.rules.is_empty() {
        return Ok(None);
    }
    let file = |file: &lockplate_core::package::RuleFile| {
        Some((file.path.clone(), String::from_utf8(file.text.0.clone()).ok()?))
    };
    let files = package.rules.iter().map(file).collect::<Option<Vec<_>>>().ok_or(PackageError::Rules)?;
    let bundle = Bundle::from_files(files).map_err(|_load| PackageError::Rules)?;
    CedarPolicy::load(&bundle).map(Some).map_err(|_load| PackageError::Rules)
}

impl CheckedPackage {
    /// The page for people. The same package gives the same bytes.
    ///
    /// # Errors
    /// [`PackageError::Internal`].
    pub fn page(&self) -> Result<String, PackageError> {
        page::render(self).map_err(|_template| PackageError::Internal)
    }

    /// Compares the page that lies beside the package, byte for byte.
    ///
    /// # Errors
    /// [`PackageError::Page`] if it is another one; [`PackageError::Internal`].
    pub fn check_page(&self, page: &[u8]) -> Result<(), PackageError> {
        if self.page()?.as_bytes() == page { Ok(()) } else { Err(PackageError::Page) }
    }
}
