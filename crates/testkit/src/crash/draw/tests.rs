use super::*;
use crate::crash::literal;

/// The generator has drawn the same ever since: a seed that somebody wrote down is a run that can be had again.
#[test]
fn a_seed_draws_what_it_always_drew() {
    let literals = (0..8).chain([1000, 12_345]).map(|seed| literal(&Script::draw(seed, Breadth::of(seed))) + "\n");
    assert_eq!(crc32fast::hash(literals.collect::<String>().as_bytes()), 0xc393_19be);
}

#[test]
fn any_bytes_are_a_script() {
    let mut rng = Rng::with_seed(5);
    let mut lives = [0; 8];
    for _ in 0..300 {
        let bytes: Vec<u8> = (0..rng.usize(0..2000)).map(|_| rng.u8(..)).collect();
        let script = Script::decode(&bytes);
        assert_eq!(script, Script::decode(&bytes));
        assert!(!script.lives.is_empty() && script.lives.iter().map(|life| life.ops.len()).sum::<usize>() < 64);
        lives[script.lives.len().min(7)] += 1;
    }
    assert!(lives.iter().filter(|count| **count > 0).count() > 3, "{lives:?}");
}

/// What one record says does not depend on the others.
#[test]
fn a_record_keeps_its_meaning() {
    let mut rng = Rng::with_seed(9);
    let bytes: Vec<u8> = (0..10 * SCRIPT_RECORD_BYTES).map(|_| rng.u8(..200)).collect();
    let mut fewer = bytes.clone();
    fewer.drain(3 * SCRIPT_RECORD_BYTES..4 * SCRIPT_RECORD_BYTES);
    let (mut all, some) = (Script::decode(&bytes), Script::decode(&fewer));
    all.lives[0].ops.remove(2);
    assert_eq!(all, some);
}
