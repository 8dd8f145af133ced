//! Docs: links lead somewhere, and the tests that SECURITY.md promises exist.
//!
//! Prose that no test reads goes stale. A relative link of a Markdown file must name a file or folder of the repository, and
//! each invariant and attack of SECURITY.md must name tests by path, `crate::module::name`, whose function exists.

use super::{Finding, Tree};

/// The page whose tables name tests.
const SECURITY: &str = "SECURITY.md";

/// Stands in a cell of that page until its tests are written.
const UNFILLED: &str = concat!("<!-- te", "sts:");

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| path.ends_with(".md")) {
        for (index, line) in text.lines().enumerate() {
            for target in links(line).filter(|target| !leads_somewhere(tree, path, target)) {
                findings.push(Finding::new(
                    format!("{path}:{}", index + 1),
                    format!("the link to `{target}` leads nowhere"),
                ));
            }
        }
    }
    for (index, line) in tree.files.get(SECURITY).map_or("", String::as_str).lines().enumerate() {
        if line.contains(UNFILLED) {
            findings.push(Finding::new(
                format!("{SECURITY}:{}", index + 1),
                "names no test yet; name one, or say `not yet`",
            ));
        }
        for test in test_names(line).filter(|test| !exists(tree, test)) {
            findings.push(Finding::new(
                format!("{SECURITY}:{}", index + 1),
                format!("there is no function of the test `{test}`"),
            ));
        }
    }
    findings
}

/// Targets of `[text](target)`, without fragment; addresses of other sites are left alone.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', '#']).next()?;
        (!target.is_empty() && !target.contains(':')).then_some(target)
    })
}

fn leads_somewhere(tree: &Tree, from: &str, target: &str) -> bool {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            if parts.pop().is_none() {
                return false;
            }
        } else {
            parts.push(part);
        }
    }
    let path = parts.join("/");
    let folder = format!("{path}/");
    path.is_empty() || tree.files.contains_key(&path) || tree.files.keys().any(|file| file.starts_with(&folder))
}

/// Names in backticks that look like paths of functions.
fn test_names(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|name| name.contains("::") && line.starts_with('|'))
}

fn exists(tree: &Tree, test: &str) -> bool {
    let name = test.rsplit("::").next().unwrap_or(test);
    let head = format!("fn {name}(");
    tree.files.iter().any(|(path, text)| path.ends_with(".rs") && text.contains(&head))
}

#[cfg(test)]
mod tests {
    use super::super::invented::{lines, tree};
    use super::*;

    fn complaints(files: &[(&str, &str)]) -> Vec<String> {
        lines(&check(&tree(Vec::new(), files)))
    }

    #[test]
    fn links_that_lead_somewhere_are_clean() {
        let readme = "[a](docs/life.md) [b](docs/) [c](https://example.org/x) [d](#top) [e](docs/life.md#end) [f](.)";
        let life = "[back](../README.md)";
        assert_eq!(complaints(&[("README.md", readme), ("docs/life.md", life)]), Vec::<String>::new());
    }

    #[test]
    fn links_that_lead_nowhere_or_outside_are_found() {
        let found = complaints(&[("docs/a.md", "[x](b.md)\n[y](../../c.md) [z](../docs/a.md)")]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.first().unwrap().starts_with("docs/a.md:1"), "{found:?}");
    }

    #[test]
    fn security_names_tests_that_exist() {
        let source = ("crates/a/src/b.rs", "fn no_shares_mix() {}");
        let named = ("SECURITY.md", "| I7 | text | `a::b::no_shares_mix` |");
        assert_eq!(complaints(&[source, named]), Vec::<String>::new());
        let gone = ("SECURITY.md", "| I7 | text | `a::b::no_shares_mixed` |");
        assert_eq!(complaints(&[source, gone]).len(), 1);
        let unfilled = format!("| I7 | text | {UNFILLED}I7 --> |");
        assert_eq!(complaints(&[source, ("SECURITY.md", &unfilled)]).len(), 1);
    }
}
