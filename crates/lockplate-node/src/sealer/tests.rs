use super::wire::BadFrame;
use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn frames_are_read_totally(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        drop(Ask::from_frame(&bytes));
        drop(Tell::from_frame(&bytes));
    }
}

#[test]
fn a_frame_that_is_too_long_or_empty_is_refused() {
    assert!(wire::frame_length([0, 0x10, 0, 0]).is_ok());
    assert_eq!(wire::frame_length([0, 0x10, 0, 1]), Err(BadFrame));
    assert_eq!(wire::frame_length([0; 4]), Err(BadFrame));
    assert!(Ask::Seal(vec![Zeroizing::new(vec![0; 195]); 4_097]).to_frame().is_err());
}
