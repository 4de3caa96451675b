use std::path::Path;

use super::*;

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Writes a shell script that can be run. Another process does it: whatever a test beside this one starts has for a moment a
/// copy of what is open here, and a program that is open for writing cannot be run (`ETXTBSY`, execve(2)).
pub(crate) fn write_script(path: &Path, text: &str) {
    let write = r#"printf %s "$1" > "$2" && chmod 755 "$2""#;
    let status = Command::new("sh").args(["-c", write, "sh", text]).arg(path).status().unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn a_failing_program_is_named_with_its_exit_status() {
    let failure = run(&mut sh("exit 3")).unwrap_err();
    assert_eq!(failure.to_string(), "`sh -c exit 3` failed: exit status: 3");
    let failure = run_and_keep(&mut sh("echo out; exit 4")).unwrap_err();
    assert_eq!(failure.to_string(), "`sh -c echo out; exit 4` failed: exit status: 4");
}

#[test]
fn output_is_kept_to_the_byte_that_text_can_hold() {
    let kept = run_and_keep(&mut sh(r"printf 'a\nb\377c'")).unwrap();
    assert_eq!(kept, "a\nb\u{fffd}c");
}

#[test]
fn a_missing_program_is_told_apart_from_a_failing_one() {
    assert_eq!(ask(&mut Command::new("no-such-program-anywhere")), Ok(None));
    assert_eq!(ask(&mut sh("echo yes")), Ok(Some("yes\n".into())));
    assert_eq!(ask(&mut sh("exit 1")), Err(Failure::new("`sh -c exit 1` failed: exit status: 1")));
    let failure = run(&mut Command::new("no-such-program-anywhere")).unwrap_err();
    assert!(failure.0.starts_with("cannot run `no-such-program-anywhere`: "), "{failure}");
}

/// An example that waits for ever must not hang the whole run.
#[test]
fn a_program_that_does_not_end_is_killed() {
    let failure = run_within(&mut sh("exec sleep 1000"), Duration::from_millis(50)).unwrap_err();
    assert_eq!(failure.to_string(), "`sh -c exec sleep 1000` did not end within 50ms");
    assert_eq!(run_within(&mut sh("exit 0"), Duration::from_secs(1000)), Ok(()));
    assert_eq!(
        run_within(&mut sh("exit 2"), Duration::from_secs(1000)),
        Err(Failure::new("`sh -c exit 2` failed: exit status: 2"))
    );
}

#[test]
fn a_command_is_shown_as_one_would_type_it() {
    let mut command = Command::new("/usr/bin/cargo");
    command.env("RUSTDOCFLAGS", "-D warnings").env_remove("OTHER").args(["doc", "--no-deps"]);
    assert_eq!(show(&command), r#"RUSTDOCFLAGS="-D warnings" cargo doc --no-deps"#);
}
