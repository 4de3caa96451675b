//! A whole store: files that were sound and were changed, or files made of nothing but the input.

pub(crate) mod edit;
mod look;
pub(crate) mod template;

use std::sync::OnceLock;

use blob_runtime::Salt;
use blob_runtime::sim::{self, Sim};

use crate::input::{Input, expand};
use crate::reseal;
use look::{Case, Way, look};
use template::{File, Files, Kind, Template};

/// Bytes of each record of an input.
pub const RECORD_BYTES: usize = 8;
/// Edits beyond these do not count.
const MAX_EDITS: usize = 24;
/// The longest file that an input is.
const MAX_FILE_BYTES: usize = 24 << 10;

static TEMPLATES: OnceLock<Vec<Template>> = OnceLock::new();

pub(crate) fn templates() -> &'static [Template] {
    TEMPLATES.get_or_init(template::make_all)
}

/// Makes the stores that inputs change.
pub fn prepare() {
    templates();
}

/// The first record: `which store u8 │ how it is opened, u8 │ flags u8 │ 5 unused`. Then an [edit](edit::Edit) in each
/// record; or, when there is no such store, files: `which u8 │ bytes without their zeros`, made anew with bit 0 of the
/// flags.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut own = Input(input.bytes(RECORD_BYTES));
    let (which, way, flags) = (own.u8(), own.u8(), own.u8());
    let way = [Way::Refuse, Way::Truncate, Way::ReadOnly][usize::from(way % 3)];
    let (kind, files, sound) = match templates().get(usize::from(which)) {
        Some(template) => {
            let mut files = template.files.clone();
            let mut forged = false;
            for record in input.0.chunks(RECORD_BYTES).take(MAX_EDITS) {
                forged |= edit::Edit::of(record).apply(&mut files);
            }
            (template.kind, files, (!forged).then_some(template))
        }
        None => {
            let kind = [Kind::Pair, Kind::Journal, Kind::Glob][usize::from(which % 3)];
            (kind, raw(&mut input, kind, flags & 1 != 0), None)
        }
    };
    // All of a run follows from its seed, and so from the input.
    sim::run(7, |sim| async move {
        put(&sim, &files);
        look(&sim, Case { kind, way, sound, cut_power: flags & 2 != 0 }).await;
    });
}

/// Files that are nothing but the input: each a partition, a name, and its bytes.
fn raw(input: &mut Input<'_>, kind: Kind, forge: bool) -> Files {
    let mut files = Files::new();
    while !input.is_empty() && files.len() < 6 {
        let which = input.u8();
        let partition = match kind {
            Kind::Pair if which & 1 == 0 => "blocks-index",
            Kind::Pair => "blocks-values",
            Kind::Journal | Kind::Glob => "blocks",
        };
        let name = match which >> 1 & 3 {
            0 => b"meta".to_vec(),
            1 => 1_u64.to_be_bytes().to_vec(),
            2 => u64::MAX.to_be_bytes().to_vec(),
            _ => vec![which],
        };
        let salt = Salt(u32::from(which >> 3 & 1) + 9);
        let mut bytes = expand(input, MAX_FILE_BYTES);
        if forge {
            reseal::file(&mut bytes, &name, salt);
        }
        files.push(File { partition: partition.to_owned(), name, salt, bytes });
    }
    files
}

fn put(sim: &Sim, files: &Files) {
    for File { partition, name, salt, bytes } in files {
        sim.disk().put(partition, name, *salt, bytes.clone());
    }
}
