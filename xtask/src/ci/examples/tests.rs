use super::*;

#[test]
fn only_the_executables_of_examples_are_taken() {
    let messages = [
        r#"{"reason":"compiler-artifact","target":{"name":"one","kind":["lib"],"src_path":"/w/src/lib.rs"},"executable":null}"#,
        r#"{"reason":"compiler-artifact","target":{"name":"blobs","kind":["example"],"src_path":"/w/examples/blobs.rs"},"executable":"/t/blobs"}"#,
        r#"{"reason":"compiler-artifact","target":{"name":"main","kind":["bin"],"src_path":"/w/src/main.rs"},"executable":"/t/main"}"#,
        r#"{"reason":"build-finished","success":true}"#,
    ];
    let want = Built { source: "/w/examples/blobs.rs".into(), executable: "/t/blobs".into() };
    assert_eq!(executables(&messages.join("\n")), Ok(vec![want]));
}

#[test]
fn a_message_that_makes_no_sense_is_told() {
    let failure = executables("{\"reason\":").unwrap_err();
    assert!(failure.0.starts_with("cannot understand a message of cargo build: "), "{failure}");
}
