use super::*;
use crate::name::BlobId;

fn verdicts(plan: &mut Plan, operation: Operation, id: &BlobId, count: usize) -> Vec<char> {
    let mut rng = Rng::with_seed(1);
    let mut draw = || match plan.judge(operation, &Place::Blob(id, 0, 0), &mut rng) {
        Verdict::Go => '.',
        Verdict::Refuse(Refusal::Eio, _) => 'E',
        Verdict::Refuse(Refusal::Enospc, _) => 'S',
        Verdict::Refuse(Refusal::Other(_), _) => 'O',
        Verdict::Hang => 'H',
        Verdict::Astray => 'A',
    };
    (0..count).map(|_| draw()).collect()
}

fn text(verdicts: &[char]) -> String {
    verdicts.iter().collect()
}

fn id(partition: &str, name: &[u8]) -> BlobId {
    BlobId::new(&"".into(), partition, name).unwrap()
}

#[test]
fn a_fault_hits_the_nth_operation_it_is_meant_for() {
    let a = id("p", b"a");
    let run = |fault: Fault| {
        let mut plan = Plan { faults: vec![fault], ..Plan::default() };
        let found = text(&verdicts(&mut plan, Operation::Write, &a, 6));
        (found, plan.faults.len())
    };
    assert_eq!(run(Fault::eio(Operation::Write)), ("E.....".into(), 0));
    assert_eq!(run(Fault::enospc(Operation::Write).nth(3)), ("..S...".into(), 0));
    assert_eq!(run(Fault::eio(Operation::Write).nth(2).times(2)), (".EE...".into(), 0));
    assert_eq!(run(Fault::hang(Operation::Write).nth(5).always()), ("....HH".into(), 1));
    assert_eq!(run(Fault::misdirected_write()), ("A.....".into(), 0));
    assert_eq!(run(Fault::eio(Operation::Sync)), ("......".into(), 1));
    assert_eq!(run(Fault::eio(Operation::Write).partition("q")), ("......".into(), 1));
    assert_eq!(run(Fault::error(Operation::Write, io::ErrorKind::TimedOut).blob("p", b"b")), ("......".into(), 1));
    assert_eq!(run(Fault::error(Operation::Write, io::ErrorKind::TimedOut).blob("p", b"a")), ("O.....".into(), 0));
}

/// Operations on another blob do not count either.
#[test]
fn a_fault_of_one_blob_counts_only_its_operations() {
    let (a, b) = (id("p", b"a"), id("p", b"b"));
    let mut plan = Plan { faults: vec![Fault::eio(Operation::Write).nth(2).blob("p", b"a")], ..Plan::default() };
    assert_eq!(text(&verdicts(&mut plan, Operation::Write, &b, 3)), "...");
    assert_eq!(text(&verdicts(&mut plan, Operation::Write, &a, 3)), ".E.");
}

/// Two faults wait for the same operation: both have counted it, the older one decides.
#[test]
fn faults_count_side_by_side() {
    let faults = vec![Fault::eio(Operation::Write).nth(2), Fault::enospc(Operation::Write).nth(2).times(2)];
    let mut plan = Plan { faults, ..Plan::default() };
    assert_eq!(text(&verdicts(&mut plan, Operation::Write, &id("p", b"a"), 4)), ".ES.");
}

#[test]
fn a_rate_fails_its_share() {
    let a = id("p", b"a");
    let share = |operation| {
        let mut plan = Plan { rates: vec![(operation, 0.25)], ..Plan::default() };
        let found = verdicts(&mut plan, operation, &a, 1000);
        let count = |wanted| found.iter().filter(|verdict| **verdict == wanted).count();
        (count('E'), count('S'))
    };
    let (eio, enospc) = share(Operation::Write);
    assert!((80..170).contains(&eio) && (80..170).contains(&enospc), "{eio} {enospc}");
    let (eio, enospc) = share(Operation::Read);
    assert!((200..300).contains(&eio) && enospc == 0, "{eio} {enospc}: a read never lacks space");
}

#[test]
#[cfg(unix)]
fn injected_errors_are_those_of_the_operating_system() {
    assert_eq!(Refusal::Eio.error().raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    assert_eq!(Refusal::Enospc.error().raw_os_error(), Some(rustix::io::Errno::NOSPC.raw_os_error()));
    assert_eq!(Refusal::Enospc.error().kind(), io::ErrorKind::StorageFull);
    assert_eq!(Refusal::Other(io::ErrorKind::TimedOut).error().kind(), io::ErrorKind::TimedOut);
}
