//! Secrets: each place that opens a secret stands on a list that a person reviews.
//!
//! `expose_secret` is the only way to the bytes of a secret. Its call sites are counted by file and compared with
//! `xtask/expose_secret.txt`; a new one fails until the list is changed in the same commit (`--bless`), where a reviewer sees
//! it. Tokens are counted, not text, so a comment does not matter and a call inside a macro does.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit_mut::VisitMut;

use super::{Finding, Tree, is_test_only, parse};

/// The list, relative to the root: `<count> <path>` a line, sorted by path.
pub(super) const LIST: &str = "xtask/expose_secret.txt";

/// The one method that opens a secret.
const METHOD: &str = "expose_secret";

pub(super) fn check(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let found = count(tree)?;
    let mut findings = Vec::new();
    let mut listed = BTreeMap::new();
    for (index, line) in tree.files.get(LIST).map_or("", String::as_str).lines().enumerate() {
        match line.split_once(' ').and_then(|(count, path)| Some((path.to_owned(), count.parse::<usize>().ok()?))) {
            Some((path, count)) => {
                listed.insert(path, count);
            }
            None => findings.push(Finding::new(format!("{LIST}:{}", index + 1), "a line is `<count> <path>`")),
        }
    }
    for (path, count) in &found {
        let allowed = listed.get(path).copied().unwrap_or(0);
        if allowed != *count {
            let what =
                format!("opens secrets {count} times, {LIST} says {allowed}; review, then `cargo xtask tidy --bless`");
            findings.push(Finding::new(path, what));
        }
    }
    for path in listed.keys().filter(|path| !found.contains_key(*path)) {
        findings.push(Finding::new(LIST, format!("{path} opens no secret any more; `cargo xtask tidy --bless`")));
    }
    Ok(findings)
}

/// Call sites by file; files without one are absent.
pub(super) fn count(tree: &Tree) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut found = BTreeMap::new();
    for member in &tree.members {
        for (path, text) in tree.sources(member) {
            let mut file = parse(path, text)?;
            WithoutTests.visit_file_mut(&mut file);
            let calls = calls(file.to_token_stream());
            if calls > 0 {
                found.insert(path.to_owned(), calls);
            }
        }
    }
    Ok(found)
}

pub(super) fn render(found: &BTreeMap<String, usize>) -> String {
    found.iter().map(|(path, count)| format!("{count} {path}\n")).collect()
}

/// Counts the method's name wherever it does not follow `fn`, that is wherever it is not being defined.
fn calls(tokens: TokenStream) -> usize {
    let mut calls = 0;
    let mut after_fn = false;
    for token in tokens {
        let mut is_fn = false;
        match token {
            TokenTree::Group(group) => calls += self::calls(group.stream()),
            TokenTree::Ident(ident) => {
                is_fn = ident == "fn";
                if ident == METHOD && !after_fn {
                    calls += 1;
                }
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        after_fn = is_fn;
    }
    calls
}

/// Takes `#[cfg(test)]` modules and functions out: what they open never ships.
struct WithoutTests;

impl VisitMut for WithoutTests {
    fn visit_file_mut(&mut self, file: &mut syn::File) {
        file.items.retain(|item| !is_test_item(item));
        syn::visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut syn::ItemMod) {
        if let Some((_, items)) = &mut module.content {
            items.retain(|item| !is_test_item(item));
        }
        syn::visit_mut::visit_item_mod_mut(self, module);
    }
}

fn is_test_item(item: &syn::Item) -> bool {
    if let syn::Item::Mod(module) = item {
        return is_test_only(&module.attrs);
    }
    if let syn::Item::Fn(function) = item {
        return is_test_only(&function.attrs);
    }
    if let syn::Item::Impl(block) = item {
        return is_test_only(&block.attrs);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::invented::{lines, member, tree};
    use super::*;

    const SOURCE: &str = "crates/lockplate-core/src/seal.rs";

    fn complaints(source: &str, list: &str) -> Vec<String> {
        lines(&check(&tree(vec![member("lockplate-core", &[])], &[(SOURCE, source), (LIST, list)])).unwrap())
    }

    #[test]
    fn what_is_listed_is_clean() {
        let source = "fn a(k: &S) { k.expose_secret(); same!(k.expose_secret()); }";
        assert_eq!(complaints(source, &format!("2 {SOURCE}\n")), Vec::<String>::new());
    }

    #[test]
    fn one_more_one_less_and_none_are_found() {
        let source = "fn a(k: &S) { k.expose_secret(); }";
        assert_eq!(complaints(source, "").len(), 1);
        assert_eq!(complaints(source, &format!("2 {SOURCE}\n")).len(), 1);
        assert_eq!(complaints("fn a() {}", &format!("1 {SOURCE}\n")).len(), 1);
    }

    #[test]
    fn a_path_call_counts_and_definitions_comments_and_tests_do_not() {
        let source = "/// expose_secret\n\
                      impl S { pub fn expose_secret(&self) {} }\n\
                      fn a(k: &S) { S::expose_secret(k); let s = \"expose_secret\"; }\n\
                      #[cfg(test)] mod tests { fn t(k: &S) { k.expose_secret(); } }";
        assert_eq!(complaints(source, &format!("1 {SOURCE}\n")), Vec::<String>::new());
    }

    #[test]
    fn a_broken_list_is_found() {
        assert_eq!(complaints("fn a() {}", "two crates/x.rs\n").len(), 1);
    }

    #[test]
    fn what_bless_writes_is_clean() {
        let members = vec![member("lockplate-core", &[])];
        let source = "fn a(k: &S) { k.expose_secret(); }";
        let mut tree = tree(members, &[(SOURCE, source)]);
        assert_eq!(check(&tree).unwrap().len(), 1);
        let list = render(&count(&tree).unwrap());
        tree.files.insert(LIST.to_owned(), list);
        assert_eq!(check(&tree).unwrap(), Vec::new());
    }
}
