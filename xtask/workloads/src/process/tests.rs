use super::*;

#[test]
fn the_kernel_tells_of_this_process() {
    assert!(peak_memory_bytes().unwrap() > 100_000);
    let before = io().unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a"), [1; 5_000]).unwrap();
    let done = io().unwrap().since(before);
    assert!(done.write_calls >= 1 && done.written_bytes >= 5_000, "{done:?}");
}

#[test]
fn a_missing_field_is_named() {
    assert_eq!(field("a: 1\nb:\t22 kB\n", "b:").unwrap(), 22);
    assert_eq!(field("a: 1\n", "c:").unwrap_err().to_string(), "the kernel tells no c:");
}

/// Files in folders below count too: two of the engines keep each section's files in one.
#[test]
fn a_stores_files_are_added_up() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("below")).unwrap();
    fs::write(directory.path().join("a"), [1; 5_000]).unwrap();
    fs::write(directory.path().join("below/b"), [1; 3]).unwrap();
    settle(directory.path()).unwrap();
    let Disk { files, length_bytes, allocated_bytes } = disk(directory.path()).unwrap();
    assert_eq!((files, length_bytes), (2, 5_003));
    assert!(allocated_bytes >= 5_003 && allocated_bytes.is_multiple_of(512), "{allocated_bytes}");
}
