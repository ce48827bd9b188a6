//! Names of what there is, for completion.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use aios_proto::supervisor;
use aios_shell_core::Names;
use aios_shell_core::value::agent_name;

use crate::system::{ANSWER_NS, System, deadline};

/// Asks the system when a word is to be completed. What the shell may not ask for does not complete.
pub struct Alive {
    /// Names and ids of agents.
    agents: Vec<String>,
    servers: Vec<String>,
    programs: Vec<String>,
    services: Vec<String>,
}

impl Alive {
    /// Everything that has a name now.
    pub fn look(system: &mut System) -> Self {
        let agents = system.agents().unwrap_or_default();
        let rows = system.services().unwrap_or_default();
        Self {
            agents: agents.iter().map(|agent| agent_name(agent).as_str().to_string()).filter(|name| !name.is_empty()).collect(),
            servers: rows.iter().map(|row| row.name.clone()).collect(),
            programs: programs(system.init().supervisor()).unwrap_or_default(),
            services: rows.iter().flat_map(|row| row.offers.split_whitespace()).map(String::from).collect(),
        }
    }
}

fn programs<T: aios_proto::Transport>(mut client: supervisor::Client<T>) -> Result<Vec<String>, supervisor::CallError> {
    let mut names = Vec::new();
    loop {
        let page = client.programs(names.len() as u32, deadline(ANSWER_NS))?;
        names.extend(page.programs.iter().map(|name| String::from(name.as_str())));
        if page.programs.is_empty() || names.len() >= page.total as usize {
            return Ok(names);
        }
    }
}

impl Names for Alive {
    fn agents(&self) -> Vec<String> {
        self.agents.clone()
    }

    fn servers(&self) -> Vec<String> {
        self.servers.clone()
    }

    fn programs(&self) -> Vec<String> {
        self.programs.clone()
    }

    fn services(&self) -> Vec<String> {
        self.services.clone()
    }
}
