//! The manifest as people write it: TOML tables, with the place of every name kept for error messages.
//!
//! Unknown keys are errors (`deny_unknown_fields`): a misspelt right must not silently be absent.

use serde::Deserialize;
use toml::Spanned;

use crate::types;

/// A string and where it stands in the file.
pub type Text = Spanned<String>;

/// A use, taken apart: the service's name, and the rights behind the colon, if there is one.
pub fn parts(used: &Text) -> (&str, Option<Vec<&str>>) {
    match used.get_ref().split_once(':') {
        Some((name, rights)) => (name, Some(rights.split(',').map(str::trim).collect())),
        None => (used.get_ref(), None),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub system: System,
    #[serde(default)]
    pub server: Vec<Server>,
    #[serde(default)]
    pub program: Vec<Program>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    pub name: Text,
    pub min_ram_mib: Spanned<u32>,
    pub epoch_us: Spanned<u32>,
    pub server_pools_kib: Spanned<u32>,
    pub program_pools_kib: Spanned<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub name: Text,
    pub image: Text,
    pub class: Spanned<Class>,
    pub pool_kib: Spanned<u32>,
    pub mailbox_pages: Spanned<u16>,
    #[serde(default)]
    pub offers: Vec<Text>,
    #[serde(default)]
    pub uses: Vec<Text>,
    #[serde(default)]
    pub after: Vec<Text>,
    #[serde(default)]
    pub devices: Vec<Text>,
    #[serde(default)]
    pub special: Vec<Text>,
    #[serde(default)]
    pub controls: Controls,
    #[serde(default)]
    pub spawns: Vec<Text>,
    #[serde(default)]
    pub restart: Option<Spanned<Restart>>,
    #[serde(default)]
    pub stop_grace_ms: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    pub name: Text,
    pub image: Text,
    pub class: Spanned<Class>,
    pub pool_kib: Spanned<u32>,
    pub mailbox_pages: Spanned<u16>,
    #[serde(default)]
    pub uses: Vec<Text>,
    #[serde(default)]
    pub special: Vec<Text>,
    #[serde(default)]
    pub controls: Controls,
    #[serde(default)]
    pub spawns: Vec<Text>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Class {
    Fair { weight: u16 },
    Edf { budget_us: u32, period_us: u32 },
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Controls {
    #[serde(default)]
    pub operations: Vec<Text>,
    #[serde(default)]
    pub targets: Vec<Text>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields, default)]
pub struct Restart {
    pub backoff_initial_ms: u32,
    pub backoff_max_ms: u32,
    pub window_s: u32,
    pub limit: u8,
    pub cooldown_s: u32,
    pub start_timeout_ms: u32,
}

impl Default for Restart {
    fn default() -> Self {
        types::Restart::default().into()
    }
}

impl From<types::Restart> for Restart {
    fn from(from: types::Restart) -> Self {
        Restart {
            backoff_initial_ms: from.backoff_initial_ms,
            backoff_max_ms: from.backoff_max_ms,
            window_s: from.window_s,
            limit: from.limit,
            cooldown_s: from.cooldown_s,
            start_timeout_ms: from.start_timeout_ms,
        }
    }
}

impl From<Restart> for types::Restart {
    fn from(from: Restart) -> Self {
        types::Restart {
            backoff_initial_ms: from.backoff_initial_ms,
            backoff_max_ms: from.backoff_max_ms,
            window_s: from.window_s,
            limit: from.limit,
            cooldown_s: from.cooldown_s,
            start_timeout_ms: from.start_timeout_ms,
        }
    }
}

/// The fields that a server and a program share, seen the same way.
pub struct Common<'a> {
    pub name: &'a Text,
    pub image: &'a Text,
    pub class: &'a Spanned<Class>,
    pub pool_kib: &'a Spanned<u32>,
    pub mailbox_pages: &'a Spanned<u16>,
    pub uses: &'a [Text],
    pub special: &'a [Text],
    pub controls: &'a Controls,
    pub spawns: &'a [Text],
}

impl Server {
    pub fn common(&self) -> Common<'_> {
        Common {
            name: &self.name,
            image: &self.image,
            class: &self.class,
            pool_kib: &self.pool_kib,
            mailbox_pages: &self.mailbox_pages,
            uses: &self.uses,
            special: &self.special,
            controls: &self.controls,
            spawns: &self.spawns,
        }
    }
}

impl Program {
    pub fn common(&self) -> Common<'_> {
        Common {
            name: &self.name,
            image: &self.image,
            class: &self.class,
            pool_kib: &self.pool_kib,
            mailbox_pages: &self.mailbox_pages,
            uses: &self.uses,
            special: &self.special,
            controls: &self.controls,
            spawns: &self.spawns,
        }
    }
}

impl Manifest {
    /// Servers, then programs: the order in which indices count.
    pub fn entries(&self) -> impl Iterator<Item = Common<'_>> {
        self.server.iter().map(Server::common).chain(self.program.iter().map(Program::common))
    }
}
