//! The solver as a process. It starts cvc5, asks one question at a time, and gives each a time limit. It must never take silence,
//! a crash or "unknown" for a proof: whatever is no clear answer is [`Answer::Undecided`]. Questions come from `prove.rs` and
//! `compare.rs`.

use core::fmt;
use core::time::Duration;
use std::ffi::{OsStr, OsString};
use std::process::Stdio;

use cedar_policy_symcc::CedarSymCompiler;
use cedar_policy_symcc::err::Error as CompilerError;
use cedar_policy_symcc::solver::LocalSolver;
use tokio::process::Command;

/// The longest that one proof may take (`law.md` section 7).
const PROOF_MAX: Duration = Duration::from_secs(60);
/// After that the process is given up: it was told of the limit itself, and did not keep it.
const GRACE: Duration = Duration::from_secs(2);
/// The longest that the solver may take to say its version.
const VERSION_MAX: Duration = Duration::from_secs(10);
/// Questions after which a process is replaced: it does not give back all that earlier questions took.
const QUESTIONS_MAX: u32 = 200;

/// A cvc5 that answered when it was asked for its version.
#[derive(Clone, Debug)]
pub struct Cvc5 {
    program: OsString,
    version: String,
    limit: Duration,
}

/// Why there is no solver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSolver {
    /// The program cannot be started.
    NotThere,
    /// It starts, and is not cvc5.
    NotCvc5,
}

impl fmt::Display for NoSolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotThere => "the solver cvc5 cannot be started",
            Self::NotCvc5 => "the program given as the solver is not cvc5",
        })
    }
}

impl core::error::Error for NoSolver {}

impl Cvc5 {
    /// The solver at `program`: a path, or a name that is looked for on the PATH. Like everything here that asks the solver, it
    /// runs a runtime of its own and must not be called from within one.
    ///
    /// # Errors
    /// It cannot be started, or it does not say that it is cvc5 within 10 s.
    pub fn at(program: &OsStr) -> Result<Self, NoSolver> {
        let runtime = runtime().map_err(|_system| NoSolver::NotThere)?;
        let asked = runtime.block_on(async {
            let mut command = Command::new(program);
            command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
            tokio::time::timeout(VERSION_MAX, command.output()).await
        });
        let output = match asked {
            Ok(output) => output.map_err(|_system| NoSolver::NotThere)?,
            Err(_late) => return Err(NoSolver::NotCvc5),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let mut words = text.lines().next().unwrap_or_default().split_whitespace().skip_while(|word| *word != "cvc5");
        match (words.next(), words.next(), words.next()) {
            (Some(_), Some("version"), Some(version)) => {
                Ok(Self { program: program.to_owned(), version: version.to_owned(), limit: PROOF_MAX })
            }
            _ => Err(NoSolver::NotCvc5),
        }
    }

    /// Its version in its own words, such as `1.0.3`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    fn start(&self) -> Result<CedarSymCompiler<LocalSolver>, Box<CompilerError>> {
        let mut command = Command::new(&self.program);
        command.args(["--lang", "smt"]).arg(format!("--tlimit-per={}", self.limit.as_millis())).kill_on_drop(true);
        let solver = LocalSolver::from_command(&mut command).map_err(|error| Box::new(error.into()))?;
        CedarSymCompiler::new(solver).map_err(Box::new)
    }
}

/// What became of a question.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    Decided(T),
    /// No answer that counts, and why in words.
    Undecided(String),
}

/// A solver's process, started when it is first needed and replaced when it fails.
pub(crate) struct Session<'a> {
    cvc5: &'a Cvc5,
    process: Option<CedarSymCompiler<LocalSolver>>,
    asked: u32,
}

impl<'a> Session<'a> {
    pub(crate) fn new(cvc5: &'a Cvc5) -> Self {
        Self { cvc5, process: None, asked: 0 }
    }

    /// Asks one question within the time limit.
    pub(crate) async fn ask<T>(
        &mut self,
        question: impl AsyncFnOnce(&mut CedarSymCompiler<LocalSolver>) -> Result<T, CompilerError>,
    ) -> Answer<T> {
        if self.asked == QUESTIONS_MAX {
            self.process = None;
            self.asked = 0;
        }
        self.asked += 1;
        let process = match &mut self.process {
            Some(process) => process,
            none => match self.cvc5.start() {
                Ok(started) => none.insert(started),
                Err(error) => return Answer::Undecided(in_words(&error)),
            },
        };
        let limit = self.cvc5.limit.saturating_add(GRACE);
        let why = match tokio::time::timeout(limit, question(process)).await {
            Ok(Ok(answer)) => return Answer::Decided(answer),
            Ok(Err(error)) => in_words(&error),
            Err(_late) => in_words(&CompilerError::SolverUnknown),
        };
        // Whatever it would say later belongs to this question and to no other.
        self.process = None;
        Answer::Undecided(why)
    }
}

