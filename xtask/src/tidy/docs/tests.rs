use super::*;

fn file(path: &str, text: &str) -> File {
    File { path: path.into(), text: text.into() }
}

fn told(files: &[File]) -> Vec<String> {
    check(files).iter().map(ToString::to_string).collect()
}

const LIB: &str = "crates/one/src/lib.rs";

#[test]
fn a_library_without_docs() {
    let message = format!("{LIB}:1: [crate-docs] the library does not open with docs (//!)");
    assert_eq!(told(&[file(LIB, "pub fn a() {}\n")]), std::slice::from_ref(&message));
    assert_eq!(told(&[file(LIB, "pub fn a() {}\n//! Late.\n")]), [message]);
    assert_eq!(told(&[file("xtask/src/main.rs", "fn main() {}\n")]), [""; 0]);
}

#[test]
fn a_library_whose_docs_run_nothing() {
    let message = format!(
        "{LIB}:1: [crate-docs] the library's docs have no example that runs \
         (a ``` block of Rust without no_run or ignore)"
    );
    for block in [
        "",
        "```text\n//! a\n//! ```",
        "```no_run\n//! a();\n//! ```",
        "```rust,ignore\n//! a();\n//! ```",
        "```\n//! ```",
    ] {
        assert_eq!(
            told(&[file(LIB, &format!("//! One.\n//!\n//! {block}\n"))]),
            std::slice::from_ref(&message),
            "{block}"
        );
    }
    for block in
        ["```\n//! a();\n//! ```", "```rust\n//! a();\n//! ```", "```text\n//! a\n//! ```\n//! ```\n//! a();\n//! ```"]
    {
        assert_eq!(told(&[file(LIB, &format!("//! One.\n//!\n//! {block}\n"))]), [""; 0], "{block}");
    }
}

/// An operator meets an error that the manual does not know.
#[test]
fn an_error_nobody_explains() {
    let source = "/// E.\npub enum Error {\n    /// A.\n    #[error(\"a, b\")]\n    First { what: u8, other: u8 },\n    \
                  Second(Vec<u8>),\n    Third,\n}\npub enum Other { Fourth }\n";
    let error = file("crates/one/src/error.rs", source);
    let manual = "# Operations\n\n## `two`\n\n`Third`\n\n## Errors of `one`\n\n### `First`\n\n| `Second` | x |\n\n## Else\n\n`Third`\n";
    let finding = "crates/one/src/error.rs:7: [error-docs] docs/operations.md has no `Third` in its section `one`";
    assert_eq!(told(&[error.clone(), file(OPERATIONS, manual)]), [finding]);
    let whole = manual.replace("`Second` |", "`Second`, `Third` |");
    assert_eq!(told(&[error.clone(), file(OPERATIONS, &whole)]), [""; 0]);
    assert_eq!(told(&[error]).len(), 3, "without a manual nothing is explained");
}

/// A test was renamed; the table of mutations goes on praising it.
#[test]
fn a_test_that_is_named_and_gone() {
    let table = "| rule | mutation | test that catches it |\n|---|---|---|\n| a | `x::y` | `name::tests::holds`, `no_path` |\n\
                 | b | c | `name::tests::gone` |\n| unit tests | `cargo test -p one --lib name::` | `name::` |\n";
    let tests = file("crates/one/src/name/tests.rs", "#[test]\nfn holds() {}\n");
    assert_eq!(told(&[file(TESTING, table), tests]), ["docs/testing.md:4: [test-docs] there is no test gone"]);
}
