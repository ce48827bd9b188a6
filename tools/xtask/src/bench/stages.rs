//! Where the instructions of an operation go: by stage of the way through the kernel, and by function.
//!
//! An instruction belongs to the function that its source line is in, inlined or not, and a function to a stage by the file that it stands in. Instructions
//! of the language's own library belong to the function of the kernel that they were inlined into.

use std::collections::BTreeMap;
use std::path::Path;

use aios_dump::Program;
use anyhow::{Context, Result};
use object::{Object, ObjectSymbol};

use super::count::Counted;

/// Folders of the kernel's own sources.
const OWN: [&str; 3] = ["kernel/", "hal/", "boot/"];

/// Stages by the ends of file names; the first that fits counts.
const STAGES: &[(&str, &str)] = &[
    ("image/src/trap.rs", "entry"),
    ("image/src/exception.rs", "entry"),
    ("image/src/time.rs", "entry"),
    ("image/src/vectors.rs", "entry"),
    ("core/src/core/mod.rs", "decode"),
    ("core/src/core/quick.rs", "decode"),
    ("abi/src/call.rs", "decode"),
    ("core/src/core/caps.rs", "capability"),
    ("core/src/cap.rs", "capability"),
    ("abi/src/id.rs", "capability"),
    ("abi/src/rights.rs", "capability"),
    ("core/src/core/ipc.rs", "transfer"),
    ("core/src/core/transfer.rs", "transfer"),
    ("core/src/core/mail.rs", "transfer"),
    ("core/src/mailbox.rs", "transfer"),
    ("abi/src/message.rs", "transfer"),
    ("core/src/core/run.rs", "schedule"),
    ("core/src/timers.rs", "schedule"),
    ("image/src/machine.rs", "switch"),
    ("image/src/fp.rs", "switch"),
    ("image/src/ram.rs", "copy and zero"),
    ("core/src/core/table.rs", "agent table"),
    ("core/src/agent.rs", "agent table"),
    ("image/src/page.rs", "agent table"),
    ("core/src/pool.rs", "memory"),
    ("core/src/core/memory.rs", "memory"),
    ("core/src/core/expiry.rs", "memory"),
    ("image/src/frames.rs", "memory"),
    ("image/src/rings.rs", "cores"),
    ("core/src/core/fault.rs", "transfer"),
    ("core/src/core/agents.rs", "agents"),
    ("core/src/core/reap.rs", "agents"),
];
/// The same by a part of the path.
const FOLDERS: [(&str, &str); 5] =
    [("/sched/", "schedule"), ("/space", "memory"), ("/remote/", "cores"), ("gic", "interrupt"), ("hal/aarch64/", "switch")];
/// Quick calls have all stages in one file: these by function, all others of it are decoding.
const QUICK: [(&str, &str); 6] = [
    ("quick_call", "transfer"),
    ("quick_reply_recv", "transfer"),
    ("words", "transfer"),
    ("hand", "transfer"),
    ("is_calm", "schedule"),
    ("calls", "schedule"),
];
/// The order in which stages are shown; others come after them.
const ORDER: [&str; 8] = ["user", "entry", "decode", "capability", "transfer", "schedule", "switch", "exit"];

/// The kernel's addresses.
pub struct Map {
    program: Program,
    /// Starts of functions.
    symbols: BTreeMap<u64, String>,
}

/// A part of an operation, and how many instructions of it.
pub type Part = (String, f64);

impl Map {
    /// Reads the kernel's file.
    pub fn open(kernel: &Path) -> Result<Self> {
        let bytes = std::fs::read(kernel).with_context(|| format!("can't read {}", kernel.display()))?;
        let file = object::File::parse(&*bytes).with_context(|| format!("in {}", kernel.display()))?;
        let symbols = file.symbols().filter_map(|symbol| Some((symbol.address(), symbol.name().ok()?.to_owned())));
        // Marks of the linker and of the assembler are no functions.
        let symbols = symbols.filter(|(_, name)| !name.is_empty() && !name.starts_with('$') && !name.starts_with("__")).collect();
        let program =
            Program::parse(&bytes).map_err(|error| anyhow::anyhow!("{error}")).with_context(|| format!("in {}", kernel.display()))?;
        Ok(Self { program, symbols })
    }

