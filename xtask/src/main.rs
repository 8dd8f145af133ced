//! Repository chores, run as `cargo xtask <name>`.
//!
//! One file a subcommand: `check` runs everything a change must pass, `tidy` checks the rules of the house that no compiler
//! knows (floors, verbs, secrets, manifests, texts), `bench` measures. To add a subcommand, add its module, a row in [`SUBCOMMANDS`], no more.
//! Nothing here ships, and nothing here may be imported by a crate that does.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the person who started it")]
#![expect(
    clippy::disallowed_methods,
    reason = "chores start cargo and write the files they own; they never run in the product"
)]

mod bench;
mod check;
mod scaling;
mod tidy;
mod vectors;

use std::process::ExitCode;

/// A subcommand: its name, one line of help, and what runs it with the arguments after the name.
struct Subcommand {
    name: &'static str,
    help: &'static str,
    run: fn(&[String]) -> anyhow::Result<ExitCode>,
}

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "bench",
        help: "row S7 beside its peers, in release     [--quick] [--out FOLDER]...",
        run: bench::run,
    },
    Subcommand { name: "check", help: "fmt, clippy, tidy, deny, tests, doc tests   [--skip NAME]...", run: check::run },
    Subcommand {
        name: "scaling",
        help: "a model of costs beside a simulation  [--profile FILE] [--cameras N] [--days N] [--seed S] [--json]",
        run: scaling::run,
    },
    Subcommand { name: "tidy", help: "floors, verbs, secrets, manifests, texts    [--bless]", run: tidy::run },
    Subcommand { name: "vectors", help: "make spec/vectors/v1 anew             [--check]", run: vectors::run },
];

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    if let Some(subcommand) = SUBCOMMANDS.iter().find(|subcommand| subcommand.name == name) {
        return (subcommand.run)(&rest);
    }
    eprintln!("usage: cargo xtask <subcommand>\n");
    for subcommand in SUBCOMMANDS {
        eprintln!("  {:<8} {}", subcommand.name, subcommand.help);
    }
    Ok(ExitCode::from(2))
}
