//! Names of what there is, for completion.

use core::cell::RefCell;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use aios_shell_core::Names;
use aios_shell_core::value::agent_name;

use crate::system::System;

/// Asks the system when a word is to be completed. What the shell may not ask for does not complete.
pub struct Alive<'a>(pub RefCell<&'a mut System>);

impl Names for Alive<'_> {
    fn agents(&self) -> Vec<String> {
        let agents = self.0.borrow_mut().agents().unwrap_or_default();
        agents.iter().map(|agent| agent_name(agent).as_str().to_string()).filter(|name| !name.is_empty()).collect()
    }

    fn servers(&self) -> Vec<String> {
        let rows = self.0.borrow_mut().services().unwrap_or_default();
        rows.into_iter().map(|row| row.name).collect()
    }

    fn programs(&self) -> Vec<String> {
        self.0.borrow_mut().programs().unwrap_or_default()
    }

    fn services(&self) -> Vec<String> {
        let rows = self.0.borrow_mut().services().unwrap_or_default();
        rows.iter().flat_map(|row| row.offers.split_whitespace()).map(String::from).collect()
    }
}
