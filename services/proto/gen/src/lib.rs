//! Generator: WIT packages to Rust clients, servers and dispatchers.
//!
//! A service's interface is written once, in WIT. This library, called by the build script of `aios-proto`, makes the Rust of it:
//!
//! | module        | what it does                                                                    |
//! |---------------|---------------------------------------------------------------------------------|
//! | [`mod@load`]     | reads WIT (with the public `wit-parser`) and the annotations; refuses what can't be a packet |
//! | [`model`]     | what is left: modules, types with bounds, operations with numbers               |
//! | [`size`]      | the most bytes that a value can take in the encoding                            |
//! | [`lock`]      | the wire format as text, with a hash of each interface                          |
//! | [`rust`]      | the Rust source                                                                 |
//!
//! What WIT has no words for stands in doc comments, one annotation a line:
//!
//! | annotation     | on                | meaning                                                              |
//! |----------------|-------------------|----------------------------------------------------------------------|
//! | `@interface N` | interface         | its number in packet headers; the major version is the package's     |
//! | `@op N`        | function          | its operation number                                                 |
//! | `@pending`     | function          | the server may answer later                                          |
//! | `@oneway`      | function          | sent without a reply                                                 |
//! | `@idempotent`  | function          | doing it twice is doing it once                                      |
//! | `@right NAME`  | function          | needed in the caller's capability; a case of the interface's `rights`|
//! | `@max N`       | list, string type | most elements or bytes                                               |
//! | `@codes N`     | enum, variant     | an error: the code of its first case, the others follow              |
//!
//! Capabilities are handles of WIT resources, as parameters and results of their own: `borrow<frame>` rides along as a copy, `own<frame>` is
//! moved (the kernel moves all capabilities of a message or none, so one function doesn't mix them). They are never part of the bytes.
#![forbid(unsafe_code)]

pub mod load;
pub mod lock;
pub mod model;
pub mod rust;
pub mod size;

use std::path::Path;

pub use load::{Error, Problem, load};

/// What becomes of a folder of WIT.
pub struct Generated {
    /// Rust source: one module an interface, to be included in a crate that has the run-time part of `aios-proto` at its root.
    pub rust: String,
    /// The wire format as text.
    pub lock: String,
}

/// Reads a folder of WIT, with its `deps`, and generates.
pub fn generate(folder: &Path) -> Result<Generated, Error> {
    let model = load(folder)?;
    Ok(Generated { rust: rust::emit(&model), lock: lock::text(&model) })
}
