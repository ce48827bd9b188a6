//! Help, rendered from the table of commands.

use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::command::{Argument, COMMANDS, Command, Count, Flag};

impl Command {
    /// The usage line, such as `log [level] [agent] [-f|--follow] [-n|--lines <number>]`. Flags stand first where words behind them are taken as they are.
    pub fn usage(&self) -> String {
        let arguments: String = self.arguments.iter().map(|argument| format!(" {argument}")).collect();
        let flags: String = self.flags.iter().map(|flag| format!(" [{flag}]")).collect();
        let rest = self.arguments.last().is_some_and(|argument| argument.count == Count::Rest);
        let (first, second) = if rest { (flags, arguments) } else { (arguments, flags) };
        format!("{}{first}{second}", self.name)
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            Count::One => write!(f, "<{}>", self.name),
            Count::Optional => write!(f, "[{}]", self.name),
            Count::Some => write!(f, "<{}>...", self.name),
            Count::Rest => write!(f, "[{}]...", self.name),
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(short) = self.short {
            write!(f, "-{short}|")?;
        }
        write!(f, "--{}", self.long)?;
        match self.value {
            Some((name, _)) => write!(f, " <{name}>"),
            None => Ok(()),
        }
    }
}

/// All commands, one line each. Lines end with `\n`.
pub fn overview() -> String {
    let width = COMMANDS.iter().map(|command| command.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for command in COMMANDS {
        text += &format!("  {:width$}  {}\n", command.name, command.summary);
    }
    text += "\nSeparate commands with `;`, or with `&&` to go on only after success. `help <command>` explains one.\n";
    text += "Tab completes, Ctrl-R searches what was typed before, Ctrl-C interrupts.\n";
    text
}

/// One command in full. Lines end with `\n`.
pub fn explain(command: &Command) -> String {
    let mut text = format!("{}: {}\nusage: {}\n", command.name, command.summary, command.usage());
    for line in command.details {
        text += &format!("{line}\n");
    }
    let arguments = command.arguments.iter().map(|argument| (String::from(argument.name), argument.help));
    let flags = command.flags.iter().map(|flag| (format!("{flag}"), flag.help));
    let rows: alloc::vec::Vec<_> = arguments.chain(flags).collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, help) in rows {
        text += &format!("  {name:width$}  {help}\n");
    }
    text
}