fn in_words(error: &CompilerError) -> String {
    match error {
        CompilerError::SolverUnknown => format!("the solver found no answer within {} s", PROOF_MAX.as_secs()),
        CompilerError::SolverError(error) => format!("the solver failed: {error}"),
        error @ (CompilerError::IncompleteSchema(_)
        | CompilerError::ActionNotInSchema(_)
        | CompilerError::CompileError(_)
        | CompilerError::EncodeError(_)
        | CompilerError::PolicyNotWellTyped { .. }
        | CompilerError::NoPolicies) => format!("the question cannot be put to the solver: {error}"),
        error @ (CompilerError::DecodeModel(_)
        | CompilerError::ConcretizeError(_)
        | CompilerError::ModelInvalid { .. }) => format!("the solver's answer cannot be read: {error}"),
    }
}

/// A runtime for one thread's questions.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A program that says what `script` says.
    fn invented(folder: &std::path::Path, script: &str) -> OsString {
        let path = folder.join("solver");
        #[expect(clippy::disallowed_methods, reason = "a script of a test in a folder of its own")]
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path.into_os_string()
    }

    fn answer(cvc5: &Cvc5) -> Answer<bool> {
        let schema = "entity U; action a appliesTo { principal: U, resource: U, context: { n: Long } };";
        let schema = cedar_policy::Schema::from_cedarschema_str(schema).unwrap().0;
        let policies: cedar_policy::PolicySet =
            "permit(principal, action, resource) when { context.n > 1 };".parse().unwrap();
        let env = schema.request_envs().next().unwrap();
        let compiled = cedar_policy_symcc::CompiledPolicySet::compile(&policies, &env, &schema).unwrap();
        let mut session = Session::new(cvc5);
        runtime().unwrap().block_on(session.ask(async |solver| solver.check_always_denies_opt(&compiled).await))
    }

    #[test]
    fn a_program_that_is_not_there_or_is_something_else_is_no_solver() {
        assert_eq!(Cvc5::at(OsStr::new("/nowhere/cvc5")).unwrap_err(), NoSolver::NotThere);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Cvc5::at(&invented(folder.path(), "echo Z3 version 4.8")).unwrap_err(), NoSolver::NotCvc5);
        let known = Cvc5::at(&invented(folder.path(), "echo This is cvc5 version 1.0.3")).unwrap();
        assert_eq!(known.version(), "1.0.3");
    }

    #[test]
    fn only_a_clear_answer_counts() {
        let folder = tempfile::tempdir().unwrap();
        let named = "if [ \"$1\" = --version ]; then echo This is cvc5 version 9; exit; fi";
        for (behaviour, counts) in [
            ("echo sat; exec cat >/dev/null", Some(false)),
            ("echo unsat; exec cat >/dev/null", Some(true)),
            ("echo unknown; exec cat >/dev/null", None),
            ("echo '(error \"resource limit\")'; exec cat >/dev/null", None),
            ("echo maybe; exec cat >/dev/null", None),
            ("exit 1", None),
        ] {
            let cvc5 = Cvc5::at(&invented(folder.path(), &format!("{named}\n{behaviour}"))).unwrap();
            match (answer(&cvc5), counts) {
                (Answer::Decided(got), Some(wanted)) => assert_eq!(got, wanted, "{behaviour}"),
                (Answer::Undecided(_), None) => {}
                (got, _) => panic!("{behaviour}: {got:?}"),
            }
        }
    }

    #[test]
    fn silence_ends_and_is_no_proof() {
        let folder = tempfile::tempdir().unwrap();
        let script =
            "if [ \"$1\" = --version ]; then echo This is cvc5 version 9; exit; fi\nwhile read -r line; do :; done";
        let mut cvc5 = Cvc5::at(&invented(folder.path(), script)).unwrap();
        cvc5.limit = Duration::ZERO;
        match answer(&cvc5) {
            Answer::Undecided(why) => assert_eq!(why, "the solver found no answer within 60 s"),
            Answer::Decided(got) => panic!("{got}"),
        }
    }
}
