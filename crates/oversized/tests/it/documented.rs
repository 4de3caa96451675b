//! `docs/format.md` shows the files of a small store, byte by byte, and says what the bytes mean. Here the files are made
//! of the document and opened, the tables are compared with the bytes they are about, and the store is written again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob_runtime::{FileStorage, Storage};
use fixed_journal::Journal;
use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt};
use glob::{Cursor, Glob};
use oversized::{Compression, Config, Located, OnDamage, Oversized};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/format.md");

/// A row of a table below a dump: what it says is at an offset of the file.
#[derive(Debug)]
struct Row {
    at: usize,
    /// Whether the first piece of code stands right there, not only behind it.
    begins: bool,
    content: Vec<String>,
}

/// A file of the document.
#[derive(Debug, Default)]
struct Dump {
    bytes: Vec<u8>,
    rows: Vec<Row>,
}

/// The dumps of the document, by the paths of their files below `small`.
fn dumps() -> BTreeMap<PathBuf, Dump> {
    let text = fs::read_to_string(DOCUMENT).unwrap();
    let mut dumps = BTreeMap::new();
    let mut path = None;
    let mut in_dump = false;
    for line in text.lines() {
        if let Some(file) = line.strip_prefix("$ hexdump -C small/") {
            path = Some(PathBuf::from(file));
            in_dump = true;
        } else if line.starts_with("```") {
            in_dump = false;
        } else if line.starts_with('#') {
            path = None;
        } else if let Some(path) = &path {
            let dump: &mut Dump = dumps.entry(path.clone()).or_default();
            if in_dump {
                dump.line(line);
            } else {
                dump.rows.extend(row(line));
            }
        }
    }
    dumps
}

impl Dump {
    /// One line of `hexdump -C`: `*` stands for more lines like the one before, and the last line is the length.
    fn line(&mut self, line: &str) {
        if line == "*" {
            return;
        }
        let (offset, rest) = line.split_at(8);
        let offset = usize::from_str_radix(offset, 16).unwrap();
        let last = self.bytes.len().saturating_sub(16);
        while self.bytes.len() < offset {
            self.bytes.push(self.bytes[last + self.bytes.len() % 16]);
        }
        let hex = rest.split('|').next().unwrap();
        let bytes: Vec<u8> = hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let shown = rest.split('|').nth(1).unwrap_or_default();
        let text: String =
            bytes.iter().map(|byte| if (b' '..=b'~').contains(byte) { *byte as char } else { '.' }).collect();
        assert_eq!(if text.contains('|') { shown } else { &text }, shown, "the text beside byte {offset:08x}");
        self.bytes.extend(bytes);
    }

    /// Every piece of code in a row stands in the bytes from its offset on, in order, before the offset of the next row.
    fn check(&self, path: &Path) {
        for (number, row) in self.rows.iter().enumerate() {
            let end = self.rows.get(number + 1).map_or(self.bytes.len(), |next| next.at);
            assert!(row.at < end, "{}: row {:04x} is not before the next", path.display(), row.at);
            let mut at = row.at;
            for code in &row.content {
                let wanted = bytes_of(code);
                let found = self.bytes[at..end].windows(wanted.len()).position(|bytes| bytes == wanted);
                let is_first = at == row.at && row.begins;
                let found = found.filter(|found| !is_first || *found == 0);
                let found = found.unwrap_or_else(|| panic!("{}: {code} is not at {:04x}", path.display(), row.at));
                at += found + wanted.len();
            }
        }
    }
}

/// `| 1000 | .. | .. |`, with what is in backticks in the second column.
fn row(line: &str) -> Option<Row> {
    let mut columns = line.strip_prefix("| ")?.split('|').map(str::trim);
    let at = columns.next().filter(|column| column.len() == 4)?;
    let at = usize::from_str_radix(at, 16).ok()?;
    let column = columns.next()?;
    let begins = column.starts_with('`') && !column.starts_with("`..");
    let content = column.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some(Row { at, begins, content })
}

/// Hex digits, or text.
fn bytes_of(code: &str) -> Vec<u8> {
    let digits = code.trim_start_matches("..");
    let is_hex = digits.len().is_multiple_of(2) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_hex {
        true => digits
            .as_bytes()
            .chunks(2)
            .map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap())
            .collect(),
        false => digits.as_bytes().to_vec(),
    }
}

/// Puts the files of the document into a directory.
fn write(dumps: &BTreeMap<PathBuf, Dump>, root: &Path) {
    for (path, dump) in dumps {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), &dump.bytes).unwrap();
    }
}

#[test]
fn the_tables_say_what_the_bytes_are() {
    let dumps = dumps();
    // One of the three manifests is shown.
    assert_eq!(dumps.len(), 5, "{:?}", dumps.keys());
    for (path, dump) in &dumps {
        assert!(dump.rows.len() >= 2, "{}", path.display());
        dump.check(path);
    }
}

