//! What to enter at an engine so that its reads come to its source: a piece to paste where the engine has a file or an API for it,
//! else the words of its pages. Facts about other people's products; nothing here is read by this program.

use anyhow::Result;
use lockplate_intake::SourceKind;
use lockplate_node::intake::SourceTable;
use reqwest::Url;
use serde_json::{Value, json};

use crate::exit::Ended;
use crate::screen::Screen;

/// In the place of a token that only its hash is known of.
const TOKEN: &str = "TOKEN";

/// What a person enters at an engine, by the way that its source comes in.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Where it posts to; none where it is fetched.
    address: Option<Url>,
    /// Words before what is pasted.
    notes: Vec<String>,
    snippet: String,
}

impl Setup {
    /// For a source of the configuration; `base` is what stands before its path.
    pub(crate) fn of(table: &SourceTable, kind: SourceKind, base: &Url, key: &str) -> Result<Self> {
        if let Some(pull) = &table.pull {
            let notes = vec![
                format!("Nothing is pushed: the agency asks {} as {}, with Digest.", pull.url, pull.user),
                format!("At the camera, make this account with the password of {}.", pull.password_file.display()),
            ];
            return Ok(Self { address: None, notes, snippet: asked(kind).to_owned() });
        }
        if let Some(mqtt) = &table.mqtt {
            let notes = vec![format!("The agency reads {} at {}.", mqtt.topics.join(" and "), mqtt.broker)];
            let snippet =
                "# Frigate's config.yml\nmqtt:\n  enabled: true\n  host: THE SAME BROKER\n  qos: 1".to_owned();
            return Ok(Self { address: None, notes, snippet });
        }
        // The paths of ITSAPI have no place for a token.
        let user = table.user.as_ref().filter(|_| table.token_sha256.is_none() || kind == SourceKind::Dahua);
        let (Some(user), Some(file)) = (user, &table.password_file) else {
            let mut setup = Self::by_token(kind, base, &table.name, TOKEN, key)?;
            setup.notes = vec![
                "For TOKEN put the token that `agency source new` showed; the configuration holds only its hash."
                    .to_owned(),
            ];
            return Ok(setup);
        };
        let schemes = if table.lan { "Digest" } else { "Digest or Basic" };
        let notes = vec![format!("It signs in with {schemes} as {user}, with the password of {}.", file.display())];
        if kind == SourceKind::Dahua {
            let address = below(base, "/NotificationInfo/TollgateInfo")?;
            let (host, port) = (address.host_str().unwrap_or_default(), address.port_or_known_default().unwrap_or(443));
            let (scheme, tls) = (address.scheme(), if address.scheme() == "https" { "on" } else { "off" });
            let snippet = format!(
                "# Network > Platform access > ITSAPI: server {host}, port {port}, HTTPS {tls}, user {user}\n\
                 # The camera sends to {scheme}://{host}:{port}/NotificationInfo/ TollgateInfo, KeepAlive and DeviceInfo by itself."
            );
            return Ok(Self { address: Some(address), notes, snippet });
        }
        let address = below(base, &format!("/in/v1/{}", table.name))?;
        let snippet = signed(kind, user, &snippet(kind, &address, key));
        Ok(Self { address: Some(address), notes, snippet })
    }

    /// For a source with a token in its address.
    pub(crate) fn by_token(kind: SourceKind, base: &Url, name: &str, token: &str, key: &str) -> Result<Self> {
        let address = below(base, &format!("/in/v1/{name}/{token}"))?;
        let notes = vec!["The token in this address is shown only once; the configuration holds its hash.".to_owned()];
        let snippet = snippet(kind, &address, key);
        Ok(Self { address: Some(address), notes, snippet })
    }

    /// What is printed under `--json`.
    pub(crate) fn document(&self) -> Value {
        json!({ "address": self.address.as_ref().map(Url::as_str), "notes": self.notes, "snippet": self.snippet })
    }

    /// Prints it.
    pub(crate) fn show(&self, screen: &Screen) {
        screen.line("");
        if let Some(address) = &self.address {
            screen.line(&format!("# Post to: {address}"));
        }
        for note in &self.notes {
            screen.line(&format!("# {note}"));
        }
        screen.line(&self.snippet);
    }
}

fn below(base: &Url, path: &str) -> Result<Url> {
    let text = format!("{}{path}", base.as_str().trim_end_matches('/'));
    Ok(Url::parse(&text).map_err(|_charter| Ended::config("the charter's address of the archive is none"))?)
}

