use super::*;
use crate::rng::SystemRng;
use serde::Deserialize;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Sample {
    keeper: Keeper,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Keeper {
    listen: String,
    retention_days: u16,
}

const GOOD: &str = "[keeper]\nlisten = \"127.0.0.1:8443\"\nretention_days = 21\n";

fn refused(text: &str) -> ConfigError {
    parse::<Sample>(Path::new("keeper.toml"), text).unwrap_err()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_good_file_loads_and_a_missing_or_huge_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keeper.toml");
    assert!(load::<Sample>(&path).unwrap_err().to_string().ends_with("keeper.toml: the file cannot be read"));
    File::create(&path).unwrap().write_all(GOOD.as_bytes()).unwrap();
    assert_eq!(load::<Sample>(&path).unwrap().keeper.retention_days, 21);
    let filler = usize::try_from(CONFIG_BYTES_MAX).unwrap() - GOOD.len();
    let at_the_bound = format!("{GOOD}#{}", "x".repeat(filler - 1));
    File::create(&path).unwrap().write_all(at_the_bound.as_bytes()).unwrap();
    assert!(load::<Sample>(&path).is_ok());
    File::create(&path).unwrap().write_all(format!("{at_the_bound}x").as_bytes()).unwrap();
    assert!(load::<Sample>(&path).unwrap_err().to_string().contains("larger than 1048576 bytes"));
}

#[test]
fn the_environment_goes_over_the_file_and_is_checked_like_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keeper.toml");
    File::create(&path).unwrap().write_all(GOOD.as_bytes()).unwrap();
    let load_with = |name: &str, value: &str| load_over::<Sample>(&path, [(name.to_owned(), value.to_owned())]);
    assert_eq!(load_with("LOCKPLATE_KEEPER__RETENTION_DAYS", "30").unwrap().keeper.retention_days, 30);
    for listen in ["[::1]:8443", "127.0.0.1:9", "\"quoted\"", "1\nretention_days = 5"] {
        let loaded = load_with("LOCKPLATE_KEEPER__LISTEN", listen).unwrap().keeper;
        assert_eq!((loaded.listen.as_str(), loaded.retention_days), (listen.trim_matches('"'), 21));
    }
    for foreign in ["PATH", "LOCKPLATE_TRACE", "KEEPER__LISTEN"] {
        assert!(load_with(foreign, "x").is_ok(), "{foreign}");
    }
    let unknown = load_with("LOCKPLATE_KEEPER__RETENSION_DAYS", "30").unwrap_err();
    assert_eq!((unknown.position(), unknown.nearest()), (None, Some("retention_days")));
    assert!(unknown.to_string().contains("of the environment"), "{unknown}");
    assert!(load_with("LOCKPLATE_KEEPER__RETENTION_DAYS", "soon").is_err());
    assert!(load_with("LOCKPLATE_KEEPER__LISTEN__DEEPER", "1").unwrap_err().to_string().contains("no section"));
}

#[test]
fn an_unknown_key_is_told_with_place_expected_keys_and_nearest_name() {
    let error = refused("[keeper]\nlisten = \"x\"\n  retension_days = 21\n");
    assert_eq!(error.position(), Some((3, 3)));
    assert_eq!(error.nearest(), Some("retention_days"));
    let text = error.to_string();
    assert!(
        text.starts_with("keeper.toml:3:3: unknown field `retension_days`, expected `listen` or `retention_days`"),
        "{text}"
    );
    assert!(text.ends_with("did you mean `retention_days`?"), "{text}");
    assert_eq!(refused("[keeper]\nzzzzzzzzzzzz = 1\n").nearest(), None, "nothing is near");
    assert_eq!(error.exit_kind().code(), 3);
}

#[test]
fn a_wrong_value_a_missing_key_and_broken_syntax_have_a_place() {
    let wrong = refused("[keeper]\nlisten = \"é\"\nretention_days = \"three\"\n");
    assert_eq!(wrong.position(), Some((3, 18)));
    let missing = refused("[keeper]\nlisten = \"x\"\n");
    assert!(missing.to_string().contains("missing field `retention_days`"), "{missing}");
    assert!(missing.position().is_some());
    let broken = refused("[keeper]\nlisten = \n");
    assert_eq!(broken.position().map(|(line, _)| line), Some(2));
}

#[test]
fn columns_count_characters_and_any_offset_is_safe() {
    let text = "é = 1\nab";
    assert_eq!(line_and_column(text, 0), (1, 1));
    assert_eq!(line_and_column(text, 3), (1, 3));
    assert_eq!(line_and_column(text, 7), (2, 1));
    assert_eq!(line_and_column(text, 1), (2, 3), "inside a character: the end, never a panic");
    assert_eq!(line_and_column(text, 999), (2, 3));
}

#[test]
fn edit_distances() {
    for (from, to, distance) in
        [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("same", "same", 0)]
    {
        assert_eq!(edit_distance(from, to), distance, "{from} {to}");
    }
}

