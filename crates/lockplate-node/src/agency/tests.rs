use super::*;
use crate::settings as files;

const SAMPLE: &str = include_str!("../../../../docs/samples/agency.toml");

fn settings(text: &str) -> Result<AgencySettings, crate::settings::ConfigError> {
    let file = Path::new("/etc/lockplate/agency.toml");
    AgencySettings::try_from((file, files::parse::<AgencyConfig>(file, text)?))
}

#[test]
fn the_sample_is_good_and_its_values_are_the_defaults() {
    let sample = settings(SAMPLE).unwrap();
    assert_eq!(sample.data(), Path::new("/etc/lockplate/agency"));
    let bare = "data = \"agency\"\n[listen]\naddress = \"127.0.0.1:8443\"\n[recorder]\ncharter = \"c\"\n";
    let config = |text: &str| files::parse::<AgencyConfig>(Path::new("a"), text).unwrap().recorder.unwrap();
    let (sample, bare) = (config(SAMPLE), config(bare));
    let given = RecorderConfig { charter: bare.charter.clone(), lan: None, overlap_seconds: None, ..sample };
    assert_eq!(given, bare);
}

#[test]
fn values_that_do_not_hold_are_refused_by_name() {
    for (from, to, named) in [
        ("late_open_max = 8", "late_open_max = 0", "late_open_max"),
        ("late_open_max = 8", "late_open_max = 65", "late_open_max"),
        ("# live_epochs_per_day_max = 200", "live_epochs_per_day_max = 172801", "live_epochs_per_day_max"),
        ("prekeys_low = 96", "prekeys_low = 193", "prekeys_low"),
        ("lan = \"127.0.0.1:8080\"", "lan = \"0.0.0.0:8080\"", "recorder.lan"),
        ("cells_expected = 4096", "cells_expected = 1048577", "cells_expected"),
        ("escalate_minutes = 10", "escalate_minutes = 30", "alerts.escalate_minutes"),
        ("link = \"https://alerts", "# link = \"https://alerts", "alerts.link"),
        ("link = \"https://alerts", "link = \"http://alerts", "alerts.link"),
        ("https://dispatch.", "http://169.254.169.254/", "alerts.webhook.url"),
        ("allow = [\"10.1.0.0/16\"]\n# true: told", "allow = [\"10.1\"]\n# true: told", "alerts.webhook.allow"),
        ("\"desk@millbrook.example\"", "\"desk\"", "alerts.mail"),
        ("from = \"alpr@", "from = \"@", "alerts.mail.smtp.from"),
        ("topic = \"alpr/alerts\"", "topic = \"alpr/#\"", "alerts.mqtt.topic"),
        (
            "# true: no TLS, and a broker on this machine.\nplain_loopback = false",
            "plain_loopback = true",
            "alerts.mqtt",
        ),
        ("hash = \"5a5a", "hash = \"5a", "alerts.from.hash"),
        ("lists = [\"5c5c", "lists = [\"5c", "alerts.from.lists"),
        ("lists = [\"5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c\"]", "lists = []", "alerts.from"),
        ("lists = [", "lists = [\"5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c\", ", "alerts.from.lists"),
        ("rated_reads_per_second = 150", "rated_reads_per_second = 0", "rated_reads_per_second"),
        ("engine = \"openalpr\"", "engine = \"other\"", "engine"),
        ("[keys]", "[testing]\nstop_after = \"logged\"\n[keys]", "testing"),
    ] {
        assert!(SAMPLE.contains(from));
        if named == "testing" && cfg!(feature = "failpoints") {
            continue;
        }
        let refused = settings(&SAMPLE.replace(from, to)).unwrap_err().to_string();
        assert!(refused.contains(named), "{refused}");
    }
    let bare = "data = \"agency\"\n[listen]\naddress = \"127.0.0.1:8443\"\n[recorder]\ncharter = \"c\"\n[alerts]\n";
    assert!(settings(bare).unwrap_err().to_string().contains("`[desk]`"), "nobody could look");
    let misspelt = settings(&SAMPLE.replace("late_open_max", "late_opne_max")).unwrap_err();
    assert_eq!(misspelt.nearest(), Some("late_open_max"));
}
