use super::*;

#[test]
fn half_of_the_process_limit_and_never_more_than_4096() {
    let cases = [(Some(64), 32), (Some(1024), 512), (Some(1 << 20), 4096), (None, 4096), (Some(u64::MAX), 4096)];
    for (soft_limit, wanted) in cases {
        assert_eq!(default_max_open_files(soft_limit), wanted, "{soft_limit:?}");
    }
    // A limit that leaves nothing still leaves one: otherwise no blob could ever be opened.
    assert_eq!([Some(0), Some(1)].map(default_max_open_files), [1, 1]);
    assert_eq!(Builder::new("x".into()).max_open_files(0).max_open_files, 1);
}

#[test]
fn the_options_are_what_was_set() {
    let options = Builder::new("here".into())
        .read_only(true)
        .io(Io::Inline)
        .max_open_files(7)
        .bulk_sync(BulkSync::FileSystem { threshold: 9 });
    let shown = r#"Builder { root: "here", read_only: true, io: Inline, max_open_files: 7, bulk_sync: FileSystem { threshold: 9 }, hook: false }"#;
    assert_eq!(format!("{options:?}"), shown);
}
