//! `cargo xtask tidy`: the rules of the house that the compiler does not know.
//!
//! It reads the manifests and sources into a [`Tree`] once; every check is a pure function from that tree to findings, so
//! that each is tested on a small invented tree on which it must fail. It changes nothing, save that `--bless` rewrites the
//! list of places that open secrets. Findings go to standard output, the verdict to the exit code.

mod docs;
mod floors;
mod manifests;
mod secrets;
mod texts;
mod verbs;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

/// Files above this size are data (vectors, samples), not text that a person wrote; bytes.
const TEXT_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Folders that hold no source of ours.
const FOLDERS_SKIPPED: &[&str] = &[".git", "target", "corpus", "artifacts", "node_modules", ".venv"];

/// A member of the workspace, as far as the checks care.
#[derive(Debug, Clone, Default)]
struct Member {
    name: String,
    /// Folder relative to the root, with `/`, without a final one.
    folder: String,
    /// Names of normal and build dependencies.
    imports: BTreeSet<String>,
    /// Names of development dependencies.
    dev_imports: BTreeSet<String>,
    /// Names of all that is linked into it, by way of normal dependencies and its own features alone.
    closure: BTreeSet<String>,
}

/// The repository as the checks see it.
#[derive(Debug, Clone, Default)]
struct Tree {
    members: Vec<Member>,
    /// Every text file by path relative to the root.
    files: BTreeMap<String, String>,
}

impl Tree {
    /// The Rust sources below a member's `src`, test files apart.
    fn sources<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = (&'a str, &'a str)> {
        let prefix = format!("{}/src/", member.folder);
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(&prefix) && path.ends_with(".rs") && !is_test_file(path))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

/// Sibling test modules (`tests.rs`, `tests/`) are compiled for tests only.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/")
}

/// One violation: where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    place: String,
    what: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Runs every check on the workspace that the current folder lies in.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let bless = match arguments {
        [] => false,
        [flag] if flag == "--bless" => true,
        _ => bail!("tidy takes no argument but --bless"),
    };
    let root = workspace_root()?;
    let mut tree = read_tree(&root)?;
    if bless {
        let list = secrets::render(&secrets::count(&tree)?);
        std::fs::write(root.join(secrets::LIST), &list).context("the list of secret openings cannot be written")?;
        println!("tidy: wrote {} ({} places); review the difference", secrets::LIST, list.lines().count());
        tree.files.insert(secrets::LIST.to_owned(), list);
    }
    for (path, lines) in texts::long_files(&tree) {
        println!("tidy: note: {path} has {lines} lines; look whether two ideas live there");
    }
    let findings = check(&tree)?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: {} crates, {} files, nothing to mend", tree.members.len(), tree.files.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("tidy: {} findings", findings.len());
    Ok(ExitCode::FAILURE)
}

/// All findings, sorted by place.
fn check(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let mut findings = floors::check(tree);
    findings.extend(verbs::check(tree)?);
    findings.extend(secrets::check(tree)?);
    findings.extend(manifests::check(tree)?);
    findings.extend(texts::check(tree));
    findings.extend(docs::check(tree));
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// The folder of the workspace manifest above the current folder.
pub(crate) fn workspace_root() -> anyhow::Result<PathBuf> {
    Ok(metadata()?.workspace_root.into_std_path_buf())
}

fn metadata() -> anyhow::Result<cargo_metadata::Metadata> {
    cargo_metadata::MetadataCommand::new().no_deps().exec().context("cargo metadata failed")
}

fn read_tree(root: &Path) -> anyhow::Result<Tree> {
    let metadata = metadata()?;
    let mut members = Vec::new();
    for package in metadata.workspace_packages() {
        let manifest = package.manifest_path.as_std_path();
        let folder = manifest.parent().and_then(|folder| folder.strip_prefix(root).ok()).context("a member outside")?;
        let named = |wanted: &[cargo_metadata::DependencyKind]| -> BTreeSet<String> {
            package.dependencies.iter().filter(|d| wanted.contains(&d.kind)).map(|d| d.name.clone()).collect()
        };
        members.push(Member {
            name: package.name.to_string(),
            folder: folder.to_string_lossy().replace('\\', "/"),
            imports: named(&[cargo_metadata::DependencyKind::Normal, cargo_metadata::DependencyKind::Build]),
            dev_imports: named(&[cargo_metadata::DependencyKind::Development]),
            closure: closure(root, &package.name)?,
        });
    }
    let mut files = BTreeMap::new();
    read_folder(root, root, &mut files)?;
    Ok(Tree { members, files })
}

/// What is linked into a member when it is built alone. `cargo metadata` would unify features over the whole workspace and
/// so blame a crate for what only another one switches on.
fn closure(root: &Path, name: &str) -> anyhow::Result<BTreeSet<String>> {
    let output = Command::new("cargo")
        .args(["tree", "--locked", "--package", name, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(root)
        .output()
        .context("cargo tree cannot be started")?;
    if !output.status.success() {
        bail!("cargo tree failed for {name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8(output.stdout).context("cargo tree does not speak UTF-8")?;
    Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

fn read_folder(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() && !FOLDERS_SKIPPED.contains(&name.as_str()) {
            read_folder(root, &entry.path(), files)?;
        }
        if kind.is_file() && entry.metadata()?.len() <= TEXT_BYTES_MAX {
            // Not UTF-8: a picture or another binary, nothing a text rule applies to.
            if let Ok(text) = String::from_utf8(std::fs::read(entry.path())?) {
                let path = entry.path();
                let relative = path.strip_prefix(root).context("a file outside the root")?;
                files.insert(relative.to_string_lossy().replace('\\', "/"), text);
            }
        }
    }
    Ok(())
}

/// Whether an item carries `#[cfg(test)]`, so that it never ships.
fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|argument| argument.is_ident("test"))
    })
}

fn parse(path: &str, text: &str) -> anyhow::Result<syn::File> {
    syn::parse_file(text).with_context(|| format!("{path} is not Rust that syn can read"))
}

/// Builders of invented trees, for the tests of all checks.
#[cfg(test)]
mod invented {
    use super::{Member, Tree};

    /// A member `crates/<name>` with these normal dependencies.
    pub(super) fn member(name: &str, imports: &[&str]) -> Member {
        Member {
            name: name.to_owned(),
            folder: format!("crates/{name}"),
            imports: imports.iter().map(|&import| import.to_owned()).collect(),
            ..Member::default()
        }
    }

    pub(super) fn tree(members: Vec<Member>, files: &[(&str, &str)]) -> Tree {
        let files = files.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())).collect();
        Tree { members, files }
    }

    /// The places and texts of findings as one line each.
    pub(super) fn lines(findings: &[super::Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }
}
