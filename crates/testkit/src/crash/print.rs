//! Prints a script as a test to commit.

use std::fmt::Write;

use blob_runtime::sim::{Crash, Granularity};

use super::oracle::Violation;
use super::script::{End, Life, Op, Script, Settings};

/// A test of this script, with what it breaks as its story.
pub fn print(script: &Script, violation: &Violation) -> String {
    let mut text = String::new();
    let promise = format!("{:?}", violation.promise).to_lowercase();
    let story = violation.what.split("; worlds: ").next().unwrap_or_default();
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "/// {:?}: {story}.\n#[test]\nfn {promise}_seed_{}() {{\n    let script = {};\n    \
         assert_eq!(run(&script).violation, None);\n}}\n",
        violation.promise,
        script.seed,
        literal(script),
    );
    text
}

/// The script as an expression.
pub fn literal(script: &Script) -> String {
    let Script { seed, record_bytes, ordered, stale, granularity, lives } = script;
    let granularity = match granularity {
        None => "None".to_owned(),
        Some(unit @ (Granularity::Byte | Granularity::Sector | Granularity::Block)) => {
            format!("Some(Granularity::{unit:?})")
        }
    };
    let lives: String = lives.iter().map(|life| format!("            {},\n", of_life(life))).collect();
    format!(
        "Script {{\n        seed: {seed},\n        record_bytes: {record_bytes},\n        ordered: {ordered},\n        \
         stale: {stale},\n        granularity: {granularity},\n        lives: vec![\n{lives}        ],\n    }}"
    )
}

fn of_life(life: &Life) -> String {
    let Life { settings, ops, end: End { step, crash } } = life;
    let crash = match crash {
        Crash::Kill => "Crash::Kill".to_owned(),
        Crash::Power(cut) => format!("Crash::Power(Cut::{cut:?})"),
    };
    let settings = of_settings(settings);
    format!("Life {{ settings: {settings}, ops: {}, end: End {{ step: {step}, crash: {crash} }} }}", of_ops(ops))
}

fn of_settings(settings: &Settings) -> String {
    if *settings == Settings::PLAIN { "Settings::PLAIN".into() } else { format!("{settings:?}") }
}

fn of_ops(ops: &[Op]) -> String {
    format!("vec![{}]", ops.iter().map(of_op).collect::<Vec<_>>().join(", "))
}

fn of_op(op: &Op) -> String {
    match op {
        Op::Dropped { polls, op } => format!("Op::Dropped {{ polls: {polls}, op: Box::new({}) }}", of_op(op)),
        Op::Spawn(op) => format!("Op::Spawn(Box::new({}))", of_op(op)),
        Op::Together(ops) => format!("Op::Together({})", of_ops(ops)),
        Op::Reader { settings, between } => {
            format!("Op::Reader {{ settings: {}, between: {} }}", of_settings(settings), of_ops(between))
        }
        Op::Reopen { close, settings } => {
            format!("Op::Reopen {{ close: {close}, settings: {} }}", of_settings(settings))
        }
        Op::Destroy { settings } => format!("Op::Destroy {{ settings: {} }}", of_settings(settings)),
        Op::WrongRecord { settings } => format!("Op::WrongRecord {{ settings: {} }}", of_settings(settings)),
        Op::Fault(fault) => format!("Op::Fault(FaultAt::{fault:?})"),
        op => format!("Op::{op:?}").replace('[', "vec!["),
    }
}
