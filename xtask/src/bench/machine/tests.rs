use super::*;

#[test]
fn the_longest_mount_point_above_a_path_is_its_file_system() {
    let mounts =
        "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/x xfs rw 0 0\n/dev/c /tmp/x btrfs rw 0 0\n";
    let of = |path: &str| file_system(mounts, Path::new(path));
    assert_eq!(of("/home/me").as_deref(), Some("ext4"));
    assert_eq!(of("/tmp/y").as_deref(), Some("tmpfs"));
    assert_eq!(of("/tmpfile").as_deref(), Some("ext4"));
    assert_eq!(of("/tmp/x/y").as_deref(), Some("btrfs"), "the last mounted covers the others");
    assert_eq!(file_system("", Path::new("/")), None);
}

/// A build's name in a kernel's release may tell whose machine it is; the version is what matters.
#[test]
fn of_the_kernel_only_the_version_is_told() {
    assert_eq!(kernel("6.18.44-somebody-17\n"), "Linux 6.18");
    assert_eq!(kernel("7.0-rc1"), "Linux 7.0");
}

#[test]
fn memory_is_rounded() {
    assert_eq!(memory_gib("MemTotal:       24571232 kB\nMemFree: 1 kB\n"), 23);
    assert_eq!(memory_gib("MemTotal:       16777216 kB\n"), 16);
    assert_eq!(memory_gib(""), 0);
}

#[test]
fn the_last_processor_is_taken() {
    assert_eq!(last_of("0-3,8"), Some(8));
    assert_eq!(last_of("0-3"), Some(3));
    assert_eq!(last_of("5"), Some(5));
    assert_eq!(last_of(""), None);
    let own = last_processor().unwrap();
    assert!(own < 4_096, "{own}");
}
