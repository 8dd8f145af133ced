use proptest::prelude::*;

use super::*;

#[test]
fn records_are_found_by_text_through_every_growth() {
    let mut packed = Packed::new(3, 0);
    let text = |n: u32| format!("P{n:05}");
    for n in 0..10_000_u32 {
        let put = packed.put(&text(n), &n.to_be_bytes(), 1, |_| Beside::Both).unwrap();
        assert_eq!(put, Put::Added);
    }
    assert_eq!(packed.len(), 10_000);
    for n in 0..10_000_u32 {
        assert_eq!(packed.under(&text(n)).collect::<Vec<_>>(), [n.to_be_bytes()]);
    }
    assert_eq!(packed.under("P10000").count(), 0);
    assert_eq!(packed.under("").count(), 0);
    assert_eq!(packed.records().count(), 10_000);
}

#[test]
fn a_record_stands_beside_replaces_or_yields_and_the_bound_holds() {
    let mut packed = Packed::new(3, 0);
    assert_eq!(packed.put("AB", b"1", 2, |_| Beside::Keep).unwrap(), Put::Added);
    assert_eq!(packed.put("AB", b"2", 2, |_| Beside::Keep).unwrap(), Put::Kept);
    assert_eq!(packed.put("AB", b"3", 2, |_| Beside::Replace).unwrap(), Put::Replaced);
    assert_eq!(packed.put("AB", b"4", 2, |_| Beside::Both).unwrap(), Put::Added);
    assert_eq!(packed.put("AB", b"5", 2, |_| Beside::Both).unwrap(), Put::TooMany);
    assert_eq!((packed.len(), packed.under("AB").collect::<Vec<_>>()), (2, vec![b"3".as_slice(), b"4"]));
    assert!(packed.put("AB", &[0; 70_000], 9, |_| Beside::Both).is_err());
}

#[test]
fn a_record_spans_no_two_chunks() {
    let mut packed = Packed::new(3, 0);
    let payload = vec![7; 60_000];
    for n in 0..40 {
        packed.put(&format!("L{n}"), &payload, 1, |_| Beside::Both).unwrap();
    }
    assert!(packed.chunks.len() > 1 && packed.chunks.iter().all(|chunk| chunk.capacity() == CHUNK_BYTES));
    assert!((0..40).all(|n| packed.under(&format!("L{n}")).all(|found| found == payload)));
}

proptest! {
    #[test]
    fn numbers_and_texts_come_back(number: u64, text in ".{0,40}") {
        let mut out = vec![];
        put_number(&mut out, number);
        put_text(&mut out, &text);
        let mut taker = Taker(&out);
        prop_assert_eq!((taker.number(), taker.text(), taker.byte()), (Some(number), Some(text.as_str()), None));
    }

    #[test]
    fn taking_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
        let mut taker = Taker(&bytes);
        while taker.text().is_some() {}
        prop_assert!(taker.0.len() <= bytes.len());
    }
}
