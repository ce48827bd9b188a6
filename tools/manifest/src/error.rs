//! What a refused manifest says: which line, which entry, what is wrong.

use std::fmt;
use std::ops::Range;

/// Why a manifest was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Line of the file, from 1.
    pub line: usize,
    /// Column in that line, characters, from 1.
    pub column: usize,
    /// The entry that it is about, such as `server logd`, if it is about one.
    pub entry: Option<String>,
    /// What is wrong, as one sentence without a full stop.
    pub problem: String,
}

impl Error {
    pub(crate) fn at(toml: &str, span: Range<usize>, entry: Option<String>, problem: String) -> Self {
        let before = toml.get(..span.start).unwrap_or(toml);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Error { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1, entry, problem }
    }

    pub(crate) fn from_toml(toml: &str, error: &toml::de::Error) -> Self {
        let problem = error.message().lines().collect::<Vec<_>>().join("; ");
        Error::at(toml, error.span().unwrap_or(0..0), None, problem)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "manifest line {}, column {}: ", self.line, self.column)?;
        if let Some(entry) = &self.entry {
            write!(f, "{entry}: ")?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Error {}
