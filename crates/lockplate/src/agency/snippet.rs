//! What to enter at an engine so that it posts to its source: a piece to paste where the engine has a file or an API for it,
//! else the words of its pages. Facts about other people's products; nothing here is read by this program.

use lockplate_intake::SourceKind;
use reqwest::Url;

/// For the camera that the engine calls `key`; `address` is where it posts to.
pub(crate) fn snippet(kind: SourceKind, address: &Url, key: &str) -> String {
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
            "# ITSAPI knows fixed paths only. In the proxy before the agency (nginx), for the address that the camera is given:\n\
             location /NotificationInfo/ {{ proxy_pass {address}?; }}"
        ),
        SourceKind::DahuaEvents => format!(
            "# The camera is asked, each event is posted on. A bridge reads\n\
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

    #[test]
    fn every_engine_is_told_where_to_post() {
        let address = Url::parse("https://alpr.example:8443/in/v1/gate/TOKEN").unwrap();
        for &kind in SourceKind::ALL {
            let text = snippet(kind, &address, "cam-1");
            let split = ["/in/v1/gate/TOKEN<", ">alpr.example<", ">8443<"].iter().all(|part| text.contains(part));
            assert!(text.contains(address.as_str()) || split, "{kind:?}: {text}");
        }
    }
}
