use super::*;

/// What a file at this path with this text breaks: line and rule.
fn broken(path: &str, text: &str) -> Vec<(usize, &'static str)> {
    let file = File { path: path.to_owned(), text: text.to_owned() };
    check(&file).into_iter().map(|finding| (finding.line, finding.rule)).collect()
}

const SOURCE: &str = "crates/one/src/part.rs";
const TESTS: &str = "crates/one/src/part/tests.rs";

#[test]
fn a_file_that_grew_too_long() {
    assert_eq!(broken(SOURCE, &"// line\n".repeat(500)), []);
    assert_eq!(broken(SOURCE, &"// line\n".repeat(501)), [(0, "length")]);
    assert_eq!(broken(TESTS, &"// line\n".repeat(501)), [(0, "length")]);
}

#[test]
fn unfinished_work() {
    assert_eq!(broken(SOURCE, "fn a() {\n    todo!()\n}"), [(2, "leftover")]);
    assert_eq!(broken(SOURCE, "fn a() {\n    if b {\n        unimplemented!(\"c\")\n    }\n}"), [(3, "leftover")]);
    for note in NOTES {
        assert_eq!(broken(SOURCE, &format!("//\n// {note}: later\n")), [(2, "leftover")]);
        assert_eq!(broken(SOURCE, &format!("// {note}S is another word\n")), []);
    }
    assert_eq!(broken(SOURCE, "// todo!() in a comment\nconst A: &str = \"todo!()\";"), []);
    assert_eq!(broken(SOURCE, "fn a() -> bool { todo != done }"), []);
}

#[test]
fn a_file_that_is_no_source() {
    assert_eq!(broken(SOURCE, "fn a() {\n    (\n}"), [(3, "leftover")]);
}

#[test]
fn a_test_that_does_not_run() {
    assert_eq!(broken(TESTS, "#[test]\n#[ignore]\nfn a() {}"), [(2, "leftover")]);
    assert_eq!(broken(TESTS, "#[test]\n#[ignore = \"slow\"]\nfn a() {}"), [(2, "leftover")]);
    assert_eq!(broken(TESTS, "#[test]\n#[cfg_attr(unix, ignore)]\nfn a() {}"), [(2, "leftover")]);
    assert_eq!(broken(TESTS, "#[test]\nfn ignore() {}"), []);
}

#[test]
fn an_assertion_that_any_failure_satisfies() {
    assert_eq!(broken(TESTS, "#[test]\nfn a() {\n    assert!(b().is_err());\n}"), [(3, "assertion")]);
    assert_eq!(broken(TESTS, "#[test]\nfn a() {\n    prop_assert!(\n  b(c).is_err(), \"d\");\n}"), [(4, "assertion")]);
    assert_eq!(broken(TESTS, "#[test]\nfn a() { assert_eq!(b().is_err(), true); }"), [(2, "assertion")]);
    assert_eq!(broken(TESTS, "#[test]\nfn a() { assert!(matches!(b(), Err(_))); }"), [(2, "assertion")]);
    assert_eq!(broken(TESTS, "#[test]\n#[should_panic]\nfn a() {}"), [(2, "assertion")]);
    let named = "#[test]\n#[should_panic(expected = \"b\")]\nfn a() {\n    assert!(matches!(b(), Err(Error::C { .. })));\n    \
                 if b().is_err() {}\n    let _ = match b() { Err(_) => 1, Ok(_) => 2 };\n}";
    assert_eq!(broken(TESTS, named), []);
}

#[test]
fn code_that_is_unsafe_or_lets_it_in() {
    assert_eq!(broken(SOURCE, "fn a() {\n    unsafe { b() }\n}"), [(2, "unsafe")]);
    assert_eq!(broken(SOURCE, "unsafe impl Send for A {}"), [(1, "unsafe")]);
    assert_eq!(broken(SOURCE, "#[unsafe(no_mangle)]\nfn a() {}"), [(1, "unsafe")]);
    assert_eq!(broken(SOURCE, "//\n#![allow(unsafe_code, reason = \"b\")]"), [(2, "unsafe")]);
    assert_eq!(broken(SOURCE, "#![cfg_attr(a, warn(unsafe_code))]"), [(1, "unsafe")]);
    assert_eq!(broken(SOURCE, "#![forbid(unsafe_code)]\n// unsafe\nconst A: &str = \"unsafe\";"), []);
}

#[test]
fn a_lint_switched_off_without_a_reason() {
    assert_eq!(broken(SOURCE, "#[allow(dead_code)]\nfn a() {}"), [(1, "reason")]);
    assert_eq!(broken(SOURCE, "//\n#![expect(clippy::panic)]"), [(2, "reason")]);
    assert_eq!(broken(SOURCE, "#[cfg_attr(unix, allow(dead_code))]\nfn a() {}"), [(1, "reason")]);
    assert_eq!(broken(SOURCE, "#[expect(dead_code, reason = \"b\")]\nfn a() { b.expect(\"c\") }"), []);
}

#[test]
fn unit_tests_inside_a_source_file() {
    let module = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn b() {}\n}";
    assert_eq!(broken(SOURCE, module), [(3, "inline-test"), (5, "inline-test")]);
    assert_eq!(broken(SOURCE, "#[cfg(all(test, unix))]\n#[rustfmt::skip]\npub(crate) mod a { }"), [(1, "inline-test")]);
    assert_eq!(broken(SOURCE, "#[tokio::test(flavor = \"a\")]\nasync fn b() {}"), [(1, "inline-test")]);
    assert_eq!(broken(SOURCE, "proptest! {\n    #[test]\n    fn a(b: u8) {}\n}"), [(2, "inline-test")]);

    assert_eq!(broken(SOURCE, "#[cfg(test)]\nmod tests;"), []);
    assert_eq!(broken(SOURCE, "#[cfg(not(test))]\nmod a { }"), []);
    assert_eq!(broken(SOURCE, "#[cfg(test)]\nfn helper() {}"), []);
    for path in [TESTS, "crates/one/tests/it/crash.rs", "crates/one/src/part/tests/more.rs"] {
        assert_eq!(broken(path, module), [], "{path}");
    }
}
