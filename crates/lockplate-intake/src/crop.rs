//! The picture of the plate: base64 in, JPEG or PNG bytes out, never decoded as an image.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::limits::CROP_BYTES_MAX;
use crate::source::Ignored;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Decodes a crop, with or without `data:` prefix and line breaks. Too long, not base64, or neither JPEG nor PNG: dropped
/// and counted; the read is kept.
#[must_use]
pub fn crop(text: Option<&str>, ignored: &mut Ignored) -> Option<Vec<u8>> {
    let bytes = text.map(decode)?;
    if bytes.is_none() {
        ignored.crops = ignored.crops.saturating_add(1);
    }
    bytes
}

/// A crop that came as bytes: a part of a multipart payload, or a file in one. An empty one is none.
#[must_use]
pub fn crop_bytes(bytes: Option<&[u8]>, ignored: &mut Ignored) -> Option<Vec<u8>> {
    let bytes = bytes.filter(|bytes| !bytes.is_empty())?;
    if is_crop(bytes) {
        return Some(bytes.to_vec());
    }
    ignored.crops = ignored.crops.saturating_add(1);
    None
}

fn is_crop(bytes: &[u8]) -> bool {
    let is_image = bytes.starts_with(&[0xff, 0xd8, 0xff]) || bytes.starts_with(b"\x89PNG\r\n\x1a\n");
    is_image && bytes.len() <= CROP_BYTES_MAX
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let encoded = match text.strip_prefix("data:") {
        Some(rest) => rest.split_once(',')?.1,
        None => text,
    };
    let compact: String = encoded.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    if compact.len() / 4 > CROP_BYTES_MAX.div_ceil(3) {
        return None;
    }
    LENIENT.decode(compact).ok().filter(|bytes| is_crop(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg(len: usize) -> String {
        let mut bytes = vec![0; len];
        bytes[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
        LENIENT.encode(bytes)
    }

    #[test]
    fn forms_of_base64_and_the_bound() {
        let mut ignored = Ignored::default();
        let plain = jpeg(12);
        for form in [plain.clone(), format!("data:image/jpeg;base64,{plain}"), plain.replacen("/9j/", "/9j/\r\n", 1)] {
            assert_eq!(crop(Some(&form), &mut ignored).unwrap().len(), 12);
        }
        assert_eq!(crop(Some(&jpeg(CROP_BYTES_MAX)), &mut ignored).unwrap().len(), CROP_BYTES_MAX);
        assert_eq!(ignored.crops, 0);
        for bad in [jpeg(CROP_BYTES_MAX + 1), "not base64!".into(), LENIENT.encode(b"GIF89a"), "data:x".into()] {
            assert_eq!(crop(Some(&bad), &mut ignored), None);
        }
        assert_eq!((ignored.crops, crop(None, &mut ignored)), (4, None));
    }

    #[test]
    fn a_part_of_its_own() {
        let mut ignored = Ignored::default();
        let mut bytes = LENIENT.decode(jpeg(CROP_BYTES_MAX)).unwrap();
        assert_eq!(crop_bytes(Some(&bytes), &mut ignored).unwrap().len(), CROP_BYTES_MAX);
        assert_eq!((crop_bytes(Some(b""), &mut ignored), ignored.crops), (None, 0));
        bytes.push(0);
        assert_eq!((crop_bytes(Some(&bytes), &mut ignored), crop_bytes(Some(b"GIF89a"), &mut ignored)), (None, None));
        assert_eq!(ignored.crops, 2);
    }
}
