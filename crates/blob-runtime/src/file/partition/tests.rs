use std::task::{Context, Poll};

use futures::executor::block_on;
use futures::task::noop_waker_ref;

use super::*;

fn listed(names: &[(&str, FileType)]) -> Option<Vec<Listed>> {
    Some(names.iter().map(|(name, kind)| Listed { name: name.into(), kind: *kind }).collect())
}

#[test]
fn a_name_is_opened_by_one_at_a_time_and_forgotten_when_nobody_wants_it() {
    let partition = Arc::new(Partition::new("p"));
    let first = block_on(partition.turn(b"a"));
    let mut context = Context::from_waker(noop_waker_ref());
    let mut second = Box::pin(partition.turn(b"a"));
    let mut dropped = Box::pin(partition.turn(b"a"));
    assert!(second.as_mut().poll(&mut context).is_pending());
    assert!(dropped.as_mut().poll(&mut context).is_pending());
    // Another name is nobody's business.
    drop(block_on(partition.turn(b"b")));
    drop(dropped);
    drop(first);
    let Poll::Ready(second) = second.as_mut().poll(&mut context) else { panic!("it is its turn") };
    assert_eq!(lock(&partition.turns).len(), 1);
    drop(second);
    assert_eq!(lock(&partition.turns).len(), 0);
}

/// Only what is of our form to the letter is ours; what has a blob's name and is no file is neither ours nor foreign.
#[test]
fn what_a_listing_means() {
    let mut index = Index::default();
    index.take_in(
        listed(&[
            ("62.00000002", FileType::RegularFile),
            ("61.00000003", FileType::RegularFile),
            ("61.00000001", FileType::RegularFile),
            ("README", FileType::RegularFile),
            ("directory", FileType::Directory),
        ]),
        UNKNOWN,
    );
    assert!(index.listed && index.exists);
    let salts: Vec<_> = index.entries.iter().map(|(name, entry)| (&**name, entry.salts.clone())).collect();
    assert_eq!(salts, [(b"a".as_slice(), vec![Salt(1), Salt(3)]), (b"b", vec![Salt(2)])]);
    assert_eq!(index.foreign, ["README", "directory"]);

    // With something unexpected in it the listing is not kept: it may be moved away.
    index.take_in(listed(&[("63.00000001", FileType::Symlink), ("62.00000002", FileType::RegularFile)]), 5);
    assert!(!index.listed);
    assert_eq!(index.unexpected.get(b"c".as_slice()), Some(&"symbolic link"));
    index.take_in(None, 6);
    assert!(index.listed && !index.exists && index.entries.is_empty() && index.unexpected.is_empty());
}

/// A name keeps the generation that has it, however often the directory is listed; one that comes to light later is a
/// later change.
#[test]
fn a_listing_again_does_not_make_a_name_durable() {
    let mut index = Index::default();
    index.take_in(listed(&[("61.00000001", FileType::RegularFile)]), UNKNOWN);
    let both = [("61.00000001", FileType::RegularFile), ("62.00000002", FileType::RegularFile)];
    index.take_in(listed(&both), 7);
    index.take_in(listed(&both), 8);
    let generations: Vec<_> = index.entries.values().map(|entry| entry.generation).collect();
    assert_eq!(generations, [UNKNOWN, 7]);
    // Another file of the name is another life.
    index.take_in(listed(&[("61.00000009", FileType::RegularFile)]), 9);
    assert_eq!(index.entries.values().map(|entry| entry.generation).collect::<Vec<_>>(), [9]);
}
