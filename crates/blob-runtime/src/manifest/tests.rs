use super::*;
use crate::MemoryStorage;
use futures::executor::block_on;

const STORE: StoreId = StoreId(7);

fn storage() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::new())
}

fn user(text: &'static str) -> State {
    State { user: Bytes::from_static(text.as_bytes()), ..State::default() }
}

fn create(storage: &Arc<dyn Storage>, state: State) -> Manifest {
    block_on(Manifest::create(storage, "p", STORE, state)).unwrap()
}

fn found(storage: &Arc<dyn Storage>) -> Found {
    match block_on(find(storage, "p")).unwrap() {
        Finding::Found(found) => found,
        other => panic!("{other:?}"),
    }
}

fn raw(storage: &Arc<dyn Storage>) -> Arc<dyn Blob> {
    block_on(storage.open("p", NAME, &format(Want::Exactly(STORE)))).unwrap()
}

fn rot(storage: &Arc<dyn Storage>, at: u64) {
    let blob = raw(storage);
    let byte = block_on(blob.read_at(at, 1)).unwrap()[0] ^ 1;
    block_on(blob.write_at(at, vec![vec![byte].into()])).unwrap();
}

#[test]
fn what_was_changed_is_found_again_in_both_slots() {
    let storage = storage();
    assert!(matches!(block_on(find(&storage, "p")), Ok(Finding::Missing)));
    let manifest = create(&storage, user("a"));
    let target = Target { section: 1, items: 2, values_offset: 3 };
    block_on(manifest.update(|state| state.intent = Some(Intent::RewindSection(target)))).unwrap();
    block_on(manifest.update(|state| {
        state.intent = None;
        state.pruned_to = 9;
        state.condition = Condition::Clean;
    }))
    .unwrap();
    assert_eq!(manifest.generation(), 3);
    block_on(manifest.update(|_| {})).unwrap();
    assert_eq!(manifest.generation(), 3, "no change, no write");
    let want = State { pruned_to: 9, condition: Condition::Clean, ..user("a") };
    assert_eq!(manifest.state(), want);
    for offset in [0, 4096] {
        let found = found(&storage);
        assert_eq!((found.state(), found.store(), found.faults()), (&want, STORE, [None, None]));
        // Either slot alone says it.
        rot(&storage, offset);
        let found = self::found(&storage);
        assert_eq!(found.state(), &want);
        let slot = usize::try_from(offset / 4096).unwrap();
        assert!(matches!(found.faults()[slot], Some(SlotFault::Checksum { .. })), "{:?}", found.faults());
        let settled = block_on(found.settle()).unwrap();
        assert_eq!(settled.state(), want, "and the other one is made level again");
    }
}

#[test]
fn two_bad_slots_are_damage_and_told_as_such() {
    let storage = storage();
    create(&storage, user("a"));
    rot(&storage, 5);
    rot(&storage, 4096 + 2000);
    let Finding::Damaged(damaged) = block_on(find(&storage, "p")).unwrap() else { panic!("damaged") };
    assert!(matches!(damaged.error(), Error::Corrupt { offset: 0, .. }), "{:?}", damaged.error());
    assert!(damaged.faults().iter().all(|fault| matches!(fault, SlotFault::Checksum { .. })));
    let rebuilt = State { pruned_to: 4, ..State::default() };
    let manifest = block_on(damaged.replace(STORE, rebuilt.clone())).unwrap();
    assert_eq!(manifest.state(), rebuilt);
    assert_eq!(found(&storage).state(), &rebuilt);

    // Made for another store, because its header said another.
    rot(&storage, 5);
    rot(&storage, 4096 + 5);
    let Finding::Damaged(damaged) = block_on(find(&storage, "p")).unwrap() else { panic!("damaged") };
    let manifest = block_on(damaged.replace(StoreId(8), rebuilt)).unwrap();
    assert_eq!((manifest.store(), found(&storage).store()), (StoreId(8), StoreId(8)));
}

/// Slots that verify and contradict each other are no crash state.
#[test]
fn a_contradiction_is_corruption() {
    let storage = storage();
    create(&storage, user("a"));
    let blob = raw(&storage);
    let forged = Slot { store: STORE, generation: 1, state: user("b") };
    block_on(write_slot(blob.as_ref(), &forged, 1)).unwrap();
    let error = block_on(find(&storage, "p")).unwrap_err();
    assert!(matches!(error, Error::Corrupt { offset: 4096, .. }), "{error:?}");
}

/// The newer slot wins wherever it is.
#[test]
fn a_change_half_made_is_settled_on_the_newer_state() {
    for (number, state) in [(0, user("b")), (1, user("b"))] {
        let storage = storage();
        create(&storage, user("a"));
        let half = Slot { store: STORE, generation: 2, state: state.clone() };
        block_on(write_slot(raw(&storage).as_ref(), &half, number)).unwrap();
        let found = self::found(&storage);
        assert_eq!((found.number, found.state()), (number, &state));
        let settled = block_on(found.settle()).unwrap();
        assert_eq!((settled.generation(), settled.state()), (2, state.clone()));
        rot(&storage, number * 4096);
        assert_eq!(self::found(&storage).state(), &state, "the other one was brought level");
    }
}

#[test]
fn too_much_of_the_users_own_changes_nothing() {
    let storage = storage();
    let manifest = create(&storage, user("a"));
    let large = Bytes::from(vec![1; MAX_USER_BYTES + 1]);
    let error = block_on(manifest.update(|state| state.user = large.clone())).unwrap_err();
    assert!(matches!(error, Error::TooLarge { value: 2049, max: 2048, .. }), "{error:?}");
    assert_eq!((manifest.state(), manifest.generation()), (user("a"), 1));
    block_on(manifest.update(|state| state.user = large.slice(1..))).unwrap();
    assert_eq!(found(&storage).state().user.len(), MAX_USER_BYTES);
}

#[test]
fn a_later_version_is_refused_and_left_as_it_is() {
    let storage = storage();
    let blob = block_on(storage.open("p", NAME, &format(Want::Exactly(STORE)))).unwrap();
    let slot = Slot { store: STORE, generation: 1, state: user("a") };
    let binding = blob.header().binding(NAME);
    let mut bytes = slot.encode(binding, 0).to_vec();
    bytes[27] = 9;
    let mut crc = binding.hasher();
    crc.update(&0_u64.to_be_bytes());
    crc.update(&bytes[..4092]);
    bytes[4092..].copy_from_slice(&crc.finalize().to_be_bytes());
    block_on(blob.write_at(0, vec![bytes.into()])).unwrap();
    let error = block_on(find(&storage, "p")).unwrap_err();
    assert!(matches!(&error, Error::FormatMismatch { field: "intent", found, .. } if found == "9"), "{error:?}");
}
