//! What a machine should be like before it holds keys: room on the disk, a disk that syncs, a clock, no way for memory to reach
//! one. Each is ok, a warning, failed, or could not be checked: what this machine does not say is never called ok.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use lockplate_core::Timestamp;
use rustix::process::{Resource, getrlimit};

use super::{Report, Role, Severity};

/// Free bytes below which an agency soon refuses reads.
const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// Free bytes for a month of a middle-sized town.
const FREE_BYTES_WANTED: u64 = 10 * 1024 * 1024 * 1024;
/// 2026-01-01: no clock that is right is before the year of this release.
const CLOCK_MIN: u64 = 1_767_225_600;
/// 2100-01-01.
const CLOCK_MAX: u64 = 4_102_444_800;
/// Written to see whether the disk takes it.
const PROBE: &str = ".lockplate-doctor.tmp";

/// Looks at this machine, its disk at `folder`, which must be writable for the probe of the disk.
#[must_use]
pub fn check_machine(folder: &Path, now: Timestamp) -> Report {
    let mut report = Report::new(Role::Machine);
    disk(folder, &mut report);
    clock(now, &mut report);
    memory(&mut report);
    report
}

fn disk(folder: &Path, report: &mut Report) {
    let place = folder.display().to_string();
    match rustix::fs::statvfs(folder) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            if free < FREE_BYTES_MIN {
                report.fail("less than 256 MiB are free on the disk", place.clone());
            } else if free < FREE_BYTES_WANTED {
                report.warn("less than 10 GiB are free on the disk", place.clone());
            } else {
                report.ok("there is room on the disk", place.clone());
            }
        }
        Err(_errno) => report.add(Severity::CouldNotCheck, "the free room of the disk", place.clone()),
    }
    match probe(folder) {
        Ok(()) => report.ok("the disk writes and syncs", place),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            report.add(Severity::CouldNotCheck, "whether the disk syncs: this user may not write here", place);
        }
        Err(_io) => report.fail("the disk does not write and sync", place),
    }
}

/// Write, sync, sync the folder, remove.
fn probe(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(PROBE);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(b"probe").and_then(|()| file.sync_all()));
    let removed = std::fs::remove_file(&path);
    written?;
    removed?;
    File::open(folder)?.sync_all()
}

fn clock(now: Timestamp, report: &mut Report) {
    if (CLOCK_MIN..CLOCK_MAX).contains(&now.0) {
        report.ok("the clock says a plausible time", "clock");
    } else {
        report.fail("the clock says a time that cannot be", "clock");
    }
    // Made by systemd-timesyncd; other servers of the time say it elsewhere.
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        report.ok("the clock is synchronised", "clock");
    } else {
        report.add(Severity::CouldNotCheck, "whether the clock is synchronised", "clock");
    }
}

/// Swap is where memory reaches a disk.
pub(super) fn swap(report: &mut Report) {
    match std::fs::read_to_string("/proc/swaps").map(|swaps| swaps.lines().skip(1).count()) {
        Ok(0) => report.ok("no swap is on", "/proc/swaps"),
        Ok(_) => report.warn("swap is on; turn it off, or encrypt it under a key that is drawn at boot", "/proc/swaps"),
        Err(_io) => report.add(Severity::CouldNotCheck, "whether swap is on", "/proc/swaps"),
    }
}

fn memory(report: &mut Report) {
    swap(report);
    if getrlimit(Resource::Core).current == Some(0) {
        report.ok("no core is dumped", "core limit");
    } else {
        report.warn(
            "cores are dumped by this shell's processes; the sealer forbids it to itself, set LimitCORE=0 for the rest",
            "core limit",
        );
    }
    if rustix::process::geteuid().is_root() || getrlimit(Resource::Memlock).current.is_none() {
        report.ok("all memory of a sealer can be locked", "memory-lock limit");
    } else {
        report.warn("not all memory of a sealer can be locked; set LimitMEMLOCK=infinity", "memory-lock limit");
    }
    match std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope") {
        Ok(scope) if scope.trim() == "0" => report.warn(
            "processes of one user may read each other's memory; set kernel.yama.ptrace_scope to 1 or more",
            "kernel.yama.ptrace_scope",
        ),
        Ok(_) => report.ok("processes may not read each other's memory", "kernel.yama.ptrace_scope"),
        Err(_io) => {
            report.add(
                Severity::CouldNotCheck,
                "whether processes may read each other's memory",
                "kernel.yama.ptrace_scope",
            );
        }
    }
    match std::fs::read_to_string("/sys/power/state") {
        Ok(states) if states.split_whitespace().any(|state| state == "disk") => {
            report.warn(
                "the machine can hibernate, which writes memory to the disk; mask hibernate.target",
                "/sys/power/state",
            );
        }
        Ok(_) => report.ok("the machine cannot hibernate", "/sys/power/state"),
        Err(_io) => report.add(Severity::CouldNotCheck, "whether the machine can hibernate", "/sys/power/state"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(report: &'a Report, what: &str) -> &'a super::super::Finding {
        report.findings.iter().find(|finding| finding.what.contains(what)).unwrap()
    }

    #[test]
    fn a_folder_that_is_not_there_and_a_clock_that_cannot_be_are_problems() {
        let folder = tempfile::tempdir().unwrap();
        let good = check_machine(folder.path(), Timestamp(CLOCK_MIN));
        assert_eq!(of(&good, "writes and syncs").severity, Severity::Ok);
        assert_eq!(of(&good, "plausible").severity, Severity::Ok);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the probe is removed");
        let bad = check_machine(&folder.path().join("none"), Timestamp(CLOCK_MIN - 1));
        assert_eq!(of(&bad, "does not write").severity, Severity::Failed);
        assert_eq!(of(&bad, "cannot be").severity, Severity::Failed);
        assert_eq!(of(&bad, "free room").severity, Severity::CouldNotCheck);
        assert_eq!(bad.worst(), Severity::Failed);
    }
}
