use super::*;

#[test]
fn only_powers_of_two_within_the_limits() {
    for bad in [0, 1, 32, 63, 65, 100, 4095, 65_537, 131_072, u32::MAX] {
        let error = Geometry::new(bad).unwrap_err();
        assert!(matches!(error, Error::InvalidPageSize { page_bytes } if page_bytes == bad), "{error:?}");
    }
    for shift in 6..=16 {
        let geometry = Geometry::new(1 << shift).unwrap();
        assert_eq!(geometry.data_bytes() + 24, 1 << shift);
    }
}

#[test]
fn every_byte_has_one_place() {
    let geometry = Geometry::new(64).unwrap();
    let mut at = 0;
    for page in 0..5 {
        assert_eq!((geometry.page_start(page), geometry.blob_offset(page)), (at, page * 64));
        for offset in 0..40 {
            assert_eq!(geometry.place(at), Place { page, offset });
            assert_eq!((geometry.full_pages(at), geometry.pages(at)), (page, page + u64::from(offset > 0)));
            at += 1;
        }
    }
    assert_eq!(geometry.blob_len(41), 128);
}

#[test]
fn the_far_end_does_not_overflow() {
    let geometry = Geometry::new(64).unwrap();
    let last = geometry.place(u64::MAX);
    assert_eq!(last.page, u64::MAX / 40);
    assert_eq!(geometry.blob_offset(u64::MAX), u64::MAX);
    assert_eq!(geometry.page_start(u64::MAX), u64::MAX);
    assert_eq!(geometry.blob_len(u64::MAX), u64::MAX);
}
