use super::*;

#[test]
fn a_buffer_comes_back_when_the_last_clone_is_dropped() {
    let pool = BufferPool::new(1 << 20);
    let mut buffer = pool.take(700).unwrap();
    assert_eq!(buffer.len(), 700);
    buffer.fill(7);
    let place = buffer.as_ptr();
    let bytes = buffer.freeze();
    assert_eq!(bytes.as_ptr(), place, "no copy");
    let part = bytes.slice(10..20);
    drop(bytes);
    assert_eq!(pool.kept_bytes(), 0);
    assert_eq!(&part[..], &[7; 10]);
    drop(part);
    assert_eq!(pool.kept_bytes(), 1024);
    assert_eq!(pool.take(1024).unwrap().as_ptr(), place, "the same buffer again");
}

#[test]
fn no_more_is_kept_than_asked_for() {
    let pool = BufferPool::new(2048);
    let buffers: Vec<_> = (0..5).map(|_| pool.take(1000).unwrap()).collect();
    drop(buffers);
    assert_eq!(pool.kept_bytes(), 2048);
    let large = pool.take(SMALLEST_BYTES << CLASSES).unwrap();
    drop(large);
    assert_eq!(pool.kept_bytes(), 2048);
}

#[test]
fn every_length_gets_a_class_that_holds_it() {
    for (len, class) in
        [(0, Some(0)), (1, Some(0)), (512, Some(0)), (513, Some(1)), (1024, Some(1)), (4 << 20, Some(13))]
    {
        assert_eq!(class_of(len), class, "{len}");
    }
    assert_eq!(class_of((4 << 20) + 1), None);
    assert_eq!(class_of(usize::MAX), None);
    assert_eq!(BufferPool::new(0).take((4 << 20) + 1).unwrap().len(), (4 << 20) + 1);
}

/// A sparse file is longer than memory, and somebody reads all of it at once: he is told, and the process goes on.
#[test]
fn more_than_there_can_be_is_an_error() {
    let pool = BufferPool::new(1 << 20);
    // More than 47 bits of address space, and more than a `Vec` can hold.
    for len in [1 << 50, isize::MAX as usize, usize::MAX] {
        assert_eq!(pool.take(len).map(|buffer| buffer.len()).ok(), None, "{len}");
    }
    assert_eq!(pool.take(5).unwrap().len(), 5);
}
