//! What a payload that failed looked like, for a person who connects a camera: names, types and lengths, and values with
//! every digit as `9` and every letter as `A`. It must never show a value, and the output is bounded whatever the payload is.
//! Which payloads are described, and for how long that is kept, is the shell's.

#![deny(clippy::arithmetic_side_effects)]

use serde_json::Value;

use crate::json;
use crate::limits::{SHAPE_LINE_CHARS_MAX, SHAPE_LINES_MAX};
use crate::source::Payload;
use crate::xml::{self, Element};

/// Characters of a masked value; a longer one has its length only.
const MASK_CHARS_MAX: usize = 40;

/// Elements of an array, and equal elements of XML, that are described; the others are only counted.
const LIKE_MAX: usize = 2;

/// The shape of a payload: at most [`SHAPE_LINES_MAX`] lines of [`SHAPE_LINE_CHARS_MAX`] characters.
#[must_use]
pub fn shape_of(payload: &Payload<'_>) -> Vec<String> {
    let mut shape = Shape::default();
    shape.line("content-type", &name(payload.content_type.split(';').next().unwrap_or_default()));
    if payload.parts.is_empty() {
        shape.bytes("", payload.body);
    }
    for part in payload.parts {
        shape.bytes(&format!("part {}", name(part.name)), part.body);
    }
    shape.lines
}

#[derive(Default)]
struct Shape {
    lines: Vec<String>,
}

impl Shape {
    fn line(&mut self, path: &str, says: &str) {
        match self.lines.len() {
            SHAPE_LINES_MAX.. => {}
            // The last one there is room for.
            count if count.saturating_add(1) == SHAPE_LINES_MAX => self.lines.push("..".to_owned()),
            _ => self.lines.push(format!("{path}: {says}").chars().take(SHAPE_LINE_CHARS_MAX).collect()),
        }
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= SHAPE_LINES_MAX
    }

    /// By what it looks like, not by what it says it is: one of the two may be the fault.
    fn bytes(&mut self, path: &str, bytes: &[u8]) {
        let Ok(text) = core::str::from_utf8(bytes) else {
            return self.line(path, &format!("binary({})", bytes.len()));
        };
        let first = text.lines().next().unwrap_or_default();
        if let Ok(value) = json::parse(bytes).or_else(|_many| json::parse(first.as_bytes())) {
            self.json(path, &value);
        } else if let Some(root) = Some(text).filter(|_| xml::begins_like_xml(bytes)).and_then(|t| xml::parse(t).ok()) {
            self.xml(&format!("{path}/{}", name(root.name())), &root);
        } else if text.contains('=') && !text.trim_start().starts_with(['<', '{', '[']) {
            for (key, value) in text.split(['&', '\n']).filter_map(|pair| pair.split_once('=')) {
                if self.is_full() {
                    return;
                }
                self.line(&format!("{path}{}", name(key.trim())), &text_of(value.trim()));
            }
        } else {
            self.line(path, &text_of(text));
        }
    }

    fn json(&mut self, path: &str, value: &Value) {
        if self.is_full() {
            return;
        }
        match value {
            Value::Null => self.line(path, "null"),
            Value::Bool(_) => self.line(path, "true or false"),
            Value::Number(number) => self.line(path, &format!("number {}", masked(&number.to_string()))),
            Value::String(text) => self.line(path, &text_of(text)),
            Value::Array(list) => {
                self.line(path, &format!("array({})", list.len()));
                for (at, inner) in list.iter().take(LIKE_MAX).enumerate() {
                    self.json(&format!("{path}/{at}"), inner);
                }
            }
            Value::Object(map) => {
                self.line(path, &format!("object({})", map.len()));
                // In the order of the alphabet: that of the payload is kept or not as the library was built.
                let mut keys: Vec<_> = map.iter().collect();
                keys.sort_unstable_by_key(|(key, _)| *key);
                for (key, inner) in keys {
                    if self.is_full() {
                        return;
                    }
                    self.json(&format!("{path}/{}", name(key)), inner);
                }
            }
        }
    }

    fn xml(&mut self, path: &str, element: &Element<'_>) {
        if self.is_full() {
            return;
        }
        let children = element.children().count();
        if children == 0 {
            return self.line(path, &element.as_text().map_or_else(|| "empty".to_owned(), text_of));
        }
        self.line(path, &format!("element({children})"));
        let (mut before, mut alike) = ("", 0_usize);
        for child in element.children() {
            alike = if child.name() == before { alike.saturating_add(1) } else { 0 };
            before = child.name();
            if alike < LIKE_MAX {
                self.xml(&format!("{path}/{}", name(child.name())), child);
            }
        }
    }
}

