use super::*;
use tempfile::tempdir;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn write_new_creates_once_and_never_overwrites() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a");
    write_new(&path, b"one").unwrap();
    let error = write_new(&path, b"two").unwrap_err();
    assert_eq!((error.step(), error.io_kind()), (Step::Rename, io::ErrorKind::AlreadyExists));
    assert!(!error.must_stop());
    assert_eq!(std::fs::read(&path).unwrap(), b"one");
    assert_eq!(names(folder.path()), ["a"], "no temporary is left");
}

#[test]
fn replace_creates_and_replaces() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a");
    replace(&path, b"one").unwrap();
    replace(&path, b"two").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"two");
    assert_eq!(names(folder.path()), ["a"]);
}

#[test]
fn a_failed_replace_leaves_the_old_content_and_no_temporary() {
    let folder = tempdir().unwrap();
    // A folder stands where the file should go: the rename fails after the temporary was written.
    let path = folder.path().join("a");
    std::fs::create_dir(&path).unwrap();
    let error = replace(&path, b"one").unwrap_err();
    assert_eq!(error.step(), Step::Rename);
    assert_eq!(names(folder.path()), ["a"]);
    assert_eq!(replace(&folder.path().join("missing/a"), b"one").unwrap_err().step(), Step::Open);
}

#[test]
fn remove_may_be_repeated() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a");
    replace(&path, b"one").unwrap();
    remove(&path).unwrap();
    remove(&path).unwrap();
    assert!(!path.exists());
}

#[test]
fn create_dir_makes_every_missing_level_and_may_be_repeated() {
    let folder = tempdir().unwrap();
    let deep = folder.path().join("a/b/c");
    create_dir(&deep).unwrap();
    create_dir(&deep).unwrap();
    assert!(deep.is_dir());
    let file = folder.path().join("f");
    replace(&file, b"").unwrap();
    assert_eq!(create_dir(&file.join("x")).unwrap_err().step(), Step::Open);
}

#[test]
fn only_temporaries_are_swept_away_and_taken_names_are_passed_over() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a");
    for serial in 0..20 {
        File::create(folder.path().join(format!("a.{serial}.tmp"))).unwrap();
    }
    replace(&path, b"one").unwrap();
    assert_eq!(remove_temporaries(folder.path()).unwrap(), 20);
    assert_eq!(names(folder.path()), ["a"]);
    assert_eq!(remove_temporaries(folder.path()).unwrap(), 0);
}

#[test]
fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempdir().unwrap();
    let path = folder.path().join("a");
    replace(&path, b"one").unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
}

#[test]
fn a_folder_is_locked_once() {
    let folder = tempdir().unwrap();
    let lock = LockFile::acquire(folder.path()).unwrap();
    let error = LockFile::acquire(folder.path()).unwrap_err();
    assert!(matches!(error, LockError::Held));
    assert!(error.to_string().contains("another process holds"));
    drop(lock);
    LockFile::acquire(folder.path()).unwrap();
}

#[test]
fn an_append_file_grows_and_is_created_once() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a");
    let mut file = AppendFile::create(&path, b"head").unwrap();
    file.append(b"one").unwrap();
    assert_eq!(file.length(), 7);
    assert_eq!(std::fs::read(&path).unwrap(), b"headone");
    assert_eq!(AppendFile::create(&path, b"").unwrap_err().io_kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn a_full_disk_is_a_write_error_and_does_not_stop_the_process() {
    // /dev/full refuses every write with ENOSPC; it is no regular file, so taking the write back fails too and the file is poisoned.
    let file = OpenOptions::new().append(true).open("/dev/full").unwrap();
    let mut file = AppendFile::of(file);
    let error = file.append(b"one").unwrap_err();
    assert_eq!((error.step(), error.io_kind()), (Step::Write, io::ErrorKind::StorageFull));
    assert!(!error.must_stop());
    assert!(file.append(b"two").unwrap_err().must_stop(), "a tail that could not be cut is not written over");
}

#[test]
fn a_failed_sync_is_final() {
    // A pipe takes the bytes and cannot be synced (EINVAL): the first failure is the last call that reaches the kernel.
    let (_reader, writer) = io::pipe().unwrap();
    let mut file = AppendFile::of(File::from(std::os::fd::OwnedFd::from(writer)));
    let error = file.append(b"one").unwrap_err();
    assert_eq!(error.step(), Step::SyncFile);
    assert!(error.must_stop());
    assert_eq!(file.length(), 0);
    assert!(file.append(b"two").unwrap_err().must_stop());
}

#[test]
fn the_reserve_holds_real_blocks_and_gives_them_back() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempdir().unwrap();
    let reserve = Reserve::take(folder.path()).unwrap();
    let metadata = std::fs::metadata(folder.path().join(RESERVE_FILE_NAME)).unwrap();
    assert_eq!(metadata.len(), RESERVE_BYTES);
    assert!(metadata.blocks() * 512 >= RESERVE_BYTES);
    let again = Reserve::take(folder.path()).unwrap();
    again.release().unwrap();
    assert_eq!(names(folder.path()), [""; 0]);
    reserve.release().unwrap();
}
