use super::*;

/// The whole way: a tree with one fault in a source file, one in a manifest, one in the docs and one between crates, beside build output
/// and hidden folders that nobody looks at.
#[test]
fn every_planted_file_is_found_and_others_are_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let fault = "fn a() { todo!() }\n";
    write("target/debug/made.rs", fault);
    write("crates/one/target/made.rs", fault);
    write(".hidden/made.rs", fault);
    write("crates/one/src/notes.txt", fault);
    write("crates/one/src/part.rs", "fn a() {}\n");
    let mut workspace = workspace(root.path());
    assert_eq!(run(&workspace), Ok("1 files".into()));

    write("crates/one/src/part.rs", fault);
    assert_eq!(run(&workspace), Err(Failure::new("1 finding, see above")));
    write("crates/one/Cargo.toml", "[package\n");
    write("crates/one/src/lib.rs", "fn a() {}\n");
    assert_eq!(run(&workspace), Err(Failure::new("3 findings, see above")));

    let stranger = serde_json::json!({"name": "stranger", "manifest_path": root.path().join("Cargo.toml")});
    workspace.packages.push(serde_json::from_value(stranger).unwrap());
    assert_eq!(run(&workspace), Err(Failure::new("4 findings, see above")));
}

/// A workspace without packages.
fn workspace(root: &Path) -> Workspace {
    serde_json::from_value(serde_json::json!({"workspace_root": root, "packages": []})).unwrap()
}

#[test]
fn a_finding_is_shown_so_that_an_editor_can_jump_to_it() {
    assert_eq!(Finding::new("a/b.rs", 7, "length", "c").to_string(), "a/b.rs:7: [length] c");
    assert_eq!(Finding::new("a/b.rs", 0, "length", "c").to_string(), "a/b.rs: [length] c");
}

/// A file that cannot be read must not pass for one without faults.
#[test]
fn a_file_that_is_no_text_is_told() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.rs"), [0xff, 0xfe]).unwrap();
    let workspace = workspace(root.path());
    let want = format!("cannot read {}: stream did not contain valid UTF-8", root.path().join("a.rs").display());
    assert_eq!(run(&workspace), Err(Failure::new(want)));
}
