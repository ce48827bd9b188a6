//! `cargo xtask log`: a saved console, made readable.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context, Result};

use crate::frames::{Decoder, Tables};
use crate::mark::{Parser, Piece};
use crate::setup::USER_TRIPLE;
use crate::workspace::Workspace;

/// Show a saved console log with its deferred log frames decoded.
///
/// The text of a frame is in the program that logged it: it is decoded if that very program lies in the folder of programs, and stays as it
/// is otherwise. The marks for programs that drive the console are left out.
#[derive(clap::Args)]
pub struct Options {
    /// The console log, for example target/logs/run.log
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where the programs are, with symbols [default: those that were built last]
    #[arg(long, value_name = "FOLDER")]
    pub programs: Option<PathBuf>,
}

/// Runs the command.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let bytes = std::fs::read(&options.file).with_context(|| format!("can't read {}", options.file.display()))?;
    let folder = options.programs.clone().unwrap_or_else(|| workspace.target_dir.join(USER_TRIPLE).join("release"));
    let tables = Tables::of_folder(&folder)?;
    stdout().write_all(&readable(&bytes, tables))?;
    Ok(())
}

/// The text of a console, with line ends of this system.
fn readable(bytes: &[u8], tables: Tables) -> Vec<u8> {
    let (mut parser, mut decoder) = (Parser::default(), Decoder::new(Rc::new(tables)));
    let mut text = Vec::new();
    let pieces = parser.push(bytes);
    for piece in pieces.into_iter().chain([Piece::Text(parser.finish())]) {
        match piece {
            Piece::Text(bytes) => text.extend(decoder.push(&bytes)),
            Piece::Mark(_) => text.extend(decoder.flush()),
        }
    }
    text.extend(decoder.flush());
    text.retain(|&byte| byte != b'\r');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_carriage_returns_are_left_out() {
        let console = b"\x1b]7770;prompt\x07$ log\r\n\x1b]7770;begin\x07a defmt 0123456789abcdef 0100\x1b]7770;status;0\x07\r\nde";
        assert_eq!(readable(console, Tables::default()), b"$ log\na defmt 0123456789abcdef 0100\nde");
    }
}