/// A name: of a key, a tag, a part. Words stay, numbers are masked; a word with a digit in it could be a plate.
fn name(text: &str) -> String {
    let mut out = String::new();
    let cut: String = text.chars().take(MASK_CHARS_MAX).collect();
    for word in cut.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let is_word = word.is_ascii() && !word.bytes().any(|byte| byte.is_ascii_digit());
        out.push_str(&if is_word { word.to_owned() } else { masked(word) });
    }
    out.retain(|c| !c.is_control());
    out
}

fn text_of(text: &str) -> String {
    let count = text.chars().count();
    if count > MASK_CHARS_MAX { format!("text({count})") } else { format!("text({count}) {}", masked(text)) }
}

/// Digits as `9`, letters as `A`; what else there is in ASCII stays, because it tells one form of a time from another.
fn masked(text: &str) -> String {
    let mask = |c: char| match c {
        _ if c.is_numeric() => '9',
        _ if c.is_alphabetic() => 'A',
        ' '..='~' => c,
        _ => '?',
    };
    text.chars().map(mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Part;
    use proptest::prelude::*;

    fn of(content_type: &str, body: &str) -> Vec<String> {
        shape_of(&Payload { content_type, body: body.as_bytes(), ..Payload::default() })
    }

    #[test]
    fn json_has_its_keys_types_and_lengths() {
        let shape = of(
            "application/json; charset=\"Jane\"",
            r#"{"plate_0":"XK-41 207","conf":91.5,"at":"2026-03-20T05:46:40Z","ok":true,"none":null,"XK41207":"蓝A8",
            "list":[{"b":1},{"b":2},{"b":3}],"image":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
        );
        let expected = [
            "content-type: application/json",
            ": object(8)",
            "/AA99999: text(3) AA9",
            "/at: text(20) 9999-99-99A99:99:99A",
            "/conf: number 99.9",
            "/image: text(54)",
            "/list: array(3)",
            "/list/0: object(1)",
            "/list/0/b: number 9",
            "/list/1: object(1)",
            "/list/1/b: number 9",
            "/none: null",
            "/ok: true or false",
            "/plate_9: text(9) AA-99 999",
        ];
        assert_eq!(shape, expected);
    }

    #[test]
    fn xml_forms_lines_parts_and_what_is_none_of_them() {
        let shape = of("text/xml", "<a><b x=\"XK41207\">XK41207</b><c/><c/><c/><c><d>1</d></c></a>");
        assert_eq!(shape[1..], ["/a: element(5)", "/a/b: text(7) AA99999", "/a/c: empty", "/a/c: empty"]);
        assert_eq!(of("", "plate=XK41207&time=05:46")[1..], ["plate: text(7) AA99999", "time: text(5) 99:99"]);
        assert_eq!(of("", "Events[0].Plate=XK1\r\n")[1..], ["Events[9].Plate: text(3) AA9"]);
        assert_eq!(of("", "{\"plate\":\"XK1")[1..], [": text(13) {\"AAAAA\":\"AA9"]);
        let ndjson = of("application/x-ndjson", "{\"plate\":\"XK1\"}\n{\"plate\":\"XK2\"}\n");
        assert_eq!(ndjson[2], "/plate: text(3) AA9");
        let parts = [
            Part { name: "event", content_type: None, body: b"{\"a\":1}" },
            Part { name: "XK41207", content_type: None, body: &[0xff, 0xd8] },
        ];
        let shape = shape_of(&Payload { parts: &parts, ..Payload::default() });
        assert_eq!(shape[1..], ["part event: object(1)", "part event/a: number 9", "part AA99999: binary(2)"]);
    }

    #[test]
    fn the_output_is_bounded() {
        let many: String = (0..5_000).map(|at| format!("\"k{at}\":[[[{at}]]],")).collect();
        let long = format!("{{\"{}\":1}}", "k".repeat(60_000));
        for body in [format!("{{{many}\"z\":1}}"), long, "a=b&".repeat(100_000), "[".repeat(60) + &"]".repeat(60)] {
            let shape = of(&"x".repeat(10_000), &body);
            assert!(shape.len() <= SHAPE_LINES_MAX);
            assert!(shape.iter().all(|line| line.chars().count() <= SHAPE_LINE_CHARS_MAX));
        }
    }

    proptest! {
        #[test]
        fn no_value_is_shown(plate in "[B-Z]{3}[0-8]{3}", head in "[a-z<{&=\"\\[]{0,6}", tail in "[a-z>}&=\"\\]]{0,6}") {
            for body in [
                format!("{head}{plate}{tail}"),
                format!("{{\"p\":\"{plate}\",\"{plate}\":1}}"),
                format!("<p><q>{plate}</q><{plate}/></p>"),
                format!("p={plate}&{plate}=1"),
            ] {
                prop_assert!(!of("", &body).concat().contains(&plate));
            }
        }
    }
}
