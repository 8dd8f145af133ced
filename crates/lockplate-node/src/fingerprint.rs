//! How people compare a paper with its signed file: eight words, or sixteen digits, of the 32 bytes by which requests and entries name
//! it. An authenticator does not show what it signs, so the same words stand on the page, on the terminal and on the paper itself
//! (LPv1 section 11.2). Nothing is verified by them: programs compare all 32 bytes.

/// Words of a fingerprint, 11 bits each.
pub const WORDS: usize = 8;

/// The first 88 bits, eleven at a time, first bit first, each as a word of the English list of BIP 39; with spaces between them.
#[must_use]
pub fn words(digest: &[u8; 32]) -> String {
    let list = bip39::Language::English.word_list();
    let bits = digest.iter().take(WORDS * 11 / 8).fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
    let word = |at: usize| list.get(usize::try_from((bits >> (at * 11)) & 0x7ff).ok()?).copied();
    (0..WORDS).rev().filter_map(word).collect::<Vec<_>>().join(" ")
}

/// The first 64 bits as sixteen hexadecimal digits.
#[must_use]
pub fn digits(digest: &[u8; 32]) -> String {
    digest.first_chunk::<8>().map(hex::encode).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ends_of_the_list() {
        assert_eq!(words(&[0; 32]), ["abandon"; 8].join(" "));
        assert_eq!(words(&[0xff; 32]), ["zoo"; 8].join(" "));
        let mut one = [0; 32];
        one[1] = 0b0010_0000;
        assert_eq!(
            words(&one),
            format!("ability {}", ["abandon"; 7].join(" ")),
            "the eleventh bit ends the first word"
        );
        one[0] = 0xa5;
        assert_eq!(digits(&one), "a520000000000000");
    }

    proptest! {
        #[test]
        fn the_words_are_those_with_which_bip_39_begins(digest in any::<[u8; 32]>()) {
            let theirs = bip39::Mnemonic::from_entropy(&digest).unwrap();
            prop_assert_eq!(words(&digest), theirs.words().take(WORDS).collect::<Vec<_>>().join(" "));
        }
    }
}
