use super::*;

#[test]
fn partitions_outside_the_alphabet_are_refused_with_the_reason() {
    for (partition, want) in [
        ("", "it is empty"),
        ("a/b", "it has a character that is not allowed"),
        ("LOCK", "it is the name of the lock file"),
        ("lock", "it is the name of the lock file"),
        ("..", "it has a character that is not allowed"),
        ("é", "it has a character that is not allowed"),
        (&"x".repeat(129), "it is too long"),
    ] {
        match check_partition(partition) {
            Err(Error::InvalidPartition { reason, .. }) => assert_eq!(reason, want, "{partition:?}"),
            other => panic!("{partition:?}: {other:?}"),
        }
    }
    check_partition(&"x".repeat(128)).unwrap();
    check_partition("Az09_-").unwrap();
}

#[test]
fn the_longest_name_still_fits_a_file_name() {
    let name = vec![0xff; MAX_NAME_BYTES];
    let file = file_name(&name, Salt(7));
    assert!(file.len() <= 255, "{}", file.len());
    assert_eq!(parse_file_name(&file), Some((name, Salt(7))));
    assert!(matches!(check_name(&[]), Err(Error::InvalidName { len: 0 })));
    assert!(
        matches!(check_name(&[0; MAX_NAME_BYTES + 1]), Err(Error::InvalidName { len }) if len == MAX_NAME_BYTES + 1)
    );
}

#[test]
fn only_the_exact_spelling_is_ours() {
    assert_eq!(parse_file_name("0a.0000002a"), Some((vec![10], Salt(42))));
    for foreign in [
        "",
        ".0000002a",
        "0a",
        "0a.",
        "0a.2a",
        "0A.0000002a",
        "0a.0000002A",
        "0a0.0000002a",
        "0a.0000002a.tmp",
        "+a.0000002a",
        "0a.+000002a",
        "zz.0000002a",
        "LOCK",
    ] {
        assert_eq!(parse_file_name(foreign), None, "{foreign:?}");
    }
}

#[test]
fn the_salt_is_not_shown() {
    assert_eq!(format!("{:?}", Salt(0xdead_beef)), "Salt(..)");
    let id = BlobId::new(&"root".into(), "p", &[1, 2]).unwrap();
    assert_eq!(format!("{id}"), "root/p/0102");
}
