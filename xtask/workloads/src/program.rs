//! The program around the loop: what the runner starts once for each engine, workload and phase.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::catalog::{self, Scale};
use crate::drive::{Ended, Job};
use crate::workload::Action;
use crate::{Outcome, Result, Workload, process};

#[cfg(test)]
mod tests;

/// An engine that a program can run.
#[derive(Debug, Clone, Copy)]
pub struct Contender {
    /// What it is called in results and on the command line.
    pub name: &'static str,
    /// What it is: version, and how it is used where there is a choice.
    pub about: &'static str,
    /// Why it cannot do something, if so.
    pub unsupported: fn(Action) -> Option<&'static str>,
    /// Does one phase of one workload.
    pub run: fn(&Job) -> Result<Ended>,
}

/// What a program says about each engine it can run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// [`Contender::name`].
    pub name: String,
    /// [`Contender::about`].
    pub about: String,
}

/// What a program prints, as one line of JSON, when it ends well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The store is made.
    Prepared,
    /// The engine cannot do this, and why.
    Unsupported(String),
    /// It was measured.
    Measured(Box<Outcome>),
}

/// Which part of a workload a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Phase {
    /// Make the store, where the workload needs one.
    Prepare,
    /// Measure.
    Measure,
}

/// Runs one engine through one workload and prints the result as a line of JSON.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the engines.
    Engines,
    /// Lists the workloads.
    Workloads,
    /// Runs one phase of one workload.
    Run {
        /// An engine of the list.
        engine: String,
        /// A workload of the list, or one as JSON.
        workload: String,
        /// The store's directory; made when missing.
        #[arg(long, value_name = "DIR")]
        directory: PathBuf,
        /// What to do.
        #[arg(long, value_enum)]
        phase: Phase,
    },
}

/// The whole program: reads the command line, does what it says, prints one line of JSON.
pub fn main(contenders: &[Contender]) -> ExitCode {
    match answer(&Cli::parse().command, contenders) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(command: &Command, contenders: &[Contender]) -> Result<String> {
    match command {
        Command::Engines => {
            let about = |of: &Contender| Introduction { name: of.name.into(), about: of.about.into() };
            Ok(serde_json::to_string(&contenders.iter().map(about).collect::<Vec<_>>())?)
        }
        Command::Workloads => Ok(serde_json::to_string(&catalog::workloads(Scale::Full))?),
        Command::Run { engine, workload, directory, phase } => {
            let contender = contenders.iter().find(|contender| contender.name == engine);
            let contender = contender.ok_or_else(|| format!("there is no engine {engine}"))?;
            let workload = workload_of(workload)?;
            if let Some(why) = (contender.unsupported)(workload.action) {
                return Ok(serde_json::to_string(&Answer::Unsupported(why.into()))?);
            }
            process::allow_many_files()?;
            std::fs::create_dir_all(directory)?;
            if *phase == Phase::Measure {
                process::settle(directory)?;
            }
            let job = Job { engine: engine.clone(), workload, directory: directory.clone(), phase: *phase };
            let answer = match (contender.run)(&job)? {
                Ended::Prepared => Answer::Prepared,
                Ended::Measured(outcome) => Answer::Measured(outcome),
                Ended::Unclean => {
                    println!("{}", serde_json::to_string(&Answer::Prepared)?);
                    // As a killed process ends: nothing is closed, threads stop where they are.
                    std::process::exit(0);
                }
            };
            Ok(serde_json::to_string(&answer)?)
        }
    }
}

/// A workload by its id or in JSON.
fn workload_of(text: &str) -> Result<Workload> {
    if text.starts_with('{') {
        return Ok(serde_json::from_str(text)?);
    }
    let known = catalog::workloads(Scale::Full).into_iter().find(|workload| workload.id == text);
    known.ok_or_else(|| format!("there is no workload {text}").into())
}
