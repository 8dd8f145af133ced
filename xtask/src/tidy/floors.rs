//! Floors: a crate imports only from a lower floor, and what starts threads, sockets or clocks stays upstairs.
//!
//! The table below is the one of ARCHITECTURE.md. A new crate must be entered here, which is the point: somebody decides.

use super::{Finding, Member, Tree};

/// Each crate and its floor. `xtask` stands beside the shell: it may use the pure crates and never the node.
const FLOORS: &[(&str, u8)] = &[
    ("lockplate-oprf", 0),
    ("lockplate-log", 0),
    ("lockplate-core", 1),
    ("lockplate-intake", 2),
    ("lockplate-policy", 2),
    ("lockplate-store", 2),
    ("lockplate-audit", 2),
    ("lockplate-node", 3),
    ("lockplate-prove", 3),
    ("xtask", 3),
    ("lockplate", 4),
];

/// The highest floor that is pure.
const PURE_MAX: u8 = 2;

/// Runtimes, sockets and catch-all errors: never on F0-F2.
const UPSTAIRS_ONLY: &[&str] =
    &["tokio", "tokio-util", "tokio-rustls", "axum", "hyper", "hyper-util", "rustls", "reqwest", "anyhow", "rusqlite"];

/// Formats are written by hand on the lowest floor, so that no derive can change what is signed.
const NOT_ON_THE_GROUND: &[&str] = &["serde", "serde_derive", "serde_json"];

/// The crates that may return an error nobody can branch on.
const MAY_USE_ANYHOW: &[&str] = &["lockplate", "xtask"];

/// The one pure crate that may speak to object stores. Its closure then holds a runtime that it never starts.
const MAY_USE_OBJECT_STORE: &str = "lockplate-store";

/// Starts a solver, which no keeper, agency or search may wait for; so the binary's `policy` verb alone calls it.
const PROVER: &str = "lockplate-prove";
/// Its library, which nobody else imports.
const PROVER_LIBRARY: &str = "cedar-policy-symcc";
/// Its name in a source; put together here, or this file would be a finding.
const PROVER_IN_SOURCES: &str = concat!("lockplate_", "prove");
/// Where its name may stand: the verb's files, and its own.
const MAY_PROVE: &[&str] =
    &["crates/lockplate/src/policy.rs", "crates/lockplate/src/policy/", "crates/lockplate-prove/"];

pub(super) fn floor(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &tree.members {
        match floor(&member.name) {
            Some(own) => {
                imports_go_down(member, own, &mut findings);
                libraries_stay_upstairs(member, own, &mut findings);
            }
            None => findings
                .push(Finding::new(place(member), "this crate has no floor; decide and enter it in tidy/floors.rs")),
        }
    }
    findings.extend(only_a_verb_proves(tree));
    findings
}

fn only_a_verb_proves(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &tree.members {
        if member.imports.contains(PROVER_LIBRARY) && member.name != PROVER {
            findings.push(Finding::new(place(member), format!("`{PROVER_LIBRARY}` belongs to {PROVER}")));
        }
    }
    for (path, text) in tree.files.iter().filter(|(path, _)| path.ends_with(".rs")) {
        if text.contains(PROVER_IN_SOURCES) && !MAY_PROVE.iter().any(|place| path.starts_with(place)) {
            findings.push(Finding::new(path, format!("calls {PROVER}; only `lockplate policy` does")));
        }
    }
    findings
}

fn place(member: &Member) -> String {
    format!("{}/Cargo.toml", member.folder)
}

fn imports_go_down(member: &Member, own: u8, findings: &mut Vec<Finding>) {
    for import in member.imports.union(&member.dev_imports) {
        if let Some(other) = floor(import)
            && other >= own
        {
            let what =
                format!("F{own} imports `{import}` of F{other}; only a lower floor may be imported, siblings never");
            findings.push(Finding::new(place(member), what));
        }
    }
}