#[test]
fn a_key_file_open_to_others_is_refused_and_0600_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.key");
    let made = read_or_create_signing_key(&path, &mut SystemRng).unwrap();
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
    assert_eq!(read_or_create_signing_key(&path, &mut SystemRng).unwrap(), made, "read back, not made again");
    for mode in [0o644, 0o640, 0o604, 0o620] {
        set_mode(&path, mode);
        let error = read_signing_key(&path).unwrap_err();
        assert!(matches!(error.reason(), KeyFileReason::OpenToOthers(found) if *found == mode), "{error}");
        assert!(error.to_string().contains("chmod 600"));
        assert_eq!(error.exit_kind().code(), 3);
    }
    set_mode(&path, 0o400);
    assert_eq!(read_signing_key(&path).unwrap(), made);
}

#[test]
fn a_key_file_is_never_overwritten_and_leaves_no_temporary() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device.secret");
    create_secret_file(&path, b"first").unwrap();
    assert!(matches!(create_secret_file(&path, b"second").unwrap_err().reason(), KeyFileReason::Exists));
    assert_eq!(read_secret_file(&path).unwrap().as_slice(), b"first");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn secrets_are_read_in_both_encodings_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device.secret");
    let made = read_or_create_secret(&path, &mut SystemRng).unwrap();
    assert_eq!(*read_or_create_secret(&path, &mut SystemRng).unwrap(), *made);
    assert_ne!(*made, [0; 32]);
    let base64 = BASE64.encode(*made);
    let good = [format!("{}\n", hex::encode(*made)), base64.clone(), format!("{base64}\n")];
    let bad = [
        String::new(),
        hex::encode([1; 31]),
        "z".repeat(64),
        BASE64.encode([1; 31]),
        BASE64.encode([1; 33]),
        "=".repeat(44),
    ];
    let put = |text: &str| {
        std::fs::remove_file(&path).unwrap();
        create_secret_file(&path, text.as_bytes()).unwrap();
    };
    for text in good {
        put(&text);
        assert_eq!(*read_secret(&path).unwrap(), *made);
    }
    for text in bad {
        put(&text);
        assert!(matches!(read_secret(&path).unwrap_err().reason(), KeyFileReason::Malformed), "{text}");
    }
}

#[test]
fn folders_large_files_and_other_keys_are_refused_as_keys() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(read_secret_file(folder.path()).unwrap_err().reason(), KeyFileReason::NotAFile));
    let path = folder.path().join("key");
    let bound = usize::try_from(KEY_FILE_BYTES_MAX).unwrap();
    create_secret_file(&path, &vec![b'x'; bound]).unwrap();
    assert_eq!(read_secret_file(&path).unwrap().len(), bound);
    assert!(matches!(read_signing_key(&path).unwrap_err().reason(), KeyFileReason::Malformed));
    std::fs::remove_file(&path).unwrap();
    create_secret_file(&path, &vec![b'x'; bound + 1]).unwrap();
    assert!(matches!(read_secret_file(&path).unwrap_err().reason(), KeyFileReason::TooLarge));
}

#[test]
fn a_data_folder_has_one_user_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/keeper");
    let held = DataFolder::lock(&path).unwrap();
    assert_eq!(held.path().metadata().unwrap().mode() & 0o777, 0o700);
    assert!(matches!(DataFolder::lock(&path).unwrap_err().reason(), KeyFileReason::Locked));
    drop(held);
    assert!(DataFolder::lock(&path).is_ok());
}

#[test]
fn a_data_folder_that_others_can_enter_is_closed_and_left_alone_by_a_look() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    std::fs::create_dir(&path).unwrap();
    let mode = || path.metadata().unwrap().mode() & 0o7777;
    for open in [0o755, 0o750, 0o701, 0o777] {
        set_mode(&path, open);
        assert_eq!(others_may_enter(&path).unwrap(), Some(open));
        drop(DataFolder::lock_as_it_is(&path).unwrap());
        assert_eq!(mode(), open, "a look changes nothing");
        drop(DataFolder::lock(&path).unwrap());
        assert_eq!((mode(), others_may_enter(&path).unwrap()), (0o700, None), "{open:o}");
    }
    assert!(DataFolder::lock_as_it_is(&folder.path().join("absent")).is_err());
}

#[test]
fn a_data_folder_of_somebody_else_that_is_open_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    std::fs::create_dir(&path).unwrap();
    set_mode(&path, 0o755);
    if std::os::unix::fs::chown(&path, Some(rustix::process::geteuid().as_raw() + 1), None).is_err() {
        eprintln!("SKIPPED: only root can give a folder away");
        return;
    }
    let error = DataFolder::lock(&path).unwrap_err();
    assert!(matches!(error.reason(), KeyFileReason::FolderOpenToOthers(0o755)));
    assert_eq!(error.exit_kind(), ExitKind::Config);
    assert!(error.to_string().ends_with(&format!("chmod 700 {}", path.display())), "{error}");
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o755, "and left as it was");
    set_mode(&path, 0o700);
    assert!(DataFolder::lock(&path).is_ok(), "closed by its owner it is good");
}
