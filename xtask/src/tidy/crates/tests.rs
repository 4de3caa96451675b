use super::*;

/// A workspace of these crates, each with its dependencies: name and kind; a name that starts with `=` is a registry's.
fn workspace(crates: &[(&str, &[(&str, &str)])]) -> Workspace {
    let package = |(name, dependencies): &(&str, &[(&str, &str)])| {
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|(name, kind)| {
                let (source, name) = name.strip_prefix('=').map_or((None, *name), |name| (Some("registry"), name));
                let kind = (*kind != "normal").then_some(kind);
                serde_json::json!({"name": name, "kind": kind, "source": source})
            })
            .collect();
        serde_json::json!({"name": name, "manifest_path": format!("/w/{name}/Cargo.toml"), "dependencies": dependencies})
    };
    let packages: Vec<_> = crates.iter().map(package).collect();
    serde_json::from_value(serde_json::json!({"workspace_root": "/w", "packages": packages})).unwrap()
}

fn layers(crates: &[(&str, &[(&str, &str)])]) -> Vec<String> {
    check_layers(&workspace(crates)).iter().map(ToString::to_string).collect()
}

#[test]
fn arrows_run_only_downwards() {
    let sound: &[(&str, &[(&str, &str)])] = &[
        ("blob-runtime", &[("=glob", "dev"), ("=bytes", "normal")]),
        ("glob", &[("blob-runtime", "normal")]),
        ("oversized", &[("glob", "normal"), ("blob-runtime", "dev")]),
        ("xtask", &[("testkit", "normal")]),
    ];
    assert_eq!(layers(sound), [""; 0]);

    for kind in ["normal", "dev", "build"] {
        assert_eq!(
            layers(&[("blob-runtime", &[("oversized", kind)])]),
            [format!("blob-runtime/Cargo.toml: [layer] blob-runtime must not depend on oversized ({kind} dependency)")]
        );
    }
}

/// The two logs are siblings; nothing below the tasks knows the test kit; a crate that tests itself through itself is
/// a cycle.
#[test]
fn siblings_the_test_kit_and_cycles_are_refused() {
    for (of, on) in [("glob", "fixed-journal"), ("glob", "paged-cache"), ("oversized", "testkit"), ("glob", "glob")] {
        assert_eq!(
            layers(&[(of, &[(on, "dev")])]),
            [format!("{of}/Cargo.toml: [layer] {of} must not depend on {on} (dev dependency)")]
        );
    }
}

#[test]
fn a_crate_without_a_place_is_told() {
    assert_eq!(
        layers(&[("extra", &[])]),
        ["extra/Cargo.toml: [layer] extra has no place in the layer table of xtask/src/tidy/crates.rs"]
    );
}

fn manifest(text: &str) -> Vec<String> {
    let file = File { path: "one/Cargo.toml".into(), text: text.into() };
    check_manifests(&[file]).into_iter().map(|finding| finding.message).collect()
}

const MEMBER: &str = "[package]\nname = \"one\"\nedition.workspace = true\nrust-version.workspace = true\n\
                      license.workspace = true\n[lints]\nworkspace = true\n";

#[test]
fn a_member_that_goes_its_own_way() {
    assert_eq!(manifest(MEMBER), [""; 0]);
    let lints = "it lacks [lints] workspace = true, and so forbids no unsafe code";
    assert_eq!(manifest(&MEMBER.replace("[lints]\nworkspace = true\n", "")), [lints]);
    assert_eq!(manifest(&MEMBER.replace("[lints]\nworkspace = true", "[lints]\nworkspace = false")), [lints]);
    assert_eq!(
        manifest(&MEMBER.replace("edition.workspace = true", "edition = \"2021\"")),
        ["it lacks edition.workspace = true"]
    );
    assert_eq!(
        manifest(&MEMBER.replace("rust-version.workspace = true\n", "")),
        ["it lacks rust-version.workspace = true"]
    );
}

#[test]
fn a_workspace_that_lets_unsafe_code_or_panics_in() {
    let root = "[workspace]\nmembers = []\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\nmissing_docs = \"deny\"\n\
                [workspace.lints.clippy]\nunwrap_used = \"deny\"\nexpect_used = \"deny\"\n\
                panic = { level = \"deny\", priority = 1 }\n";
    assert_eq!(manifest(root), [""; 0]);
    let weak = root.replace("unsafe_code = \"forbid\"", "unsafe_code = \"deny\"");
    assert_eq!(manifest(&weak), ["[workspace.lints.rust] must say unsafe_code = \"forbid\""]);
    let weak = root.replace("unwrap_used = \"deny\"\n", "");
    assert_eq!(manifest(&weak), ["[workspace.lints.clippy] must say unwrap_used = \"deny\""]);
}

#[test]
fn a_package_outside_the_workspace_forbids_unsafe_code_itself() {
    let outside = "[package]\nname = \"fuzz\"\n[workspace]\n";
    let message = "outside the workspace it must say [lints.rust] unsafe_code = \"forbid\" itself";
    assert_eq!(manifest(outside), [message]);
    assert_eq!(manifest(&format!("{outside}[lints.rust]\nunsafe_code = \"forbid\"\n")), [""; 0]);
}

#[test]
fn a_manifest_that_is_no_toml() {
    let [message] = &manifest("[package\n")[..] else { panic!("one finding") };
    assert!(message.starts_with("this is no TOML: "), "{message}");
}
