use std::sync::Mutex;

use super::super::hook::{Event, Verdict};
use super::*;

/// The offsets and lengths of writes and reads.
#[derive(Default)]
struct Seen(Mutex<Vec<(u64, u64)>>);

impl Hook for Seen {
    fn before(&self, event: &Event<'_>) -> Verdict {
        match event.call {
            Call::Write { offset, len, .. } => self.0.lock().unwrap().push((offset, len)),
            Call::Read { offset, len } => self.0.lock().unwrap().push((offset, len as u64)),
            _ => {}
        }
        Verdict::Proceed
    }
}

fn watched() -> (Sys, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    (Sys::new(PathBuf::new(), Some(Arc::clone(&seen) as Arc<dyn Hook>)), seen)
}

/// More parts than one call takes, empty ones in between: all of them arrive, in order, each once.
#[test]
fn a_write_of_more_parts_than_a_call_takes() {
    let (sys, seen) = watched();
    let file = tempfile::tempfile().unwrap();
    let parts: Vec<Vec<u8>> =
        (0..=250_u8).cycle().take(2_500).enumerate().map(|(at, byte)| vec![byte; at % 3]).collect();
    let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
    sys.write(&file, &mut slices, 10, PathBuf::new).unwrap();
    let wanted = parts.concat();
    let mut found = vec![0; wanted.len() + 1];
    assert_eq!(sys.read(&file, &mut found, 10, PathBuf::new).unwrap(), wanted.len());
    assert_eq!(found[..wanted.len()], wanted);
    let calls = seen.0.lock().unwrap().clone();
    let writes = calls.len() - 2;
    assert!(writes >= 3, "{calls:?}");
    let mut next = 10;
    for (offset, len) in &calls[..writes] {
        assert_eq!(*offset, next);
        next += len;
    }
    assert_eq!(next, 10 + wanted.len() as u64);
    // The read came up short once, and asked again to know that it was the end.
    assert_eq!(calls[writes..], [(10, wanted.len() as u64 + 1), (next, 1)]);
}

#[test]
fn a_write_of_nothing_makes_no_call() {
    let (sys, seen) = watched();
    let file = tempfile::tempfile().unwrap();
    sys.write(&file, &mut [], 0, PathBuf::new).unwrap();
    sys.write(&file, &mut [IoSlice::new(&[]), IoSlice::new(&[])], 0, PathBuf::new).unwrap();
    assert_eq!(seen.0.lock().unwrap().len(), 0);
}

/// The file may grow to so many bytes and no further: the system writes what fits, then refuses. What was written is
/// told with the error.
#[test]
fn a_write_that_is_cut_short() {
    let sys = Sys::new(PathBuf::new(), None);
    // Past the largest offset there is (`off_t`).
    let file = tempfile::tempfile().unwrap();
    let cut = sys.write(&file, &mut [IoSlice::new(b"abc")], i64::MAX as u64 - 1, PathBuf::new).unwrap_err();
    assert_eq!(cut.written, 0);
    assert!(is_one_of(&cut.error, &[Errno::FBIG, Errno::INVAL]), "{:?}", cut.error);
    // After a part of it has been written, another call fails.
    let failing = |event: &Event<'_>| match event.call {
        Call::Write { offset: 0, .. } => Verdict::Proceed,
        _ => Verdict::Fail(io::Error::from_raw_os_error(5)),
    };
    let parts = vec![b"ab".as_slice(); MAX_PARTS + 1];
    let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let cut = Sys::new(PathBuf::new(), Some(Arc::new(failing))).write(&file, &mut slices, 0, PathBuf::new).unwrap_err();
    assert_eq!((cut.written, cut.error.raw_os_error()), (2 * MAX_PARTS as u64, Some(5)));
    assert_eq!(file.metadata().unwrap().len(), cut.written);
}

#[cfg(target_os = "linux")]
#[test]
fn a_cached_read_gives_all_or_nothing() {
    let sys = Sys::new(PathBuf::new(), None);
    let file = tempfile::tempfile().unwrap();
    sys.write(&file, &mut [IoSlice::new(b"abcdef")], 0, PathBuf::new).unwrap();
    let mut buf = [0; 4];
    assert!(matches!(sys.read_cached(&file, &mut buf, 1, PathBuf::new), Ok(Some(()))));
    assert_eq!(&buf, b"bcde");
    // The file ends inside of it.
    assert!(matches!(sys.read_cached(&file, &mut buf, 4, PathBuf::new), Ok(None)));
    let failing =
        |errno: Errno| Sys::new(PathBuf::new(), Some(Arc::new(move |_: &Event<'_>| Verdict::Fail(errno.into()))));
    for errno in [Errno::AGAIN, Errno::IO] {
        assert!(matches!(failing(errno).read_cached(&file, &mut buf, 0, PathBuf::new), Ok(None)), "{errno:?}");
    }
    for errno in [Errno::OPNOTSUPP, Errno::NOSYS] {
        let error = failing(errno).read_cached(&file, &mut buf, 0, PathBuf::new).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(errno));
    }
}

/// What comes back from each call is told after it.
#[test]
fn a_hook_learns_of_the_result() {
    #[derive(Default)]
    struct Results(Mutex<Vec<Option<i32>>>);
    impl Hook for Results {
        fn before(&self, _: &Event<'_>) -> Verdict {
            Verdict::Proceed
        }

        fn after(&self, _: &Event<'_>, result: Result<(), &io::Error>) {
            self.0.lock().unwrap().push(result.err().and_then(io::Error::raw_os_error));
        }
    }
    let results = Arc::new(Results::default());
    let sys = Sys::new(PathBuf::new(), Some(Arc::clone(&results) as Arc<dyn Hook>));
    let dir = tempfile::tempdir().unwrap();
    let fd = File::open(dir.path()).unwrap();
    sys.mkdir(fd.as_fd(), "a", PathBuf::new).unwrap();
    assert_eq!(sys.mkdir(fd.as_fd(), "a", PathBuf::new).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(*results.0.lock().unwrap(), [None, Some(Errno::EXIST.raw_os_error())]);
}