/// What the account of a camera that is asked must be allowed.
#[expect(clippy::wildcard_enum_match_arm, reason = "four kinds are asked; the others come by themselves")]
const fn asked(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::DahuaEvents => "# The account may read events: cgi-bin/eventManager.cgi, TrafficJunction",
        SourceKind::Hikvision => "# The account may use ISAPI: /ISAPI/Traffic/channels/1/vehicledetect/plates",
        SourceKind::Axis => "# The account may read the log of License Plate Verifier: /local/fflprapp/search.cgi",
        SourceKind::Milesight => "# The account is an operator: cgi-bin/operator/operator.cgi, get.lpr.lastdata",
        _ => "# This engine cannot be asked",
    }
}

/// The piece of a source that signs in.
fn signed(kind: SourceKind, user: &str, snippet: &str) -> String {
    let plain_method = "<httpAuthenticationMethod>none</httpAuthenticationMethod>";
    let digest_method = format!(
        "<httpAuthenticationMethod>MD5digest</httpAuthenticationMethod>\n<userName>{user}</userName><password>PASSWORD</password>"
    );
    let snippet =
        snippet.replace(plain_method, &digest_method).replace("curl -k ", &format!("curl -k --digest -u '{user}' "));
    if matches!(kind, SourceKind::Own | SourceKind::AlprLines | SourceKind::Hikvision | SourceKind::Frigate) {
        return snippet;
    }
    let hint =
        "# Where the engine has no field for a name and a password, give the source a token (`agency source new`).";
    format!("{snippet}\n{hint}")
}

