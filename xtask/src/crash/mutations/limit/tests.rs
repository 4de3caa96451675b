use super::*;

const LONG: Duration = Duration::from_secs(60);

fn sh(script: &str, limit: Duration) -> (End, String) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let end = run(Command::new("sh").args(["-c", script]), limit, &log).unwrap();
    (end, std::fs::read_to_string(&log).unwrap())
}

#[test]
fn ends_are_told_apart() {
    assert_eq!(sh("echo a; echo b >&2", LONG), (End::Well, "a\nb\n".to_owned()));
    assert_eq!(sh("exit 3", LONG), (End::Badly, String::new()));
}

/// Cargo is killed and the test that it has started goes on, on a core that the next test wants.
#[test]
fn what_it_has_started_is_killed_too() {
    let (end, said) = sh("sleep 1000 & echo $!; wait", Duration::from_millis(200));
    assert_eq!(end, End::Killed);
    let child = Pid::from_raw(said.trim().parse().unwrap()).unwrap();
    let began = Instant::now();
    while is_running(child) {
        assert!(began.elapsed() < LONG, "{child:?} goes on");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A killed process without a parent may be there until somebody looks after it: it is no longer running.
fn is_running(process: Pid) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z ")
}
