//! The one door to building, running and testing AIOS: `cargo xtask <command>`.
//!
//! | modules | what they are |
//! |---|---|
//! | [`run`], [`test`], [`bench`], [`gdb`], [`dump`], [`replay`], [`image`], [`sizes`], [`tidy`], [`graph`], [`log`], [`fuzz`], [`doc`] | the commands |
//! | [`setup`], [`workspace`], [`build`], [`artifacts`], [`disk`], [`bootscript`] | from a clean clone to files that boot |
//! | [`profile`], [`qemu`], [`machine`], [`serial`], [`mark`], [`frames`], [`commands`] | a machine and how it is driven |
//! | [`system`] | the system tests |
//! | [`console`], [`cleanup`], [`progress`], [`table`] | what a person sees |
#![forbid(unsafe_code)]

mod artifacts;
mod bench;
mod bootscript;
mod build;
mod cleanup;
mod commands;
mod console;
mod disk;
mod doc;
mod dump;
mod frames;
mod fuzz;
mod gdb;
mod graph;
mod image;
mod log;
mod machine;
mod mark;
mod profile;
mod progress;
mod qemu;
mod replay;
mod run;
mod serial;
mod setup;
mod sizes;
mod system;
mod table;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Build, run and test AIOS.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Options),
    Test(test::Options),
    Bench(bench::Options),
    Gdb(gdb::Options),
    Dump(dump::Options),
    Replay(replay::Options),
    Image(image::Options),
    Sizes(sizes::Options),
    Tidy(tidy::Options),
    Graph(graph::Options),
    Log(log::Options),
    Fuzz(fuzz::Options),
    Doc(doc::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match perform(&arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(command: &Command) -> Result<ExitCode> {
    cleanup::install()?;
    let workspace = Workspace::find()?;
    match command {
        Command::Run(options) => return run::run(&workspace, options),
        Command::Test(options) => return test::run(&workspace, options),
        Command::Bench(options) => bench::run(&workspace, options),
        Command::Gdb(options) => gdb::run(&workspace, options),
        Command::Dump(options) => dump::run(&workspace, options),
        Command::Replay(options) => replay::run(options),
        Command::Image(options) => image::run(&workspace, options),
        Command::Sizes(options) => sizes::run(&workspace, options),
        Command::Tidy(options) => tidy::run(&workspace, options),
        Command::Graph(options) => graph::run(&workspace, options),
        Command::Log(options) => log::run(&workspace, options),
        Command::Fuzz(options) => fuzz::run(&workspace, options),
        Command::Doc(options) => doc::run(&workspace, options),
    }?;
    Ok(ExitCode::SUCCESS)
}
