//! The readable line, `[   12.345678] INFO  shell(3)  message`, and text made harmless for a terminal.

use core::fmt::{self, Write};

use crate::record::{Body, Record};

/// Shows text of an untrusted origin: whatever could move the cursor, start an escape sequence, forge a console mark or
/// turn the reading direction is shown as `\n`, `\t` or `\u{1b}`.
#[derive(Debug, Clone, Copy)]
pub struct Clean<'a>(pub &'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(is_harmful) {
            let (harmless, from) = rest.split_at(at);
            f.write_str(harmless)?;
            let mut chars = from.chars();
            if let Some(harmful) = chars.next() {
                write!(f, "{}", harmful.escape_default())?;
            }
            rest = chars.as_str();
        }
        f.write_str(rest)
    }
}

fn is_harmful(c: char) -> bool {
    let turns_direction = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns_direction || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Seconds since boot, as `   12.345678`.
#[derive(Debug, Clone, Copy)]
pub struct Stamp(pub u64);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5}.{:06}", self.0 / 1_000_000_000, self.0 / 1000 % 1_000_000)
    }
}

/// Who said a record: `shell(3)`, `(3)` if it has no name, `kernel` for the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a>(pub &'a Record);

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.agent.is_kernel() {
            return f.write_str("kernel");
        }
        write!(f, "{}({})", Clean(self.0.name.as_str()), self.0.agent.slot())
    }
}

/// What a record says: its target if that is not the agent's own name, then its text, or `defmt <tag> <hex>`.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a>(pub &'a Record);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { target, name, body, .. } = self.0;
        if !target.is_empty() && target != name.as_str() {
            write!(f, "{}: ", Clean(target))?;
        }
        match body {
            Body::Text(text) => Clean(text.trim_end_matches(['\r', '\n'])).fmt(f),
            Body::Defmt { image_digest_tag, frame } => {
                write!(f, "defmt {image_digest_tag:016x} ")?;
                frame.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {:<5} {}  {}", Stamp(self.time_ns), self.level.label(), Source(self), Message(self))
    }
}

/// Writes `text` made harmless to the end of `out`.
pub fn push_clean(out: &mut alloc::string::String, text: &str) {
    // A string takes everything, so there is no error to pass on.
    let _ = write!(out, "{}", Clean(text));
}
