use super::*;

#[cfg(target_os = "linux")]
#[test]
fn kernel_releases() {
    let later = ["5.17.0", "5.17", "5.18.0-rc1", "6.1.0-13-amd64", "10.0.0"];
    let earlier = ["5.16.20", "5.4.0-150-generic", "4.19.0", "", "5", "five.seventeen"];
    assert_eq!(later.map(|release| is_at_least(release, (5, 17))), [true; 5]);
    assert_eq!(earlier.map(|release| is_at_least(release, (5, 17))), [false; 6]);
}

/// A partition may be a mount point, so that its blobs are on another device than the root: what was synced there is
/// not the one that counts.
#[test]
fn the_device_is_the_one_of_the_root() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let storage = super::super::FileStorage::open(dir.path()).unwrap();
    assert_eq!(storage.root.device(), Some(dir.path().metadata().unwrap().dev()));
}
