use super::*;

const ANSWER: &str = r#"{
    "packages": [
        {
            "name": "one", "version": "0.1.0", "manifest_path": "/w/crates/one/Cargo.toml",
            "dependencies": [
                {"name": "two", "kind": "dev", "source": null, "path": "/w/crates/two"},
                {"name": "bytes", "kind": null, "source": "registry"}
            ],
            "targets": [
                {"name": "one", "kind": ["lib"], "src_path": "/w/crates/one/src/lib.rs"},
                {"name": "server", "kind": ["example"], "src_path": "/w/crates/one/examples/server.rs"}
            ],
            "metadata": {"ci": {"examples-not-run": ["server"]}}
        },
        {"name": "two", "manifest_path": "/w/crates/two/Cargo.toml", "dependencies": [], "targets": [], "metadata": null}
    ],
    "workspace_root": "/w"
}"#;

#[test]
fn what_cargo_says_is_understood() {
    let workspace = Workspace::parse(ANSWER).unwrap();
    assert_eq!(workspace.root, Path::new("/w"));
    let [one, two] = &workspace.packages[..] else { panic!("{workspace:?}") };
    assert_eq!((&*one.name, &*two.name), ("one", "two"));
    assert_eq!(one.folder(), Path::new("/w/crates/one"));
    assert_eq!(one.dependencies[0].kind.as_deref(), Some("dev"));
    assert_eq!(one.dependencies[0].source, None);
    assert_eq!(one.dependencies[1].source.as_deref(), Some("registry"));
    let examples: Vec<_> = workspace.targets("example").map(|(of, target)| (&*of.name, &*target.name)).collect();
    assert_eq!(examples, [("one", "server")]);
    assert_eq!(workspace.relative(&one.targets[0].source), "crates/one/src/lib.rs");
    assert!(one.leaves_out("server"));
    assert!(!one.leaves_out("blobs"));
    assert!(!two.leaves_out("server"));
}

/// A misspelt key would silently run an example that never ends.
#[test]
fn a_misspelt_key_is_told() {
    let failure = Workspace::parse(&ANSWER.replace("examples-not-run", "examples-not-runn")).unwrap_err();
    assert!(failure.0.contains("unknown field `examples-not-runn`, expected `examples-not-run`"), "{failure}");
}

#[test]
fn this_workspace_is_found_from_any_folder() {
    let workspace = Workspace::load().unwrap();
    assert!(workspace.packages.iter().any(|package| package.name == "xtask"), "{workspace:?}");
}
