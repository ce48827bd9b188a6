//! `cargo xtask tidy`: what the compiler does not check about the sources.
//!
//! An error: leftovers of unfinished work, an unsafe block or implementation without its reason. A report: unsafe lines by module, long files.

mod scan;
mod unsafety;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::table::{Align, Table};
use crate::workspace::Workspace;

/// Check and count what the compiler does not: unsafe lines by module, their reasons, leftovers, long files.
#[derive(clap::Args)]
pub struct Options {}

/// Longer files are listed: one file should be one concept.
const LONG_FILE: usize = 500;
/// What runs on the host only: its unsafe lines are not part of the system.
const HOST_FOLDERS: [&str; 2] = ["tools", "tests"];
/// Macros that stand for work not done.
const LEFTOVER_MACROS: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
/// A word in a comment that stands for work not done.
const LEFTOVER_WORD: &str = concat!("FIX", "ME");

/// What the sources look like.
#[derive(Debug, Default)]
pub struct Findings {
    /// Unsafe lines by file, relative to the workspace's root; files without any are not listed.
    pub unsafe_lines: BTreeMap<PathBuf, usize>,
    /// What must be mended, each with its place.
    pub errors: Vec<String>,
    /// Files longer than they should be.
    pub long_files: Vec<(PathBuf, usize)>,
    /// How many files were read.
    pub files: usize,
}

impl Findings {
    /// Unsafe lines of everything that runs on the machine itself.
    pub fn unsafe_total(&self) -> usize {
        self.unsafe_lines
            .iter()
            .filter(|(path, _)| !HOST_FOLDERS.iter().any(|folder| path.starts_with(folder)))
            .map(|(_, count)| count)
            .sum()
    }

    fn read(&mut self, path: &Path, source: &str) {
        self.files += 1;
        let lines = scan::scan(source);
        let unsafety = unsafety::find(&lines);
        if !unsafety.lines.is_empty() {
            self.unsafe_lines.insert(path.to_owned(), unsafety.lines.len());
        }
        let place = |number: usize| format!("{}:{}", path.display(), number + 1);
        self.errors.extend(unsafety.unreasoned.iter().map(|&number| format!("{}: unsafe without a SAFETY: comment", place(number))));
        for (number, line) in lines.iter().enumerate() {
            for leftover in LEFTOVER_MACROS {
                let (name, bang) = leftover.split_at(leftover.len() - 1);
                if unsafety::words(&line.code, name).any(|at| line.code[at + name.len()..].starts_with(bang)) {
                    self.errors.push(format!("{}: {leftover} left behind", place(number)));
                }
            }
            if line.comment.contains(LEFTOVER_WORD) {
                self.errors.push(format!("{}: {LEFTOVER_WORD} left behind", place(number)));
            }
        }
        if lines.len() > LONG_FILE {
            self.long_files.push((path.to_owned(), lines.len()));
        }
    }
}

/// Reads every Rust source of the workspace.
pub fn look(workspace: &Workspace) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut sources = Vec::new();
    collect(&workspace.root, &workspace.target_dir, &mut sources)?;
    sources.sort();
    for path in sources {
        let source = std::fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
        findings.read(path.strip_prefix(&workspace.root).unwrap_or(&path), &source);
    }
    Ok(findings)
}

fn collect(folder: &Path, target_dir: &Path, sources: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            // Another cargo's target folder, too, is no source.
            if !name.starts_with('.') && path != target_dir && name != "target" {
                collect(&path, target_dir, sources)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
    Ok(())
}

/// Runs the command.
pub fn run(workspace: &Workspace, _options: &Options) -> Result<()> {
    let findings = look(workspace)?;
    let mut table = Table::new(&[("unsafe lines", Align::Right), ("module", Align::Left)]);
    for (path, count) in &findings.unsafe_lines {
        table.row([count.to_string(), path.display().to_string()]);
    }
    table.row([findings.unsafe_total().to_string(), "in all that runs on the machine".to_owned()]);
    for line in table.lines() {
        println!("{line}");
    }
    for (path, lines) in &findings.long_files {
        println!("long: {} has {lines} lines", path.display());
    }
    println!("{} sources read", findings.files);
    for error in &findings.errors {
        println!("error: {error}");
    }
    if findings.errors.is_empty() { Ok(()) } else { bail!("{} places to mend", findings.errors.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_errors_with_their_place() {
        let mut findings = Findings::default();
        findings.read(
            Path::new("kernel/a.rs"),
            &format!("fn f() {{\n    todo!()\n}}\n// {LEFTOVER_WORD} later\nlet x = \"dbg!(1)\"; my_dbg!(2);\nunsafe {{ g() }}\n"),
        );
        assert_eq!(findings.errors.len(), 3, "{:?}", findings.errors);
        assert!(findings.errors[0].starts_with("kernel/a.rs:6: unsafe"));
        assert!(findings.errors[1].starts_with("kernel/a.rs:2: todo!"));
        assert!(findings.errors[2].starts_with("kernel/a.rs:4: "));
        assert_eq!(findings.unsafe_total(), 1);
    }

    #[test]
    fn host_tools_are_not_part_of_the_system() {
        let mut findings = Findings::default();
        findings.read(Path::new("tools/a.rs"), "// SAFETY: x\nunsafe { g() }\n");
        assert_eq!((findings.unsafe_total(), findings.unsafe_lines.len()), (0, 1));
    }
}
