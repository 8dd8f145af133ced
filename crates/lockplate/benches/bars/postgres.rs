//! The peer: PostgreSQL 15 of Debian, started on a private socket in the folder that is measured, with its own defaults; every setting that
//! a row changes is named by the row. Load comes from `pgbench`, PostgreSQL's own, which costs less of the shared cores than ours does.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// The fields that a read has (`lockplate-core`, `read.rs`), and the index that a search by plate and window wants.
const TABLE: &str = "CREATE TABLE reads (
    source smallint NOT NULL, engine_ref bytea, camera integer NOT NULL, captured_at timestamptz NOT NULL, source_time timestamptz,
    time_quality smallint NOT NULL, plate text NOT NULL, jurisdiction text, jur_conf smallint, jurisdiction_trusted boolean NOT NULL,
    conf smallint, class smallint, class_conf smallint, make smallint, make_conf smallint, colour smallint, colour_conf smallint,
    motion smallint NOT NULL, frames smallint NOT NULL, flags integer NOT NULL);
CREATE INDEX reads_plate_time ON reads (plate, captured_at);";

/// The account that PostgreSQL runs under where we are root, under which it refuses to run.
const ACCOUNT: &str = "postgres";

/// A running server; stopped when dropped.
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    /// Of its own and short: the name of a socket has 107 bytes at most.
    sockets: tempfile::TempDir,
}

impl Postgres {
    /// None, said loudly, where its programs are not installed.
    pub(crate) fn start(programs: &Path, work: &Path) -> anyhow::Result<Option<Self>> {
        if !programs.join("pgbench").is_file() {
            eprintln!("SKIPPED PostgreSQL: there is no {}", programs.join("pgbench").display());
            return Ok(None);
        }
        let folder = work.join("postgres");
        std::fs::create_dir_all(&folder)?;
        let sockets = tempfile::tempdir()?;
        if is_root() {
            run(Command::new("chown").arg(ACCOUNT).arg(&folder).arg(sockets.path()))?;
        }
        let server = Self { programs: programs.to_owned(), folder, sockets };
        run(server
            .program("initdb")
            .args(["--no-sync", "--encoding", "UTF8", "--locale", "C", "--pgdata"])
            .arg(server.data()))?;
        let options = format!("-c listen_addresses= -c unix_socket_directories={}", server.sockets.path().display());
        run(server
            .program("pg_ctl")
            .args(["--wait", "--log", "server.log", "--options", &options, "--pgdata"])
            .arg(server.data())
            .arg("start"))?;
        server.sql(TABLE)?;
        Ok(Some(server))
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn program(&self, name: &str) -> Command {
        let path = self.programs.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", ACCOUNT, "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .env("PGHOST", self.sockets.path())
            .env("PGDATABASE", "postgres");
        command
    }

    /// Statements; what they print, without heads and frames.
    pub(crate) fn sql(&self, statements: &str) -> anyhow::Result<String> {
        run(self.program("psql").args(["-qtAX", "-v", "ON_ERROR_STOP=1", "-c", statements]))
    }

    /// One statement script by so many clients for so long; transactions a second.
    pub(crate) fn load(&self, name: &str, script: &str, clients: usize, seconds: u64) -> anyhow::Result<f64> {
        std::fs::write(self.folder.join(name), script)?;
        let (clients, seconds) = (clients.to_string(), seconds.to_string());
        let said = run(self
            .program("pgbench")
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--define=k=0", "--client"])
            .args([&clients, "--time", &seconds, "--file", name]))?;
        let line = said.lines().find_map(|line| line.strip_prefix("tps = ")).context("pgbench says no rate")?;
        let rate = line.split(' ').next().context("pgbench says no rate")?;
        Ok(rate.parse()?)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let stopped = run(self
            .program("pg_ctl")
            .args(["--wait", "--mode", "immediate", "--pgdata"])
            .arg(self.data())
            .arg("stop"));
        if let Err(error) = stopped {
            eprintln!("PostgreSQL could not be stopped: {error:#}");
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{name} cannot be started"))?;
    if !output.status.success() {
        bail!("{command:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
