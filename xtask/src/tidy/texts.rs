//! Texts: names that say nothing, promises without an issue, folders of one machine, samples that no test reads.

use std::path::Path;

use super::{Finding, Tree};

/// Modules of these names collect what nobody wanted to name.
const BANNED_MODULES: &[&str] = &["common", "util", "utils", "types", "helper", "helpers", "misc"];

/// Longer files are listed, nothing fails: a reader looks whether two ideas live there.
const LINES_MAX: usize = 600;

/// Words of unfinished work; each needs the number of its issue on the same line. Put together here, or this file would
/// be its own first finding.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

/// The folder beside the checkout, and what in it a test may read when it is there.
const SHARED: &str = concat!("sha", "red/");
const SHARED_ALLOWED: &[&str] = &["data", "vectors", "verifiers"];

/// A path of one particular machine.
const MACHINE: &str = concat!("/wo", "rk/");

/// Where sample configurations lie.
const SAMPLES: &str = "docs/samples/";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in &tree.files {
        module_name(path, &mut findings);
        if path == "Cargo.lock" {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let place = || format!("{path}:{}", index + 1);
            if let Some(word) = unfinished(line) {
                findings.push(Finding::new(place(), format!("{word} without an issue number; write {word}(#12)")));
            }
            if let Some(folder) = foreign_folder(line) {
                findings
                    .push(Finding::new(place(), format!("names the folder `{folder}`, which a clone does not have")));
            }
        }
    }
    samples(tree, &mut findings);
    findings
}

/// Rust files over [`LINES_MAX`] with their number of lines.
pub(super) fn long_files(tree: &Tree) -> Vec<(&str, usize)> {
    let rust = tree.files.iter().filter(|(path, _)| path.ends_with(".rs"));
    rust.map(|(path, text)| (path.as_str(), text.lines().count())).filter(|(_, lines)| *lines > LINES_MAX).collect()
}

fn module_name(path: &str, findings: &mut Vec<Finding>) {
    if !path.ends_with(".rs") {
        return;
    }
    let names = Path::new(path).with_extension("");
    for part in names.components().filter_map(|part| part.as_os_str().to_str()) {
        if BANNED_MODULES.contains(&part) {
            findings.push(Finding::new(path, format!("`{part}` names nothing; call the module after what it does")));
        }
    }
}

/// The word of a line that promises work without saying where it is tracked.
fn unfinished(line: &str) -> Option<&'static str> {
    UNFINISHED.iter().copied().find(|word| {
        let whole = |(start, _): &(usize, &str)| {
            let before = line.get(..*start).and_then(|text| text.chars().next_back());
            let after = line.get(start + word.len()..).and_then(|text| text.chars().next());
            let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            !is_letter(before) && !is_letter(after)
        };
        line.match_indices(word).any(|hit| whole(&hit)) && !has_issue_number(line)
    })
}

fn has_issue_number(line: &str) -> bool {
    line.split('#').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// A folder outside the repository that the line names, unless it is one that tests may look for.
fn foreign_folder(line: &str) -> Option<String> {
    if line.contains(MACHINE) {
        return Some(MACHINE.to_owned());
    }
    let parent = format!("../{SHARED}");
    for (start, found) in line.match_indices(&parent) {
        let rest = line.get(start + found.len()..).unwrap_or_default();
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect();
        if !SHARED_ALLOWED.contains(&name.as_str()) {
            return Some(format!("{parent}{name}"));
        }
    }
    None
}

/// A sample that no source names is prose that no test reads.
fn samples(tree: &Tree, findings: &mut Vec<Finding>) {
    for path in tree.files.keys().filter(|path| path.starts_with(SAMPLES) && path.ends_with(".toml")) {
        let name = path.strip_prefix(SAMPLES).unwrap_or(path);
        let named = tree.files.iter().any(|(source, text)| source.ends_with(".rs") && text.contains(name));
        if !named {
            findings.push(Finding::new(path, "no source names this sample; every sample is parsed by a test"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::invented::{lines, tree};
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        lines(&check(&tree(Vec::new(), &[(path, text)])))
    }

    #[test]
    fn ordinary_text_is_clean() {
        let text = "// todo list, MASTODON\nread ../shared/data/traffic, ../shared/vectors/x and ../shared/verifiers";
        assert_eq!(complaints("crates/lockplate-core/src/seal.rs", text), Vec::<String>::new());
    }

    #[test]
    fn banned_names_are_found_as_file_and_as_folder() {
        for path in ["crates/a/src/utils.rs", "crates/a/src/common/plate.rs", "crates/a/tests/it/helpers.rs"] {
            assert_eq!(complaints(path, "").len(), 1, "{path}");
        }
        assert_eq!(complaints("docs/types.md", ""), Vec::<String>::new());
    }

    #[test]
    fn promises_need_an_issue() {
        for word in UNFINISHED {
            assert_eq!(complaints("a.rs", &format!("// {word} later")).len(), 1, "{word}");
            assert_eq!(complaints("a.rs", &format!("// {word}(# 12) later")).len(), 1, "{word}");
            assert_eq!(complaints("a.rs", &format!("// {word}(#12) later")), Vec::<String>::new());
        }
    }

    #[test]
    fn folders_of_one_machine_are_found() {
        for folder in ["design/log.md", "hooks", ""] {
            assert_eq!(complaints("README.md", &format!("see ../{SHARED}{folder}")).len(), 1, "{folder:?}");
        }
        assert_eq!(complaints("a.rs", &format!("open({MACHINE}main)")).len(), 1);
    }

    #[test]
    fn a_sample_that_nobody_reads_is_found() {
        let sample = ("docs/samples/agency.toml", "");
        assert_eq!(check(&tree(Vec::new(), &[sample])).len(), 1);
        let test = ("crates/lockplate-node/src/settings.rs", "parse(\"agency.toml\")");
        assert_eq!(check(&tree(Vec::new(), &[sample, test])), Vec::new());
    }

    #[test]
    fn long_files_are_listed() {
        let long = "\n".repeat(LINES_MAX + 1);
        let just = "\n".repeat(LINES_MAX);
        let tree = tree(Vec::new(), &[("a.rs", &long), ("b.rs", &just), ("c.md", &long)]);
        assert_eq!(long_files(&tree), [("a.rs", LINES_MAX + 1)]);
        assert_eq!(check(&tree), Vec::new());
    }
}
