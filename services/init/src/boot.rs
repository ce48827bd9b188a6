//! What init finds when it starts, checked.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use aios_abi::Error;
use aios_abi::call::init::SLOT_BUNDLE;
use aios_bundle::{Bundle, BundleError, Kind};
use aios_manifest::types::{self, Manifest, decode};
use aios_proto::sentence;
use aios_rt::cap::mint_service;
use aios_rt::memory::allocate_pool;
use aios_rt::slot::{Agent, Pool, Slot};
use aios_rt::time::Expiry;

use crate::badge::Badge;
use crate::child::Kit;
use crate::devices::{self, Device};
use crate::early;

/// The manifest's entry in the bundle.
const MANIFEST: &str = "manifest";

/// Why the system can't start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BootError {
    /// The bundle is no good.
    Bundle(BundleError),
    /// The bundle has no manifest.
    NoManifest,
    /// The manifest is no good.
    Manifest(types::Error),
    /// The kernel refused something; says what.
    Kernel(&'static str, Error),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(error) => error.fmt(f),
            Self::NoManifest => f.write_str("the bundle has no manifest"),
            Self::Manifest(error) => error.fmt(f),
            Self::Kernel(what, error) => write!(f, "{what}: {}", sentence::of(*error)),
        }
    }
}

impl core::error::Error for BootError {}

/// Everything that init works with.
pub struct Boot<'a> {
    /// Who there is, and who may what.
    pub manifest: Manifest<'a>,
    /// What agents are started with.
    pub kit: Kit<'a>,
    /// The pool that programs are paid from.
    pub programs: Pool,
    /// Devices of the manifest.
    pub devices: Vec<Device>,
    /// Devices that the machine doesn't have: whose, and why.
    pub missing: Vec<(usize, String)>,
}

impl<'a> Boot<'a> {
    /// Reads bundle and device tree.
    pub fn read(bundle: &'a [u8], tree: &[u8]) -> Result<Self, BootError> {
        let bundle = Bundle::parse(bundle).map_err(BootError::Bundle)?;
        let record = bundle.find(MANIFEST).filter(|entry| entry.kind == Kind::Manifest).ok_or(BootError::NoManifest)?;
        let manifest = decode(record.data).map_err(BootError::Manifest)?;
        let faults =
            mint_service(Agent::OWN, Badge::INIT, crate::grants::KEPT, Expiry::NONE).map_err(|error| BootError::Kernel("faults", error))?;
        let pages = u64::from(manifest.system.program_pools_kib) / 4;
        let programs = match pages {
            0 => Pool::OWN,
            pages => allocate_pool(Pool::OWN, pages).map_err(|error| BootError::Kernel("pool for programs", error))?,
        };
        let (devices, missing) = devices::find(&manifest, tree);
        let kit = Kit { bundle, frames: Slot::first(SLOT_BUNDLE).cast(), faults, console: early::console() };
        Ok(Self { manifest, kit, programs, devices, missing })
    }
}

/// The bytes that the kernel has mapped for init.
///
/// # Safety
/// `address` and `length` are what the kernel gave to init at its start.
pub unsafe fn given(address: u64, length: u64) -> &'static [u8] {
    let start = core::ptr::with_exposed_provenance(address as usize);
    // SAFETY: the kernel maps that many bytes there, read-only, for all of init's life.
    unsafe { core::slice::from_raw_parts(start, length as usize) }
}