/// For the camera that the engine calls `key`; `address` is where it posts to.
fn snippet(kind: SourceKind, address: &Url, key: &str) -> String {
    let (host, path) = (address.host_str().unwrap_or_default(), address.path());
    let port = address.port_or_known_default().unwrap_or(443);
    let scheme = address.scheme().to_ascii_uppercase();
    match kind {
        SourceKind::Own => format!(
            "curl -k -H 'content-type: application/x-ndjson' --data-binary @reads.ndjson {address}\n\
             # a line: {{\"plate\":\"..\",\"camera\":\"{key}\",\"captured_at\":\"2026-11-23T21:09:07Z\"}}"
        ),
        SourceKind::Alprd | SourceKind::Rekor => {
            format!("# /etc/openalpr/alprd.conf, then restart the agent\nupload_data = 1\nupload_address = {address}")
        }
        SourceKind::AlprLines => {
            format!("alpr -j -c us FILE | curl -k -H 'content-type: application/x-ndjson' --data-binary @- {address}")
        }
        SourceKind::PlateRecognizer => format!(
            "# Stream's config.ini; the name of the camera's section is its key\n[cameras]\n  [[{key}]]\n    \
             webhook_targets = lockplate\n[webhooks]\n  [[lockplate]]\n    url = {address}\n    image = no"
        ),
        SourceKind::Hikvision => format!(
            "# PUT to http://CAMERA/ISAPI/Event/notification/httpHosts/1 (digest), or Network > Advanced > HTTP Listening\n\
             <HttpHostNotification><id>1</id><url>{path}</url><protocolType>{scheme}</protocolType>\n\
             <parameterFormatType>XML</parameterFormatType><addressingFormatType>hostname</addressingFormatType>\n\
             <hostName>{host}</hostName><portNo>{port}</portNo>\n\
             <httpAuthenticationMethod>none</httpAuthenticationMethod></HttpHostNotification>"
        ),
        SourceKind::Dahua => format!(
            "# ITSAPI knows fixed paths only. The agency serves them to a source that signs in (`user`, `password_file`). With a token alone,\n\
             # in the proxy before the agency (nginx), for the address that the camera is given:\n\
             location /NotificationInfo/ {{ proxy_pass {address}?; }}"
        ),
        SourceKind::DahuaEvents => format!(
            "# The camera is better asked: `pull` of the source. Else a bridge reads\n\
             # http://CAMERA/cgi-bin/eventManager.cgi?action=attach&codes=[TrafficJunction] (digest) and posts each part to\n{address}"
        ),
        SourceKind::Frigate => format!(
            "mosquitto_sub -h BROKER -t frigate/events -t frigate/tracked_object_update |\n  while read -r message; do\n    \
             printf %s \"$message\" | curl -k -H 'content-type: application/json' --data-binary @- {address}\n  done"
        ),
        SourceKind::Axis => {
            format!(
                "# License Plate Verifier > Integration > Push events: protocol {scheme} POST, device id kept\n{address}"
            )
        }
        SourceKind::Milesight => format!("# LPR > Settings > LPR message post: HTTP, JSON\n{address}"),
        SourceKind::Tattile => format!("# Event actions > HTTP POST: XML\n{address}"),
        SourceKind::UniFi => {
            format!("# Protect > Alarm Manager > new alarm: license plate; action Webhook, custom, POST\n{address}")
        }
        SourceKind::Genetec => format!("# AutoVu > ALPR camera > Extensions > HTTP: JSON, without images\n{address}"),
        SourceKind::BlueIris => format!(
            "# Alerts > Actions > Web request or MQTT: POST, Content-Type application/json, post text as below\n{address}\n\
             {{\"camera\":\"&CAM\",\"timestamp\":\"%Y-%m-%dT%H:%M:%S\",\"plate_number\":\"&PLATE\",\"ai_dump\":&JSON}}"
        ),
        SourceKind::Verkada => {
            format!("# Admin > API & Integrations > Webhooks: event License Plate of Interest / LPR\n{address}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("https://alpr.example:8443").unwrap()
    }

    /// What is shown for a source of `engine` with these fields in its section.
    fn shown(engine: &str, fields: Value) -> (Option<String>, String) {
        let mut table = json!({ "name": "gate", "engine": engine, "zone": "America/New_York", "camera": "c" });
        table.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let table: SourceTable = serde_json::from_value(table).unwrap();
        let kind = table.check(1).unwrap().config.kind;
        let base = if table.lan { Url::parse("http://10.1.0.2:8080").unwrap() } else { base() };
        let setup = Setup::of(&table, kind, &base, "cam-1").unwrap();
        (setup.address.map(String::from), format!("{}\n{}", setup.notes.join("\n"), setup.snippet))
    }

    #[test]
    fn every_engine_is_told_where_to_post() {
        for &kind in SourceKind::ALL {
            let setup = Setup::by_token(kind, &base(), "gate", TOKEN, "cam-1").unwrap();
            let (address, text) = (setup.address.unwrap(), setup.snippet);
            let split = ["/in/v1/gate/TOKEN<", ">alpr.example<", ">8443<"].iter().all(|part| text.contains(part));
            assert!(text.contains(address.as_str()) || split, "{kind:?}: {text}");
        }
    }

    #[test]
    fn each_way_in_is_told_what_works_for_it() {
        let hash = "ab".repeat(32);
        let (user, file) = ("south", "south.password");
        let pull =
            || json!({ "pull": { "url": "http://10.1.0.7", "user": "lockplate", "password_file": "west.password" } });
        let (address, text) = shown("openalpr", json!({ "token_sha256": hash }));
        assert_eq!(address.as_deref(), Some("https://alpr.example:8443/in/v1/gate/TOKEN"));
        assert!(text.contains("For TOKEN"), "{text}");
        let (address, _) = shown("openalpr", json!({ "token_sha256": hash, "lan": true }));
        assert_eq!(address.as_deref(), Some("http://10.1.0.2:8080/in/v1/gate/TOKEN"));
        // Signing in: no token anywhere.
        let mut no_token: Vec<_> =
            ["axis", "dahua-events", "hikvision", "milesight"].map(|engine| shown(engine, pull())).into();
        for (address, text) in &no_token {
            assert!(address.is_none() && text.contains("asks http://10.1.0.7 as lockplate"), "{text}");
        }
        let (address, text) = shown("dahua", json!({ "user": user, "password_file": file, "lan": true }));
        assert_eq!(address.as_deref(), Some("http://10.1.0.2:8080/NotificationInfo/TollgateInfo"));
        assert!(
            text.contains("server 10.1.0.2, port 8080, HTTPS off, user south") && text.contains("with Digest as"),
            "{text}"
        );
        no_token.push((address, text));
        no_token.push(shown("dahua", json!({ "user": user, "password_file": file, "token_sha256": hash })));
        let (address, text) = shown("hikvision", json!({ "user": user, "password_file": file }));
        assert_eq!(address.as_deref(), Some("https://alpr.example:8443/in/v1/gate"));
        assert!(
            text.contains("MD5digest") && text.contains("<userName>south<") && text.contains("Digest or Basic as"),
            "{text}"
        );
        no_token.push((address, text));
        let (address, text) = shown("own", json!({ "user": user, "password_file": file }));
        assert!(text.contains("curl -k --digest -u 'south' "), "{text}");
        no_token.push((address, text));
        let (address, text) = shown("frigate", json!({ "mqtt": { "broker": "mqtt://10.1.0.5" } }));
        assert!(address.is_none() && text.contains("frigate/events") && text.contains("mqtt://10.1.0.5"), "{text}");
        no_token.push((address, text));
        for (address, text) in no_token {
            let all = format!("{address:?} {text}");
            assert!(!all.contains("TOKEN") && !all.contains("nginx"), "{all}");
        }
    }
}
