//! `cargo xtask vectors`: makes the vectors of `spec/vectors/v1` anew from their seeds. With `--check` it writes nothing there and
//! fails if a file would change, appear or vanish. The known answers in `known/` are another implementation's and never made here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

/// The one file that is not a case.
const LEAVES: &str = "leaves.txt";

/// Makes the files, compares, and writes what differs unless `--check` is given.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let check = match arguments {
        [] => false,
        [one] if one == "--check" => true,
        _ => bail!("usage: cargo xtask vectors [--check]"),
    };
    let root = crate::tidy::workspace_root()?;
    let kept = root.join("spec/vectors/v1");
    let made = tempfolder()?;
    let outcome = make(&root, &made).and_then(|()| compare(&kept, &made, check));
    std::fs::remove_dir_all(&made).context("the folder of the new vectors cannot be removed")?;
    outcome
}

fn tempfolder() -> anyhow::Result<std::path::PathBuf> {
    let folder = std::env::temp_dir().join(format!("lockplate-vectors-{}", std::process::id()));
    std::fs::create_dir(&folder).context("no folder for the new vectors")?;
    Ok(folder)
}

fn make(root: &Path, made: &Path) -> anyhow::Result<()> {
    let cargo = |test: &[&str], name: &str, value: &Path| {
        Command::new("cargo")
            .args(["test", "-q", "-p", "lockplate-core", "--lib", "--"])
            .args(test)
            .env(name, value)
            .current_dir(root)
            .status()
            .context("cargo does not start")
    };
    if !cargo(&["--ignored", "--exact", "vectors::write"], "VECTORS_OUT", made)?.success() {
        bail!("the vectors cannot be made: a case does not end as it says");
    }
    // This test writes the file first and then fails if it differs; the comparison here is the judge.
    cargo(&["entry"], "LEAVES_OUT", &made.join(LEAVES))?;
    Ok(())
}

fn compare(kept: &Path, made: &Path, check: bool) -> anyhow::Result<ExitCode> {
    let (old, new) = (read(kept)?, read(made)?);
    if !new.contains_key(LEAVES) || new.len() < 2 {
        bail!("the tests wrote no vectors");
    }
    let mut differing = 0_usize;
    for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
        let (before, after) = (old.get(name), new.get(name));
        if before == after {
            continue;
        }
        differing = differing.saturating_add(1);
        match after {
            None => println!("no case makes {name}"),
            Some(_) if before.is_none() => println!("new: {name}"),
            Some(_) => println!("changed: {name}"),
        }
        match after {
            _ if check => {}
            Some(bytes) => std::fs::write(kept.join(name), bytes).with_context(|| format!("cannot write {name}"))?,
            None => std::fs::remove_file(kept.join(name)).with_context(|| format!("cannot remove {name}"))?,
        }
    }
    println!("{} vectors, {differing} differing", new.len());
    Ok(if check && differing > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Name and bytes of the files of a folder, not of its subfolders.
fn read(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.insert(entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?);
        }
    }
    Ok(files)
}
