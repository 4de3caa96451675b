use super::*;

fn tail() -> Tail {
    Tail::new(100, 40, 1 << 20, Spares::new(1 << 20))
}

fn put(tail: &mut Tail, bytes: &[u8]) -> u64 {
    tail.fill(bytes.len(), |offset, space| {
        space.put(bytes);
        offset
    })
}

/// Reads every range of what is pending, across parts and the buffer that is being filled.
#[test]
fn every_range_reads_back_wherever_it_lies() {
    let mut tail = tail();
    assert_eq!(put(&mut tail, b"abc"), 100);
    tail.freeze();
    assert_eq!(put(&mut tail, b"de"), 103);
    tail.freeze();
    tail.freeze();
    assert_eq!(put(&mut tail, b"fghi"), 105);
    let all = b"abcdefghi";
    for from in 0..=9_usize {
        for to in from..=9 {
            let (start, bytes) = tail.read(100 + from as u64, to - from);
            assert_eq!((start, &bytes[..]), (100 + from as u64, &all[from..to]), "{from}..{to}");
            // In place, when it lies in one part.
            let parts = [0..3, 3..5, 5..9];
            let in_one = parts.iter().any(|part| from < part.end && from >= part.start && to <= part.end);
            let want = (in_one || from == 9).then_some(&all[from..to]);
            assert_eq!(tail.piece(100 + from as u64, to - from), want, "{from}..{to}");
        }
    }
    // A range that begins before what is pending: only its end is here.
    let (start, bytes) = tail.read(90, 12);
    assert_eq!((start, &bytes[..]), (100, &b"ab"[..]));
    assert_eq!(tail.piece(99, 2), None);
    let (start, bytes) = tail.read(90, 5);
    assert_eq!((start, bytes.len()), (95, 0));
}

#[test]
fn written_bytes_leave_memory_and_the_rest_stays() {
    let mut tail = tail();
    for part in [&b"abc"[..], b"de", b"f"] {
        put(&mut tail, part);
        tail.freeze();
    }
    tail.set_written(104);
    assert_eq!((tail.written(), tail.pending_bytes(), tail.len()), (104, 2, 106));
    assert_eq!(&tail.read(104, 2).1[..], b"ef");
    assert_eq!(tail.parts(105), [Bytes::from_static(b"e")]);
    assert_eq!(tail.parts(104), [] as [Bytes; 0]);
    // Nothing that is not written counts as durable.
    tail.set_durable(106);
    assert_eq!(tail.durable(), 104);
    tail.set_durable(50);
    assert_eq!(tail.durable(), 104);
    // Nor can more be written than there is.
    tail.set_written(999);
    assert_eq!((tail.written(), tail.pending_bytes()), (106, 0));
}

#[test]
fn a_cut_lowers_every_mark() {
    for len in 0..=106 {
        let mut tail = tail();
        put(&mut tail, b"abc");
        tail.freeze();
        put(&mut tail, b"def");
        tail.set_written(101);
        tail.set_durable(101);
        tail.cut(len);
        assert_eq!((tail.len(), tail.written(), tail.durable()), (len, len.min(101), len.min(101)), "{len}");
        assert_eq!(put(&mut tail, b"x"), len);
    }
}

#[test]
fn a_panic_while_filling_takes_back_what_it_had_put() {
    let mut tail = tail();
    put(&mut tail, b"abc");
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        tail.fill(2, |_, space| {
            space.put(b"de");
            panic!("encoder");
        });
    }));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "encoder");
    assert_eq!(tail.len(), 103);
    tail.fill(1, |_, space| {
        space.put(b"x");
        assert_eq!(space.written(), b"x");
        space.written()[0] = b'y';
    });
    assert_eq!(&tail.read(100, 4).1[..], b"abcy");
}

