//! The program that libFuzzer drives. The variable `FUZZ_TARGET` names the target, so that one program is built and
//! linked, not six; with `FUZZ_SEEDS` it writes inputs to begin with into that folder and ends.
//!
//! libFuzzer has the `main`, and calls functions without mangled names: both come from the macros of `libfuzzer-sys`, so
//! that there is no unsafe code here.

#![no_main]

use std::alloc::System;
use std::path::Path;
use std::process::exit;
use std::sync::OnceLock;

use cap::Cap;
use fuzz::{Target, mutate, write_seeds};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

/// libFuzzer's own limit looks at what is used once a second; this one at each allocation, also one that is never touched.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

static TARGET: OnceLock<Target> = OnceLock::new();

fn target() -> Target {
    *TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        Target::named(&name).unwrap_or_else(|| {
            let names: Vec<_> = Target::ALL.iter().map(|target| target.name()).collect();
            eprintln!("error: FUZZ_TARGET is {name:?}, and must be one of {}", names.join(", "));
            exit(2)
        })
    })
}

/// Before the first input.
fn prepare() {
    // The hook that was set ends the process at once. Here a panic may be caught, to print the script that leads to it;
    // one that is not caught ends the process too.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let target = target();
    if let Some(folder) = std::env::var_os("FUZZ_SEEDS") {
        match write_seeds(target, Path::new(&folder)) {
            Ok(count) => {
                println!("{count} inputs");
                exit(0)
            }
            Err(error) => {
                eprintln!("error: {}: {error}", folder.display());
                exit(2)
            }
        }
    }
    target.prepare();
}

fuzz_target!(init: prepare(), |data: &[u8]| {
    let target = target();
    let limit = |bytes: usize| {
        if ALLOCATOR.set_limit(bytes).is_err() {
            eprintln!("error: more is allocated than {bytes} bytes");
        }
    };
    limit(ALLOCATOR.allocated().saturating_add(target.max_memory()));
    target.run(data);
    limit(usize::MAX);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(target(), data, size, max_size, seed, fuzzer_mutate)
});
