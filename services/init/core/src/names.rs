//! The name service: `/svc/log` → who answers it, for those who may know.
//!
//! A name resolves only if the asker's manifest entry lists it. A name that is not listed and a name that does not
//! exist get the same answer, so that asking tells nothing about the system. Resolving adds no authority: init hands
//! out the capability that the entry was given anyway.

use core::fmt;

use aios_manifest::types::{INIT_SERVICES, Manifest};

/// Who asks: an entry of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// The server with this number.
    Server(usize),
    /// An agent that runs the program with this number.
    Program(usize),
}

/// Who answers a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Init's name service.
    Names,
    /// Init's control interface.
    Supervisor,
    /// The server with this number.
    Server(usize),
}

/// The asker's entry does not list the name, or nobody offers it: no difference is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotListed;

impl fmt::Display for NotListed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no capability for this name")
    }
}

impl core::error::Error for NotListed {}

/// Finds who answers `name` for `asker`, and which of the 16 rights that belong to the service its entry gives it.
pub fn resolve(manifest: &Manifest<'_>, asker: Asker, name: &str) -> Result<(Provider, u16), NotListed> {
    let entry = match asker {
        Asker::Server(index) => &manifest.servers.get(index).ok_or(NotListed)?.entry,
        Asker::Program(index) => &manifest.programs.get(index).ok_or(NotListed)?.entry,
    };
    let rights = entry.uses(name).ok_or(NotListed)?.rights;
    let [names, supervisor] = INIT_SERVICES;
    if name == names {
        return Ok((Provider::Names, rights));
    }
    if name == supervisor {
        return Ok((Provider::Supervisor, rights));
    }
    let server = manifest.servers.iter().position(|server| server.offers.contains(&name)).ok_or(NotListed)?;
    Ok((Provider::Server(server), rights))
}
