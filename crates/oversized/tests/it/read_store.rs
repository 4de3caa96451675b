//! `tools/read_store.py`, written from `docs/format.md` alone, agrees with the library about stores of every setting. Where
//! they differ, the document, the tool or the library is wrong.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use blob_runtime::FileStorage;
use blob_runtime::codec::Encode;
use futures::TryStreamExt;
use futures::executor::block_on;
use oversized::{Compression, Config, Located, Oversized};

type Store = Oversized<Located<(u64, [u8; 5])>, Vec<u8>>;

const TOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/read_store.py");

/// Whether a program is there.
fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Runs the tool, if there is a Python to run it with.
fn read(root: &Path, name: &str, more: &[&str]) -> Option<(Option<i32>, String, String)> {
    if !has("python3") {
        println!("skipped: python3 is not there");
        return None;
    }
    let output = Command::new("python3").arg(TOOL).arg(root).arg(name).args(more).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Some((output.status.code(), text(output.stdout), text(output.stderr)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the library says about a store that nobody writes, in the tool's words. It opens it read-only, so nothing is
/// recovered.
fn expected(root: &Path, python_has_zstd: bool) -> String {
    let storage = Arc::new(FileStorage::builder(root).read_only(true).open().unwrap());
    let mut lines = String::new();
    block_on(async {
        let store = Store::open(storage, Config::new("pairs").read_only(true)).await.unwrap();
        let all: Vec<_> = store.replay_values(store.pruned_to(), 0).try_collect().await.unwrap();
        for entry in all {
            let mut record = Vec::new();
            entry.record.encode(&mut record);
            let location = oversized::Record::value_location(&entry.record);
            let overhead = 40 + record.len();
            let zstd = location.size as usize - overhead < entry.value.len();
            let value = if zstd && !python_has_zstd { "null".into() } else { format!("\"{}\"", hex(&entry.value)) };
            lines += &format!(
                "{{\"section\": {}, \"position\": {}, \"record\": \"{}\", \"offset\": {}, \"size\": {}, \"raw\": {}, \
                 \"zstd\": {zstd}, \"value\": {value}}}\n",
                entry.section,
                entry.position,
                hex(&record),
                location.offset,
                location.size,
                entry.value.len(),
            );
        }
    });
    lines
}

fn agree(root: &Path, story: &str) {
    let Some((code, found, told)) = read(root, "pairs", &["--json"]) else { return };
    let module = || {
        let asked = Command::new("python3").args(["-c", "from compression import zstd"]).output();
        asked.is_ok_and(|output| output.status.success())
    };
    let expected = expected(root, has("zstd") || module());
    assert_eq!((code, told.as_str()), (Some(0), ""), "{story}");
    assert!(!expected.is_empty(), "{story}");
    assert_eq!(found, expected, "{story}");
}

fn value(n: u64, len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(n);
    // Half of them compress well.
    if n.is_multiple_of(2) { vec![n as u8; len] } else { std::iter::repeat_with(|| rng.u8(..)).take(len).collect() }
}

async fn fill(store: &Store, section: u64, count: u64) {
    for n in 0..count {
        let record = Located::new((section ^ n, [n as u8; 5]));
        store.append(section, record, &value(n, (n as usize % 7) * 150)).await.unwrap();
        if n % 5 == 4 {
            store.sync(section).await.unwrap();
        }
    }
}

/// Page sizes, checkpoints, compression and zeros ahead in all combinations; sections of many sizes up to the highest
/// number; batches; a rewind, after which entries are appended again, and a prune. Closed in order, and not.
#[test]
fn the_tool_agrees_on_stores_of_every_setting() {
    let compressions = [Compression::None, Compression::Zstd { level: 3 }, Compression::Zstd { level: -5 }];
    for (page_bytes, compression) in [64, 4096, 65_536].iter().flat_map(|page| compressions.map(|zstd| (*page, zstd))) {
        for (index_buffer_bytes, preallocate_bytes, close) in
            [(1 << 18, 1 << 20, true), (500, 0, true), (500, 8192, false)]
        {
            let story = format!("{page_bytes} {compression:?} {index_buffer_bytes} {preallocate_bytes} {close}");
            let root = tempfile::tempdir().unwrap();
            let config = Config::new("pairs")
                .page_bytes(page_bytes)
                .compression(compression)
                .index_buffer_bytes(index_buffer_bytes)
                .preallocate_bytes(preallocate_bytes);
            block_on(async {
                let storage = Arc::new(FileStorage::open(root.path()).unwrap());
                let store = Store::open(storage, config).await.unwrap();
                for (section, count) in [(1, 3), (2, 120), (3, 60), (4, 1), (u64::MAX, 7)] {
                    fill(&store, section, count).await;
                }
                let batch = (0..4).map(|n| (Located::new((n, [9; 5])), value(n, 300)));
                store.append_all(4, batch).await.unwrap();
                store.rewind_section(2, 100).await.unwrap();
                fill(&store, 2, 11).await;
                store.prune(2).await.unwrap();
                store.set_state("a word".into()).await.unwrap();
                store.sync_all().await.unwrap();
                if close {
                    store.close().await.unwrap();
                }
            });
            agree(root.path(), &story);
        }
    }
}

/// A store of one entry in one section of the highest number, never closed, opened again and closed: a seal in the middle.
#[test]
fn the_tool_agrees_on_a_store_that_was_recovered() {
    let root = tempfile::tempdir().unwrap();
    for round in 0..3 {
        block_on(async {
            let storage = Arc::new(FileStorage::open(root.path()).unwrap());
            let store = Store::open(storage, Config::new("pairs")).await.unwrap();
            store.append(u64::MAX, Located::new((round, [1; 5])), &value(round, 99)).await.unwrap();
            store.sync(u64::MAX).await.unwrap();
        });
        agree(root.path(), &format!("round {round}"));
    }
}

/// One byte of a value rots in a store that was closed in order: the tool names the file and the place, and ends with 1.
#[test]
fn the_tool_tells_damage() {
    let root = tempfile::tempdir().unwrap();
    block_on(async {
        let storage = Arc::new(FileStorage::open(root.path()).unwrap());
        let store = Store::open(storage, Config::new("pairs")).await.unwrap();
        fill(&store, 1, 4).await;
        store.close().await.unwrap();
    });
    let partition = root.path().join("pairs-values");
    let names = std::fs::read_dir(&partition).unwrap().map(|entry| entry.unwrap().path());
    let path = names.into_iter().find(|path| path.to_str().unwrap().contains("/0000000000000001.")).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // The second frame: the first has 40 bytes of header, 25 of tag, and an empty value.
    bytes[4096 + 65 + 65 + 10] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let Some((code, found, told)) = read(root.path(), "pairs", &["--json"]) else { return };
    assert_eq!((code, found.lines().count()), (Some(1), 1));
    let place = format!("damage: {}: no frame at byte 65, in a store that was closed in order\n", path.display());
    assert_eq!(told, place);
}

/// There is no such store: the tool says so and ends with 2.
#[test]
fn the_tool_tells_that_there_is_no_store() {
    let root = tempfile::tempdir().unwrap();
    let Some(found) = read(root.path(), "pairs", &[]) else { return };
    let told = format!("read_store.py: {}: no manifest\n", root.path().join("pairs").display());
    assert_eq!(found, (Some(2), String::new(), told));
}