fn libraries_stay_upstairs(member: &Member, own: u8, findings: &mut Vec<Finding>) {
    let mut complain = |what: String| findings.push(Finding::new(place(member), what));
    let speaks_to_stores = member.name == MAY_USE_OBJECT_STORE;
    for import in &member.imports {
        let import = import.as_str();
        if import == "anyhow" && !MAY_USE_ANYHOW.contains(&member.name.as_str()) {
            complain("`anyhow` belongs to the binary and xtask; callers elsewhere branch on kinds".to_owned());
        } else if own <= PURE_MAX && UPSTAIRS_ONLY.contains(&import) {
            complain(format!("`{import}` belongs to F3 and above"));
        }
        if own <= PURE_MAX && import == "object_store" && !speaks_to_stores {
            complain(format!("`object_store` belongs to {MAY_USE_OBJECT_STORE}"));
        }
    }
    for linked in &member.closure {
        let linked = linked.as_str();
        let direct = member.imports.contains(linked);
        if own <= PURE_MAX && !direct && !speaks_to_stores && UPSTAIRS_ONLY.contains(&linked) {
            complain(format!(
                "`{linked}` is linked in by way of another library; find it with `cargo tree -i {linked}`"
            ));
        }
        if own == 0 && !direct && NOT_ON_THE_GROUND.contains(&linked) {
            complain(format!("`{linked}` is linked in by way of another library; F0 knows no serde"));
        }
    }
    if own == 0 {
        for import in member.imports.iter().filter(|import| NOT_ON_THE_GROUND.contains(&import.as_str())) {
            complain(format!("`{import}` on F0; formats of signed bytes are written by hand there"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::invented::{lines, member, tree};
    use super::*;

    fn complaints(members: Vec<Member>) -> Vec<String> {
        lines(&check(&tree(members, &[])))
    }

    #[test]
    fn a_street_that_goes_down_is_clean() {
        let members = vec![
            member("lockplate-oprf", &["sha2"]),
            member("lockplate-core", &["lockplate-oprf", "serde_json"]),
            member("lockplate-store", &["lockplate-core", "object_store"]),
            member("lockplate-node", &["lockplate-core", "lockplate-store", "tokio"]),
            member("lockplate", &["lockplate-node", "anyhow"]),
            member("xtask", &["lockplate-core", "anyhow"]),
        ];
        assert_eq!(complaints(members), Vec::<String>::new());
    }

    #[test]
    fn upwards_and_sideways_are_found() {
        let found = complaints(vec![member("lockplate-oprf", &["lockplate-core"])]);
        assert!(found.iter().any(|line| line.contains("F0 imports `lockplate-core` of F1")), "{found:?}");
        let found = complaints(vec![member("lockplate-store", &["lockplate-intake"])]);
        assert!(found.iter().any(|line| line.contains("F2 imports `lockplate-intake` of F2")), "{found:?}");
        let found = complaints(vec![member("lockplate-oprf", &["lockplate-log"])]);
        assert_eq!(found.len(), 1, "{found:?}");
        let found = complaints(vec![member("xtask", &["lockplate-node"])]);
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn a_development_import_goes_down_too() {
        let mut store = member("lockplate-store", &[]);
        store.dev_imports.insert("lockplate-node".to_owned());
        store.dev_imports.insert("tokio".to_owned());
        let found = complaints(vec![store]);
        assert_eq!(found.len(), 1, "tokio is fine in tests, the node is not: {found:?}");
    }

    #[test]
    fn libraries_of_the_shell_are_found_below() {
        for library in UPSTAIRS_ONLY {
            let found = complaints(vec![member("lockplate-intake", &[library])]);
            assert_eq!(found.len(), 1, "{library}: {found:?}");
        }
        assert_eq!(complaints(vec![member("lockplate-node", &["anyhow"])]).len(), 1);
        assert_eq!(complaints(vec![member("lockplate-policy", &["object_store"])]).len(), 1);
        assert_eq!(complaints(vec![member("lockplate-log", &["serde"])]).len(), 1);
    }

    #[test]
    fn libraries_that_come_in_by_the_back_door_are_found() {
        let mut core = member("lockplate-core", &["innocent"]);
        core.closure.extend(["innocent".to_owned(), "tokio".to_owned(), "serde".to_owned()]);
        assert_eq!(complaints(vec![core]).len(), 1, "tokio is found, serde is allowed on F1");
        let mut log = member("lockplate-log", &["innocent"]);
        log.closure.insert("serde".to_owned());
        assert_eq!(complaints(vec![log]).len(), 1);
        let mut store = member("lockplate-store", &["object_store"]);
        store.closure.insert("tokio".to_owned());
        assert_eq!(complaints(vec![store]).len(), 0);
    }

    #[test]
    fn a_proof_outside_its_verb_is_found() {
        let uses = format!("use {PROVER_IN_SOURCES}::Prover;");
        let found = |path: &str| lines(&check(&tree(Vec::new(), &[(path, &uses)])));
        for path in [
            "crates/lockplate/src/policy.rs",
            "crates/lockplate/src/policy/diff.rs",
            "crates/lockplate-prove/tests/it/main.rs",
        ] {
            assert_eq!(found(path), Vec::<String>::new(), "{path}");
        }
        for path in [
            "crates/lockplate/src/keeper.rs",
            "crates/lockplate-node/src/keeper.rs",
            "crates/lockplate/src/policies.rs",
        ] {
            assert_eq!(found(path).len(), 1, "{path}");
        }
        let library = |name| complaints(vec![member(name, &["cedar-policy-symcc"])]);
        assert_eq!((library("lockplate-prove").len(), library("lockplate-node").len()), (0, 1));
    }

    #[test]
    fn a_crate_without_a_floor_is_found() {
        assert_eq!(complaints(vec![member("lockplate-extra", &[])]).len(), 1);
    }
}