/// What is made apart is put from where its maker says on, and not at all when that fails; what was put before can be taken
/// back, and nothing else.
#[test]
fn what_is_made_apart_is_put_or_not() {
    let mut tail = tail();
    put(&mut tail, b"abc");
    for _ in 0..2 {
        tail.fill(8, |_, space| {
            let made = space.put_made(|buf| {
                assert_eq!(buf, b"", "nothing is left of the one before");
                buf.extend_from_slice(b"--de");
                Ok::<_, ()>(2)
            });
            assert_eq!((made, &*space.written()), (Ok(()), &b"de"[..]));
            let failed = space.put_made(|buf| {
                buf.extend_from_slice(b"zz");
                Err("of the wrong size")
            });
            assert_eq!((failed, &*space.written()), (Err("of the wrong size"), &b"de"[..]));
            space.put_made(|buf| Ok::<_, ()>(buf.len() + 1)).unwrap();
            assert_eq!(&*space.written(), b"de");
            space.take_back();
            assert_eq!(&*space.written(), b"");
        });
    }
    assert_eq!(tail.len(), 103);
    assert_eq!(&tail.read(100, 3).1[..], b"abc");
}

/// The next buffer is as large from the start as the last one has become.
#[test]
fn a_buffer_does_not_grow_twice() {
    let mut tail = Tail::new(0, 0, 1000, Spares::new(0));
    for _ in 0..100 {
        put(&mut tail, &[1; 10]);
    }
    tail.freeze();
    put(&mut tail, &[2; 10]);
    let place = tail.filling.as_ptr();
    for _ in 1..100 {
        put(&mut tail, &[2; 10]);
    }
    assert_eq!(tail.filling.as_ptr(), place);
    assert_eq!(tail.filling.capacity(), 1000);
    put(&mut tail, &[3; 50_000]);
    tail.freeze();
    put(&mut tail, &[4; 10]);
    assert_eq!(tail.filling.capacity(), 1000, "one that was taken whole is no measure");
}

/// However appends divide a buffer, it ends up with what a buffer has, not with twice as much: else the spares, which have
/// room for so many buffers, would keep half of them.
#[test]
fn buffers_are_of_one_size() {
    let spares = Spares::new(2000);
    let mut tail = Tail::new(0, 0, 1000, spares.clone());
    for len in [35, 990, 1000, 7] {
        let mut end = tail.len();
        while tail.filling_bytes() + len <= 1000 {
            put(&mut tail, &vec![1; len]);
            end += len as u64;
        }
        assert_eq!(tail.filling.capacity(), 1000, "of appends of {len} bytes");
        tail.freeze();
        put(&mut tail, &[2]);
        assert_eq!(tail.filling.capacity(), 1000, "behind appends of {len} bytes");
        tail.set_written(end);
        tail.freeze();
        tail.set_written(end + 1);
        assert!([1000, 2000].contains(&spares.kept_bytes()));
    }
    assert_eq!(spares.kept_bytes(), 2000, "both are used again");
    // One that is taken whole has what it needs.
    put(&mut tail, &[3; 5000]);
    assert_eq!(tail.filling.capacity(), 5000);
}

#[test]
fn buffers_are_used_again() {
    let spares = Spares::new(1 << 20);
    let mut tail = Tail::new(0, 0, 1 << 20, spares.clone());
    put(&mut tail, &[1; 1000]);
    let place = tail.filling.as_ptr();
    tail.freeze();
    let reader = tail.read(10, 10).1;
    tail.set_written(1000);
    assert_eq!(spares.kept_bytes(), 0, "a reader still has it");
    drop(reader);
    assert_eq!(spares.kept_bytes(), 1000);
    put(&mut tail, &[2; 10]);
    assert_eq!(tail.filling.as_ptr(), place);
    drop(tail);
    assert_eq!(spares.kept_bytes(), 1000, "an idle log holds none");

    let none = Spares::new(10);
    let mut tail = Tail::new(0, 0, 1 << 20, none.clone());
    put(&mut tail, &[1; 1000]);
    drop(tail);
    assert_eq!(none.kept_bytes(), 0, "no more is kept than asked for");
}
