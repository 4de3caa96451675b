use crate::input::{Input, compact, expand};
use crate::targets::store::template::File;
use crate::targets::store::templates;
use crate::{Target, mutate, reseal};

#[test]
fn bytes_come_back_from_their_compact_form() {
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..300 {
        let mut bytes = Vec::new();
        for _ in 0..rng.usize(0..9) {
            let len = if rng.u8(0..20) == 0 { 70_000 } else { rng.usize(0..40) };
            let fill = if rng.bool() { 0 } else { rng.u8(..) };
            bytes.resize(bytes.len() + len, fill);
        }
        let small = compact(&bytes);
        let mut input = Input(&small);
        assert_eq!(expand(&mut input, usize::MAX), bytes);
        assert!(input.is_empty());
    }
    let sparse = compact(&[0; 60_000]);
    assert!(sparse.len() < 20, "{} bytes", sparse.len());
}

/// The checksums that are made anew are those that the store makes.
#[test]
fn a_sound_file_keeps_its_checksums() {
    for template in templates() {
        for File { name, salt, bytes, .. } in &template.files {
            let mut again = bytes.clone();
            reseal::file(&mut again, name, *salt);
            assert!(again == *bytes, "{:?}, {name:?}", template.kind);
        }
    }
}

#[test]
fn records_are_changed_whole() {
    let mut rng = fastrand::Rng::with_seed(4);
    for target in [Target::Store, Target::Operations] {
        let record = target.record_bytes().unwrap();
        let input: Vec<u8> = (0..6 * record).map(|at| u8::try_from(at / record).unwrap()).collect();
        for seed in 0..500 {
            let mut data = input.clone();
            data.resize(8 * record, 0);
            let mut is_usual = false;
            let size = mutate(target, &mut data, input.len(), 8 * record, seed, |data, size, _| {
                is_usual = true;
                data[rng.usize(0..size)] = 99;
                size
            });
            assert!(size <= 8 * record && (is_usual || size % record == 0));
        }
    }
}

/// Any bytes are an input of every target, and none of these is a finding.
#[test]
fn any_bytes_are_an_input() {
    let mut rng = fastrand::Rng::with_seed(6);
    for target in Target::ALL {
        assert_eq!(Target::named(target.name()), Some(target));
        for _ in 0..30 {
            let bytes: Vec<u8> = (0..rng.usize(0..300)).map(|_| rng.u8(..)).collect();
            target.run(&bytes);
        }
    }
}
