use super::*;

#[test]
fn options_are_told_from_filters() {
    let cases = [
        ("cargo test -p glob", vec!["-p", "glob"]),
        ("cargo test -p testkit --test it crash::", vec!["-p", "testkit", "--test", "it"]),
        ("cargo test -p blob-runtime --lib --test it append", vec!["-p", "blob-runtime", "--lib", "--test", "it"]),
        ("cargo test -p glob --lib ahead -- --exact --nocapture", vec!["-p", "glob", "--lib"]),
    ];
    for (test, options) in cases {
        assert_eq!(Options::of(test).words(), options);
    }
}

#[test]
fn binaries_are_programs_with_tests() {
    let said = r#"
{"reason":"compiler-artifact","manifest_path":"/t/crates/a/Cargo.toml","profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","manifest_path":"/t/crates/a/Cargo.toml","profile":{"test":false},"executable":"/t/b"}
{"reason":"compiler-artifact","manifest_path":"/t/crates/a/Cargo.toml","profile":{"test":true},"executable":"/t/a-1"}
not from cargo
{"reason":"build-finished","success":true}"#;
    let one = Binary { path: "/t/a-1".into(), folder: "/t/crates/a".into(), tests: Vec::new() };
    assert_eq!(binaries(said), [one]);
}

/// A warning, the sum at the end, and the same error from the library and its tests are not counted.
#[test]
fn complaints_have_places() {
    let span = |file: &str, at: usize, primary: bool| {
        format!(
            r#"{{"file_name":"{file}","byte_start":{at},"byte_end":{},"is_primary":{primary},"expansion":null}}"#,
            at + 3
        )
    };
    let message = |level: &str, spans: &[String], children: &str| {
        let spans = spans.join(",");
        format!(
            r#"{{"reason":"compiler-message","message":{{"level":"{level}","rendered":"R","spans":[{spans}],"children":[{children}]}}}}"#
        )
    };
    let within = format!(
        r#"{{"file_name":"/std/m.rs","byte_start":1,"byte_end":2,"is_primary":true,"expansion":{{"span":{}}}}}"#,
        span("/t/a.rs", 40, true)
    );
    let child = format!(r#"{{"spans":[{}]}}"#, span("c.rs", 60, true));
    let error = message("error", &[span("a.rs", 20, false), span("b.rs", 10, true), within], &child);
    let said = [message("warning", &[span("a.rs", 1, true)], ""), error.clone(), error, message("error", &[], "")];
    let place = |file: &str, at: usize| Place { file: file.to_owned(), bytes: at..at + 3 };
    assert_eq!(
        complaints(&said.join("\n"), Path::new("/t")),
        [Complaint {
            text: "R".to_owned(),
            places: vec![place("b.rs", 10), place("a.rs", 40), place("a.rs", 20), place("c.rs", 60)]
        }]
    );
}
