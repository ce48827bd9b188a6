//! Line editor, parser, completion and tables of the shell, free of I/O.
//!
//! ```text
//! bytes ─ key ─▶ editor ─ line ─▶ parser ─▶ statement ─▶ (the shell's binary asks kernel and servers) ─▶ view ─▶ table
//!                  │ screen                    ▲ command: one table says what there is
//! ```
//!
//! Each step is a module that can be tested alone; [`session`] joins them. The binary feeds bytes, writes what it is
//! told to write, runs [`Statement`]s through the capabilities that it holds, and shows the answers with [`view`].
//!
//! Invariants, checked with random input: no byte stream makes anything here panic or grow without bound; the editor's
//! text and cursor are those of a plain vector of characters; what a terminal shows is the prompt and the text, with
//! the cursor in its place; nothing of an agent's choosing reaches the terminal as a control character.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod command;
pub mod complete;
pub mod editor;
pub mod error;
pub mod help;
pub mod history;
pub mod key;
pub mod lexer;
pub mod line;
pub mod parser;
pub mod recording;
pub mod screen;
pub mod session;
pub mod statement;
pub mod table;
pub mod unit;
pub mod value;
pub mod view;

pub use complete::Names;
pub use error::ParseError;
pub use parser::{Joiner, Script, parse};
pub use session::{Action, Session, status};
pub use statement::Statement;
pub use table::{Cell, Style, Table};
