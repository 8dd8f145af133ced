//! Manifests: every crate is under the lints of the workspace, carries the right `clippy.toml`, and has content.
//!
//! Clippy takes the file nearest to a crate and reads no other, so a pure crate needs its own copy of the bans; the copies
//! are one text, and a crate of the shell carries none.

use syn::Item;

use super::floors::floor;
use super::{Finding, Member, Tree, parse};

/// Pure crates: no clock, no randomness, no I/O. The first one's text is the one the others must equal.
const PURE: &[&str] =
    &["lockplate-core", "lockplate-oprf", "lockplate-log", "lockplate-intake", "lockplate-policy", "lockplate-audit"];

/// Crates that read and write files, without clock or randomness of their own.
const DISK: &[&str] = &["lockplate-store"];

pub(super) fn check(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for member in &tree.members {
        lints(tree, member, &mut findings);
        content(tree, member, &mut findings)?;
    }
    copies(tree, PURE, &mut findings);
    copies(tree, DISK, &mut findings);
    for member in tree.members.iter().filter(|member| floor(&member.name).is_some_and(|floor| floor > 2)) {
        let path = format!("{}/clippy.toml", member.folder);
        if tree.files.contains_key(&path) {
            findings.push(Finding::new(
                path,
                "crates above F2 are under the root's clippy.toml; this file would replace it",
            ));
        }
    }
    Ok(findings)
}

fn lints(tree: &Tree, member: &Member, findings: &mut Vec<Finding>) {
    let path = format!("{}/Cargo.toml", member.folder);
    let manifest = tree.files.get(&path).and_then(|text| text.parse::<toml::Table>().ok());
    let inherits = manifest
        .as_ref()
        .and_then(|manifest| manifest.get("lints")?.as_table()?.get("workspace")?.as_bool())
        .unwrap_or(false);
    if !inherits {
        findings.push(Finding::new(path, "needs `[lints]` with `workspace = true`"));
    }
}

fn copies(tree: &Tree, names: &[&str], findings: &mut Vec<Finding>) {
    let mut members = names.iter().filter_map(|name| tree.members.iter().find(|member| member.name == *name));
    let Some(first) = members.next() else { return };
    let model_path = format!("{}/clippy.toml", first.folder);
    let Some(model) = tree.files.get(&model_path) else {
        findings.push(Finding::new(model_path, "is missing; without it the crate falls under the root's looser bans"));
        return;
    };
    for member in members {
        let path = format!("{}/clippy.toml", member.folder);
        match tree.files.get(&path) {
            None => {
                findings.push(Finding::new(path, "is missing; without it the crate falls under the root's looser bans"))
            }
            Some(text) if text != model => {
                findings.push(Finding::new(path, format!("differs from {model_path}; they are copies of one text")))
            }
            Some(_) => {}
        }
    }
}

/// A crate appears when it has content: at least one item that is neither an empty function nor a bare `mod` line.
fn content(tree: &Tree, member: &Member, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    for (path, text) in tree.sources(member) {
        let has_content = parse(path, text)?.items.iter().any(|item| {
            if let Item::Fn(function) = item {
                return !function.block.stmts.is_empty();
            }
            if let Item::Mod(module) = item {
                return module.content.as_ref().is_some_and(|(_, items)| !items.is_empty());
            }
            true
        });
        if has_content {
            return Ok(());
        }
    }
    findings.push(Finding::new(&member.folder, "this crate stands empty; a crate appears when it has content"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::invented::{lines, member, tree};
    use super::*;

    const LINTED: &str = "[lints]\nworkspace = true\n";

    #[test]
    fn a_linted_crate_with_content_is_clean() {
        let files = [
            ("crates/lockplate-core/Cargo.toml", LINTED),
            ("crates/lockplate-core/clippy.toml", "a = 1"),
            ("crates/lockplate-core/src/lib.rs", "pub struct Plate;"),
            ("crates/lockplate-log/Cargo.toml", LINTED),
            ("crates/lockplate-log/clippy.toml", "a = 1"),
            ("crates/lockplate-log/src/lib.rs", "pub mod note;"),
            ("crates/lockplate-log/src/note.rs", "pub fn parse() { work() }"),
        ];
        let tree = tree(vec![member("lockplate-core", &[]), member("lockplate-log", &[])], &files);
        assert_eq!(check(&tree).unwrap(), Vec::new());
    }

    #[test]
    fn missing_lints_are_found() {
        for manifest in ["", "[lints]\nworkspace = false\n", "[lints.rust]\nunsafe_code = \"allow\"\n", "not toml ["] {
            let files =
                [("crates/lockplate-node/Cargo.toml", manifest), ("crates/lockplate-node/src/lib.rs", "struct A;")];
            let found = lines(&check(&tree(vec![member("lockplate-node", &[])], &files)).unwrap());
            assert_eq!(
                found,
                ["crates/lockplate-node/Cargo.toml: needs `[lints]` with `workspace = true`"],
                "{manifest:?}"
            );
        }
    }

    #[test]
    fn bans_that_differ_lack_or_overrule_are_found() {
        let base = [
            ("crates/lockplate-core/Cargo.toml", LINTED),
            ("crates/lockplate-core/src/lib.rs", "struct A;"),
            ("crates/lockplate-oprf/Cargo.toml", LINTED),
            ("crates/lockplate-oprf/src/lib.rs", "struct A;"),
        ];
        let members = || vec![member("lockplate-core", &[]), member("lockplate-oprf", &[])];
        let with = |extra: &[(&str, &str)]| {
            let files: Vec<_> = base.iter().chain(extra).copied().collect();
            lines(&check(&tree(members(), &files)).unwrap())
        };
        let core = ("crates/lockplate-core/clippy.toml", "a = 1");
        assert_eq!(with(&[core, ("crates/lockplate-oprf/clippy.toml", "a = 1")]), Vec::<String>::new());
        assert_eq!(with(&[core, ("crates/lockplate-oprf/clippy.toml", "a = 2")]).len(), 1);
        assert_eq!(with(&[core]).len(), 1);
        assert_eq!(with(&[]).len(), 1);
        let node = [
            ("crates/lockplate-node/Cargo.toml", LINTED),
            ("crates/lockplate-node/src/lib.rs", "struct A;"),
            ("crates/lockplate-node/clippy.toml", ""),
        ];
        assert_eq!(check(&tree(vec![member("lockplate-node", &[])], &node)).unwrap().len(), 1);
    }

    #[test]
    fn empty_crates_are_found() {
        for source in ["", "//! words only", "fn main() {}", "mod gone;"] {
            let files = [("crates/lockplate/Cargo.toml", LINTED), ("crates/lockplate/src/main.rs", source)];
            let found = check(&tree(vec![member("lockplate", &[])], &files)).unwrap();
            assert_eq!(found.len(), 1, "{source:?}");
        }
    }
}
