use super::*;

fn count(log: &str) -> Result<Calls, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    std::fs::write(&file, log).unwrap();
    read(&file, 10)
}

const BEGIN: &str = "7 statx(AT_FDCWD, \"/bench-mark/begin\", AT_STATX_SYNC_AS_STAT, STATX_ALL, 0x7ffc) = -1 ENOENT\n";
const END: &str = "7 statx(AT_FDCWD, \"/bench-mark/end\", AT_STATX_SYNC_AS_STAT, STATX_ALL, 0x7ffc) = -1 ENOENT\n";

/// What an engine syncs while it opens or closes says nothing about its commits.
#[test]
fn only_the_measured_part_counts() {
    let log =
        format!("7 fsync(3) = 0\n{BEGIN}8 fdatasync(4) = 0\n8 pwrite64(4, \"a\"..., 9, 0) = 9\n{END}7 fsync(3) = 0\n");
    assert_eq!(count(&log), Ok(Calls { operations: 10, syncs: 1, writes: 1, ..Calls::default() }));
}

/// While one thread syncs another writes; strace then cuts the call in two, which is still one call.
#[test]
fn a_call_that_is_cut_in_two_is_one() {
    let log = format!(
        "{BEGIN}8 fdatasync(4 <unfinished ...>\n9 write(5, \"(\", 1) = 1\n8 <... fdatasync resumed>) = 0\n{END}"
    );
    assert_eq!(count(&log), Ok(Calls { operations: 10, syncs: 1, writes: 1, ..Calls::default() }));
}

/// An engine may sync without a call of that name. Those that are seen count; those that are not must not make it look
/// as if it had not synced.
#[test]
fn syncs_by_other_names_are_seen() {
    let log = format!(
        "{BEGIN}8 pwritev2(4, [..], 1, 0, RWF_DSYNC) = 9\n8 pwritev2(4, [..], 1, 0, 0) = 9\n8 msync(0x7f, 4096, MS_SYNC) = 0\n\
         8 msync(0x7f, 4096, MS_ASYNC) = 0\n8 syncfs(3) = 0\n8 sync_file_range(4, 0, 9, 2) = 0\n8 preadv2(4, [..], 1, 0, RWF_NOWAIT) = 9\n{END}"
    );
    assert_eq!(count(&log), Ok(Calls { operations: 10, syncs: 3, writes: 2, reads: 1, others: 2, uncounted: false }));

    let log = format!("8 openat(AT_FDCWD, \"log\", O_WRONLY|O_DSYNC) = 4\n{BEGIN}8 write(4, \"a\", 1) = 1\n{END}");
    assert_eq!(count(&log), Ok(Calls { operations: 10, writes: 1, uncounted: true, ..Calls::default() }));
    let log = format!("{BEGIN}8 io_uring_enter(5, 1, 1, 0x1, NULL, 8) = 1\n{END}");
    assert_eq!(count(&log), Ok(Calls { operations: 10, uncounted: true, ..Calls::default() }));
}

/// A program that died in the middle must not pass for one that made few calls.
#[test]
fn a_log_without_its_marks_is_refused() {
    let missing = |log: &str| count(log).unwrap_err().to_string();
    assert_eq!(missing("8 fsync(3) = 0\n"), "the trace has no mark for the beginning");
    assert_eq!(missing(BEGIN), "the trace has no mark for the end");
}

/// The marks, the filter and the log of a real trace fit together.
#[test]
fn a_real_trace_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script =
        format!("stat {MARKS}/begin; sync -d {0}; sync {0}; stat {MARKS}/end; sync {0}", folder.path().display());
    let Some(mut command) = traced(Path::new("sh"), &log) else {
        println!("skipped: there is no strace that may trace");
        return;
    };
    command.arg("-c").arg(script).stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    assert!(command.status().unwrap().success());
    let calls = read(&log, 10).unwrap();
    assert_eq!((calls.syncs, calls.uncounted), (2, false), "{calls:?}");
}