    /// The function of an instruction, and its stage.
    fn place(&self, pc: u64) -> (String, &'static str) {
        if pc >> 63 == 0 {
            return ("user".to_owned(), "user");
        }
        for frame in self.program.place(pc) {
            let Some((function, file)) = frame.rsplit_once(" (") else { continue };
            let file = file.rsplit_once(':').map_or(file, |(file, _)| file);
            let Some(start) = OWN.iter().filter_map(|folder| file.find(folder)).min() else { continue };
            let file = &file[start..];
            let quick = QUICK.iter().filter(|_| file.ends_with("core/src/core/quick.rs")).find(|(name, _)| is_function(function, name));
            let stage = quick.map_or_else(|| stage(file), |&(_, stage)| stage);
            return (function.to_owned(), stage);
        }
        let symbol = self.symbols.range(..=pc).next_back().map_or("?", |(_, name)| name);
        let stage = match symbol {
            "resume" | "called" => "exit",
            "fp_save" | "fp_load" => "floating point",
            _ if symbol.starts_with("vectors_") || symbol.starts_with("guarded") || symbol == "exception" => "entry",
            "memcpy" | "memset" | "memmove" => "copy and zero",
            _ => stage(&file_of(symbol)),
        };
        (symbol.to_owned(), stage)
    }

    /// The stages of an operation, in their order.
    pub fn stages(&self, counted: &Counted) -> Vec<Part> {
        let mut parts = self.parts(counted, |(_, stage)| stage.to_owned());
        let rank = |name: &str| ORDER.iter().position(|stage| *stage == name).unwrap_or(ORDER.len());
        parts.sort_by(|(a, x), (b, y)| rank(a).cmp(&rank(b)).then(y.total_cmp(x)));
        parts
    }

    /// The functions of an operation, those with most instructions first.
    pub fn functions(&self, counted: &Counted) -> Vec<Part> {
        let mut parts = self.parts(counted, |(function, stage)| format!("{function}  [{stage}]"));
        parts.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.cmp(b)));
        parts
    }

    fn parts(&self, counted: &Counted, name: impl Fn((String, &'static str)) -> String) -> Vec<Part> {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for (&(pc, _), &count) in &counted.counts.counts {
            *sums.entry(name(self.place(pc))).or_default() += count;
        }
        let operations = counted.counts.operations.len().max(1) as f64;
        sums.into_iter().map(|(name, sum)| (name, sum as f64 / operations)).collect()
    }
}

/// Whether a function has this name, whatever it is generic over.
fn is_function(function: &str, name: &str) -> bool {
    let plain = function.split('<').next().unwrap_or_default();
    plain.rsplit("::").next() == Some(name)
}

fn stage(file: &str) -> &'static str {
    let by_name = STAGES.iter().find(|(end, _)| file.ends_with(end));
    let by_folder = || FOLDERS.iter().find(|(part, _)| file.contains(part));
    by_name.or_else(by_folder).map_or("other", |(_, stage)| stage)
}

/// The file that the function of a mangled name is likely to be in: `_ZN9aios_core4core3ipc…` is in `kernel/core/src/core/ipc.rs`.
fn file_of(symbol: &str) -> String {
    let mut rest = symbol.strip_prefix("_ZN").unwrap_or_default();
    let mut path = Vec::new();
    while let Some(digits) = rest.find(|c: char| !c.is_ascii_digit()).filter(|&digits| digits > 0) {
        let length = rest[..digits].parse().unwrap_or(usize::MAX);
        let Some(name) = rest[digits..].get(..length) else { break };
        path.push(name);
        rest = &rest[digits + length..];
    }
    let modules = path.iter().skip(1).take_while(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    match path.first().and_then(|name| name.strip_prefix("aios_")) {
        Some(name) => format!("kernel/{name}/src/{}.rs", modules.copied().collect::<Vec<_>>().join("/")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_stages() {
        let stages = ["kernel/core/src/core/ipc.rs", "kernel/core/src/sched/fair.rs", "kernel/image/src/gic.rs", "kernel/core/src/pool.rs"]
            .map(stage);
        assert_eq!(stages, ["transfer", "schedule", "interrupt", "memory"]);
        assert_eq!(stage("kernel/core/src/elsewhere.rs"), "other");
    }

    #[test]
    fn functions_have_names() {
        assert!(is_function("words<aios_kernel::machine::Hardware>", "words") && is_function("a::hand", "hand"));
        assert!(!is_function("quick_call<X>", "quick") && !is_function("", "quick"));
    }

    #[test]
    fn names_tell_files() {
        let name = "_ZN9aios_core4core4caps48_$LT$impl$u20$aios_core..core..Core$LT$M$GT$$GT$14any_capability17h91bd77d068db4f18E";
        assert_eq!(file_of(name), "kernel/core/src/core/caps.rs");
        assert_eq!([file_of("memcpy"), file_of("_ZN99")], ["", ""]);
    }
}
