//! Verbs: on F0 and F1 the words that matter name one public function each.
//!
//! Whoever reads `open` or `destroy` in the protocol must be sure which one is meant. `evaluate` and `combine` exist once on
//! each of the two floors, because the blind construction and the keeper's act are both called so in their standards.
//! A function made by a macro is not seen; the pure crates make none.

use std::collections::BTreeMap;

use syn::visit::Visit;

use super::floors::floor;
use super::{Finding, Tree, is_test_only, parse};

/// At most one public function of this name on F0 and F1 together.
const ONCE: &[&str] = &["seal", "open", "append", "destroy", "decide"];

/// At most one public function of this name on each of F0 and F1.
const ONCE_A_FLOOR: &[&str] = &["evaluate", "combine"];

pub(super) fn check(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let mut places: BTreeMap<(String, Option<u8>), Vec<String>> = BTreeMap::new();
    for member in &tree.members {
        let Some(own) = floor(&member.name).filter(|floor| *floor <= 1) else { continue };
        for (path, text) in tree.sources(member) {
            let mut names = PublicFunctions::default();
            names.visit_file(&parse(path, text)?);
            for (name, line) in names.found {
                let scope = if ONCE.contains(&name.as_str()) {
                    None
                } else if ONCE_A_FLOOR.contains(&name.as_str()) {
                    Some(own)
                } else {
                    continue;
                };
                places.entry((name, scope)).or_default().push(format!("{path}:{line}"));
            }
        }
    }
    let mut findings = Vec::new();
    for ((name, scope), places) in places {
        if places.len() > 1 {
            let range = scope.map_or("F0 and F1".to_owned(), |floor| format!("F{floor}"));
            let what = format!("`{name}` must name one public function on {range}; it names {}", places.join(", "));
            findings.push(Finding::new(places.first().cloned().unwrap_or_default(), what));
        }
    }
    Ok(findings)
}

/// Collects `pub fn` (free, in an `impl`) and the methods that a public trait declares.
#[derive(Default)]
struct PublicFunctions {
    found: Vec<(String, usize)>,
}

impl PublicFunctions {
    fn note(&mut self, signature: &syn::Signature) {
        self.found.push((signature.ident.to_string(), signature.ident.span().start().line));
    }
}

fn is_public(visibility: &syn::Visibility) -> bool {
    matches!(visibility, syn::Visibility::Public(_))
}

impl<'ast> Visit<'ast> for PublicFunctions {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test_only(&module.attrs) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        // Its body is not searched: what a function declares inside itself is nobody's interface.
        if is_public(&function.vis) && !is_test_only(&function.attrs) {
            self.note(&function.sig);
        }
    }

    fn visit_impl_item_fn(&mut self, method: &'ast syn::ImplItemFn) {
        if is_public(&method.vis) && !is_test_only(&method.attrs) {
            self.note(&method.sig);
        }
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        if is_public(&item.vis) && !is_test_only(&item.attrs) {
            for method in &item.items {
                if let syn::TraitItem::Fn(method) = method {
                    self.note(&method.sig);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::invented::{lines, member, tree};
    use super::*;

    fn complaints(files: &[(&str, &str)]) -> Vec<String> {
        let members = ["lockplate-oprf", "lockplate-log", "lockplate-core", "lockplate-store"];
        lines(&check(&tree(members.iter().map(|name| member(name, &[])).collect(), files)).unwrap())
    }

    #[test]
    fn one_of_each_is_clean() {
        let found = complaints(&[
            ("crates/lockplate-oprf/src/lib.rs", "pub fn evaluate() {} pub fn combine() {}"),
            (
                "crates/lockplate-core/src/lib.rs",
                "pub struct K; impl K { pub fn evaluate(&self) {} pub fn seal(&self) {} }",
            ),
            (
                "crates/lockplate-core/src/open.rs",
                "pub fn combine() {} fn seal() {} pub(crate) fn open() {} pub fn open() {}",
            ),
            ("crates/lockplate-store/src/lib.rs", "pub fn open() {} pub fn append() {}"),
        ]);
        assert_eq!(found, Vec::<String>::new(), "private functions and floor F2 do not count");
    }

    #[test]
    fn a_second_public_function_is_found_with_both_places() {
        let found = complaints(&[
            ("crates/lockplate-log/src/append.rs", "pub struct Log;\nimpl Log { pub fn append(&mut self) {} }"),
            ("crates/lockplate-core/src/segment.rs", "\n\npub fn append() {}"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        let line = found.first().unwrap();
        assert!(line.contains("crates/lockplate-log/src/append.rs:2"), "{line}");
        assert!(line.contains("crates/lockplate-core/src/segment.rs:3"), "{line}");
    }

    #[test]
    fn every_verb_is_watched() {
        for verb in ONCE.iter().chain(ONCE_A_FLOOR) {
            let text = format!("pub fn {verb}() {{}} pub mod again {{ pub fn {verb}() {{}} }}");
            let found = complaints(&[("crates/lockplate-core/src/lib.rs", &text)]);
            assert_eq!(found.len(), 1, "{verb}");
        }
    }

    #[test]
    fn a_method_of_a_public_trait_counts_and_its_implementations_do_not() {
        let text = "pub trait T { fn open(&self); } struct A; impl T for A { fn open(&self) {} }";
        assert_eq!(complaints(&[("crates/lockplate-core/src/lib.rs", text)]), Vec::<String>::new());
        let text = "pub trait T { fn open(&self); } pub fn open() {}";
        assert_eq!(complaints(&[("crates/lockplate-core/src/lib.rs", text)]).len(), 1);
    }

    #[test]
    fn tests_do_not_count() {
        let text = "pub fn open() {} #[cfg(test)] mod tests { pub fn open() {} }";
        assert_eq!(complaints(&[("crates/lockplate-core/src/lib.rs", text)]), Vec::<String>::new());
        let files = [
            ("crates/lockplate-core/src/lib.rs", "pub fn open() {}"),
            ("crates/lockplate-core/src/tests.rs", "pub fn open() {}"),
        ];
        assert_eq!(complaints(&files), Vec::<String>::new());
    }
}