/// Somebody changes a digit of a dump: its store does not open any more, or reads otherwise.
#[test]
fn the_files_of_the_document_are_stores() {
    let root = tempfile::tempdir().unwrap();
    let dumps = dumps();
    write(&dumps, root.path());
    block_on(async {
        let storage = Arc::new(FileStorage::builder(root.path()).read_only(true).open().unwrap());
        let config = oversized::Config::new("pairs").read_only(true);
        let pairs = Oversized::<Located<u64>, String>::open(storage, config).await.unwrap();
        assert!(pairs.recovery().opening.clean);
        let all: Vec<_> = pairs.replay_values(0, 0).try_collect().await.unwrap();
        let all: Vec<_> = all.iter().map(|entry| (entry.position, entry.record.data, entry.value.as_str())).collect();
        let last = "ab".repeat(100);
        assert_eq!(all, [(0, 100, "genesis"), (1, 101, "left"), (2, 102, "right"), (3, 103, last.as_str())]);
        let findings: Vec<_> = pairs.verify(..).collect().await;
        assert!(findings.is_empty(), "{findings:?}");

        drop(pairs);

        // Their manifests are not shown: they are made anew of the headers.
        let storage: Arc<dyn Storage> = Arc::new(FileStorage::open(root.path()).unwrap());
        let config = glob::Config::new("blocks").on_damage(OnDamage::Truncate);
        let blocks = Glob::<String>::open(Arc::clone(&storage), config).await.unwrap();
        let all: Vec<_> = blocks.scan(7, Cursor::START).try_collect().await.unwrap();
        assert_eq!(all.iter().map(|item| item.value.as_str()).collect::<Vec<_>>(), ["a small block", "the next"]);

        let config = fixed_journal::Config::new("heights").on_damage(OnDamage::Truncate);
        let heights = Journal::<(u64, u64)>::open(storage, config).await.unwrap();
        let all: Vec<_> = heights.replay(0, 0).try_collect().await.unwrap();
        let items: Vec<_> = all.iter().map(|entry| entry.item).collect();
        assert_eq!(items, [(100, 1_700_000_000), (101, 1_700_000_012), (102, 1_700_000_024)]);
    });
}

/// The three stores are written again as the examples do: the document's files, but for what is drawn at random and the
/// checksums that depend on it.
#[test]
fn the_files_are_written_so_today() {
    let root = tempfile::tempdir().unwrap();
    block_on(async {
        let storage: Arc<dyn Storage> = Arc::new(FileStorage::open(root.path()).unwrap());
        let config = Config::new("pairs").page_bytes(64).compression(Compression::Zstd { level: 3 });
        let pairs = Oversized::<Located<u64>, String>::open(Arc::clone(&storage), config).await.unwrap();
        pairs.append(7, Located::new(100), &"genesis".to_owned()).await.unwrap();
        pairs.sync(7).await.unwrap();
        let batch = [(Located::new(101), "left".to_owned()), (Located::new(102), "right".to_owned())];
        pairs.append_all(7, batch).await.unwrap();
        pairs.append(7, Located::new(103), &"ab".repeat(100)).await.unwrap();
        pairs.sync(7).await.unwrap();
        pairs.close().await.unwrap();

        let blocks = Glob::<String>::open(Arc::clone(&storage), glob::Config::new("blocks")).await.unwrap();
        for value in ["a small block", "the next"] {
            blocks.append(7, &value.to_owned()).await.unwrap();
            blocks.sync(7).await.unwrap();
        }
        blocks.close().await.unwrap();

        let config = fixed_journal::Config::new("heights");
        let heights = Journal::<(u64, u64)>::open(storage, config).await.unwrap();
        for items in [&[(100, 1_700_000_000), (101, 1_700_000_012)][..], &[(102, 1_700_000_024)]] {
            heights.append_all(7, items).await.unwrap();
            heights.sync(7).await.unwrap();
        }
        heights.close().await.unwrap();
    });
    // Bound checksums: of slots of pages, headers of frames, slots of a manifest.
    let checksums: [(&str, &[usize]); 5] = [
        ("heights/0000000000000007.", &[0x1ff0, 0x1ffc]),
        ("blocks/0000000000000007.", &[0x1024, 0x1059, 0x1089]),
        ("pairs-index/0000000000000007.", &[0x1030, 0x1070]),
        ("pairs-values/0000000000000007.", &[0x1038, 0x107b, 0x10bb, 0x10fc, 0x1136]),
        ("pairs-values/6d657461.", &[0x1ffc, 0x2ffc]),
    ];
    let dumps = dumps();
    for (file, checksums) in checksums {
        let (partition, name) = file.split_once('/').unwrap();
        let is_it = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with(name);
        let mut files = fs::read_dir(root.path().join(partition)).unwrap().map(|entry| entry.unwrap().path());
        let written = fs::read(files.find(|path| is_it(path)).unwrap()).unwrap();
        let (_, dump) = dumps.iter().find(|(path, _)| path.starts_with(partition) && is_it(path)).unwrap();
        assert_eq!(written.len(), dump.bytes.len(), "{file}");
        // Store id, salt and checksum of the header, and the store id in slots.
        let mut free: Vec<usize> = (20..36).chain(checksums.iter().flat_map(|at| *at..at + 4)).collect();
        if name == "6d657461." {
            free.extend((0x1000..0x1008).chain(0x2000..0x2008));
        }
        let differ = (0..written.len()).filter(|at| written[*at] != dump.bytes[*at] && !free.contains(at));
        assert_eq!(differ.collect::<Vec<_>>(), [0_usize; 0], "{file}");
    }
}
