use super::*;

fn sample() -> KeeperConfig {
    settings::parse(Path::new("keeper.toml"), include_str!("../../../../docs/samples/keeper.toml")).unwrap()
}

#[test]
fn the_sample_is_read_and_its_values_hold() {
    let settings = KeeperSettings::try_from((Path::new("/etc/lockplate/keeper.toml"), sample())).unwrap();
    assert_eq!(settings.place, KeeperIndex(2));
    assert_eq!(settings.data, Path::new("/var/lib/lockplate/keeper"));
    assert_eq!(settings.charter, Path::new("/etc/lockplate/charter.auth"));
    assert_eq!(settings.keys.signing, Path::new("/var/lib/lockplate/keeper/keys/signing.pem"));
    assert_eq!(settings.admin_socket(), Path::new("/var/lib/lockplate/keeper/admin.sock"));
    assert!(settings.declarations.contains_key(&DeclarationName::Nj20264));
}

#[test]
fn the_sample_shows_the_defaults() {
    let sample = sample();
    let least = "data = 'd'\ncharter = 'c'\nplace = 2\n[listen]\naddress = '127.0.0.1:1'";
    let defaults: KeeperConfig = settings::parse(Path::new("keeper.toml"), least).unwrap();
    assert_eq!(
        (&sample.keys, &sample.login, &sample.prekeys, &sample.destruction),
        (&defaults.keys, &defaults.login, &defaults.prekeys, &defaults.destruction)
    );
}

#[test]
fn values_out_of_range_and_unknown_keys_are_refused_by_name() {
    type Change = fn(&mut KeeperConfig);
    let cases: [(Change, &str); 5] = [
        (|config| config.place = 0, "`place`"),
        (|config| config.prekeys.stock_days = 0, "`prekeys.stock_days`"),
        (|config| config.destruction.every_seconds = 0, "`destruction.every_seconds`"),
        (|config| config.login.factors.clear(), "`login.factors`"),
        (
            |config| {
                config.declarations.insert("CT-1".to_owned(), PathBuf::new());
            },
            "`declarations.CT-1`",
        ),
    ];
    for (change, named) in cases {
        let mut config = sample();
        change(&mut config);
        let error = KeeperSettings::try_from((Path::new("keeper.toml"), config)).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
    let misspelt = "data = 'd'\ncharter = 'c'\nplaec = 2\n[listen]\naddress = '127.0.0.1:1'";
    let error = settings::parse::<KeeperConfig>(Path::new("keeper.toml"), misspelt).unwrap_err();
    assert_eq!(error.nearest(), Some("place"));
}
