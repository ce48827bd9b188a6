//! Every rule that a manifest must obey, one function a rule.
//!
//! A rule reports the first place that breaks it, by line, entry and the names that would have been allowed. Rules
//! that need the whole file (order, devices, sums) come after those of a single entry.

use std::collections::HashMap;
use std::ops::Range;

use aios_abi::limits;
use toml::Spanned;

use crate::error::Error;
use crate::source::{Class, Common, Manifest, Server, Text, parts};
use crate::types::{
    BREAKER_LIMIT_MAX, IMAGE_NAME_SIZE_MAX, INIT_SERVICES, LIST_MAX, NAME_SIZE_MAX, Operations, PROGRAMS_MAX, SERVERS_MAX,
    SERVICE_NAME_SIZE_MAX, Special,
};

/// RAM that kernel, page tables, bundle and firmware take before any pool, KiB. Pools must leave it free.
const RESERVED_KIB: u32 = 8 * 1024;
/// Smallest and largest pool, KiB. The largest is what one agent may have in memory.
const POOL_KIB: (u32, u32) = (64, (limits::AGENT_MEMORY >> 10) as u32);
/// Smallest budget: the scheduler's shortest slice, µs.
const BUDGET_US_MIN: u32 = (limits::SLICE_MIN_NS / 1000) as u32;
/// The kernel's epoch, µs.
const EPOCH_US: u32 = (limits::EPOCH_NS / 1000) as u32;
/// Longest period, µs.
const PERIOD_US_MAX: u32 = 10_000_000;
/// What all reservations may sum to, in thousandths of one core: a system with one core must admit them all.
const UTILISATION_PERMILLE_MAX: u64 = 800;

/// The file under check: its text for places, its tables for content.
pub struct Checker<'a> {
    toml: &'a str,
    manifest: &'a Manifest,
}

/// Who offers a service.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Init itself.
    Init,
    /// The server with this index.
    Server(usize),
}

impl<'a> Checker<'a> {
    pub fn new(toml: &'a str, manifest: &'a Manifest) -> Self {
        Checker { toml, manifest }
    }

    /// Runs every rule.
    pub fn run(&self) -> Result<(), Error> {
        self.system()?;
        self.counts()?;
        self.names()?;
        let services = self.services()?;
        for (index, entry) in self.manifest.entries().enumerate() {
            let label = self.label(index);
            self.entry(&entry, &label)?;
        }
        for (index, server) in self.manifest.server.iter().enumerate() {
            self.server(server, &self.label(index))?;
        }
        self.devices()?;
        self.order(&services)?;
        self.pools()?;
        self.utilisation()
    }

    /// Every service and who offers it.
    pub fn services(&self) -> Result<HashMap<&'a str, Provider>, Error> {
        let mut services: HashMap<&str, Provider> = INIT_SERVICES.iter().map(|&name| (name, Provider::Init)).collect();
        for (index, server) in self.manifest.server.iter().enumerate() {
            for name in &server.offers {
                self.service_name(name, &self.label(index))?;
                match services.get(name.get_ref().as_str()) {
                    None => services.insert(name.get_ref(), Provider::Server(index)),
                    Some(Provider::Init) => {
                        return Err(self.error(name, index, format!("{} is offered by init itself", name.get_ref())));
                    }
                    Some(Provider::Server(other)) => {
                        let other = self.label(*other);
                        return Err(self.error(name, index, format!("{} is offered by {other} already", name.get_ref())));
                    }
                };
            }
        }
        Ok(services)
    }

    /// Indices of servers that server `index` needs, in declared order. Call after [`Checker::run`].
    pub fn depends(&self, index: usize, services: &HashMap<&str, Provider>) -> Vec<usize> {
        let server = &self.manifest.server[index];
        let used = server.uses.iter().filter_map(|used| match services.get(parts(used).0) {
            Some(Provider::Server(on)) => Some(*on),
            _ => None,
        });
        let after = server.after.iter().filter_map(|name| self.server_index(name.get_ref()));
        let mut depends: Vec<usize> = used.chain(after).collect();
        depends.sort_unstable();
        depends.dedup();
        depends
    }

    /// Index of an entry by name: servers first, then programs.
    pub fn entry_index(&self, name: &str) -> Option<usize> {
        self.manifest.entries().position(|entry| entry.name.get_ref() == name)
    }

    fn server_index(&self, name: &str) -> Option<usize> {
        self.manifest.server.iter().position(|server| server.name.get_ref() == name)
    }

    /// `server logd`, or `program #2` for one without a usable name.
    pub fn label(&self, index: usize) -> String {
        let servers = self.manifest.server.len();
        let (kind, number) = if index < servers { ("server", index) } else { ("program", index - servers) };
        match self.manifest.entries().nth(index) {
            Some(entry) if !entry.name.get_ref().is_empty() => format!("{kind} {}", entry.name.get_ref()),
            _ => format!("{kind} #{}", number + 1),
        }
    }

    fn error<T>(&self, at: &Spanned<T>, index: usize, problem: String) -> Error {
        self.labelled(at.span(), &self.label(index), problem)
    }

    pub(crate) fn labelled(&self, span: Range<usize>, label: &str, problem: String) -> Error {
        Error::at(self.toml, span, Some(label.to_string()), problem)
    }

    fn system(&self) -> Result<(), Error> {
        let system = &self.manifest.system;
        self.name(&system.name, IMAGE_NAME_SIZE_MAX, "system")?;
        self.within(&system.epoch_us, "epoch_us", (EPOCH_US, EPOCH_US), "system")?;
        self.within(&system.min_ram_mib, "min_ram_mib", (32, 1024 * 1024), "system")?;
        let ram_kib = u64::from(*system.min_ram_mib.get_ref()) * 1024;
        let sum = u64::from(*system.server_pools_kib.get_ref()) + u64::from(*system.program_pools_kib.get_ref()) + u64::from(RESERVED_KIB);
        if sum > ram_kib {
            return Err(self.labelled(
                system.min_ram_mib.span(),
                "system",
                format!(
                    "server_pools_kib {} + program_pools_kib {} + {RESERVED_KIB} KiB for the kernel exceed min_ram_mib {} ({ram_kib} KiB)",
                    system.server_pools_kib.get_ref(),
                    system.program_pools_kib.get_ref(),
                    system.min_ram_mib.get_ref(),
                ),
            ));
        }
        Ok(())
    }

    fn counts(&self) -> Result<(), Error> {
        for (count, max, kind) in
            [(self.manifest.server.len(), SERVERS_MAX, "servers"), (self.manifest.program.len(), PROGRAMS_MAX, "programs")]
        {
            if count > max {
                let problem = format!("{count} {kind}, at most {max} are allowed");
                return Err(Error::at(self.toml, 0..0, None, problem));
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<(), Error> {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (index, entry) in self.manifest.entries().enumerate() {
            let label = self.label(index);
            self.name(entry.name, NAME_SIZE_MAX, &label)?;
            if entry.name.get_ref() == "init" {
                return Err(self.error(entry.name, index, "init is always there and has no entry".into()));
            }
            if let Some(other) = seen.insert(entry.name.get_ref(), index) {
                let other = self.line(self.manifest.entries().nth(other).map_or(0..0, |entry| entry.name.span()));
                let problem = format!("the name `{}` is taken already, on line {other}", entry.name.get_ref());
                return Err(self.error(entry.name, index, problem));
            }
        }
        Ok(())
    }

    fn line(&self, span: Range<usize>) -> usize {
        Error::at(self.toml, span, None, String::new()).line
    }

    fn name(&self, name: &Text, size_max: usize, label: &str) -> Result<(), Error> {
        let text = name.get_ref();
        let well_formed = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if well_formed && text.len() <= size_max {
            return Ok(());
        }
        let problem = format!("`{text}` is not a name: a lower-case letter, then lower-case letters, digits and `-`, {size_max} at most");
        Err(self.labelled(name.span(), label, problem))
    }

    fn service_name(&self, name: &Text, label: &str) -> Result<(), Error> {
        let text = name.get_ref();
        let well_formed = text.strip_prefix("/svc/").is_some_and(|rest| {
            rest.starts_with(|c: char| c.is_ascii_lowercase())
                && rest.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        });
        if well_formed && text.len() <= SERVICE_NAME_SIZE_MAX {
            return Ok(());
        }
        let problem = format!("`{text}` is not a service name: `/svc/` and a name, {SERVICE_NAME_SIZE_MAX} at most");
        Err(self.labelled(name.span(), label, problem))
    }

    fn within<T: Copy + PartialOrd + std::fmt::Display>(
        &self,
        value: &Spanned<T>,
        what: &str,
        (min, max): (T, T),
        label: &str,
    ) -> Result<(), Error> {
        let found = *value.get_ref();
        if (min..=max).contains(&found) {
            return Ok(());
        }
        let allowed = if min == max { format!("{min} only") } else { format!("{min} to {max}") };
        Err(self.labelled(value.span(), label, format!("{what} is {found}, allowed is {allowed}")))
    }

    fn list(&self, list: &[Text], what: &str, label: &str) -> Result<(), Error> {
        for (index, name) in list.iter().enumerate() {
            if list[..index].iter().any(|other| other.get_ref() == name.get_ref()) {
                return Err(self.labelled(name.span(), label, format!("`{}` is twice in {what}", name.get_ref())));
            }
            if index == LIST_MAX {
                return Err(self.labelled(name.span(), label, format!("more than {LIST_MAX} in {what}")));
            }
        }
        Ok(())
    }

    fn entry(&self, entry: &Common<'_>, label: &str) -> Result<(), Error> {
        if entry.image.get_ref().is_empty() {
            return Err(self.labelled(entry.image.span(), label, "the image has no name".into()));
        }
        self.name(entry.image, IMAGE_NAME_SIZE_MAX, label)?;
        self.class(entry.class, label)?;
        self.within(entry.pool_kib, "pool_kib", POOL_KIB, label)?;
        if !entry.pool_kib.get_ref().is_multiple_of(4) {
            let problem = format!("pool_kib is {}, it must be a multiple of 4 (whole pages)", entry.pool_kib.get_ref());
            return Err(self.labelled(entry.pool_kib.span(), label, problem));
        }
        self.within(entry.mailbox_pages, "mailbox_pages", (1, limits::MAILBOX_PAGES as u16), label)?;
        self.list(entry.special, "special", label)?;
        self.list(&entry.controls.operations, "controls.operations", label)?;
        self.known(entry.special, "special capability", &names(&Special::NAMES), label)?;
        self.known(&entry.controls.operations, "operation", &names(&Operations::NAMES), label)?;
        let every: Vec<&str> = self.manifest.entries().map(|entry| entry.name.get_ref().as_str()).collect();
        let programs: Vec<&str> = self.manifest.program.iter().map(|entry| entry.name.get_ref().as_str()).collect();
        self.targets(&entry.controls.targets, "controls.targets", "entry", &every, label)?;
        self.targets(entry.spawns, "spawns", "program", &programs, label)?;
        match (entry.controls.operations.first(), entry.controls.targets.first()) {
            (Some(operation), None) => Err(self.labelled(operation.span(), label, "controls has operations but no targets".into())),
            (None, Some(target)) => Err(self.labelled(target.span(), label, "controls has targets but no operations".into())),
            _ => Ok(()),
        }
    }

    fn class(&self, class: &Spanned<Class>, label: &str) -> Result<(), Error> {
        let problem = match *class.get_ref() {
            Class::Fair { weight } if weight == 0 || u32::from(weight) > limits::WEIGHT_MAX => {
                format!("weight is {weight}, allowed is 1 to {}", limits::WEIGHT_MAX)
            }
            Class::Edf { budget_us, .. } if budget_us < BUDGET_US_MIN => {
                format!("budget_us is {budget_us}, the smallest slice is {BUDGET_US_MIN}")
            }
            Class::Edf { period_us, .. } if period_us > PERIOD_US_MAX => {
                format!("period_us is {period_us}, allowed is at most {PERIOD_US_MAX}")
            }
            Class::Edf { budget_us, period_us } if budget_us > period_us => {
                format!("budget_us {budget_us} exceeds period_us {period_us}")
            }
            _ => return Ok(()),
        };
        Err(self.labelled(class.span(), label, problem))
    }

    fn known(&self, list: &[Text], kind: &str, allowed: &[&str], label: &str) -> Result<(), Error> {
        for name in list {
            if !allowed.contains(&name.get_ref().as_str()) {
                let problem = format!("unknown {kind} `{}`, allowed: {}", name.get_ref(), either(allowed));
                return Err(self.labelled(name.span(), label, problem));
            }
        }
        Ok(())
    }

    fn targets(&self, list: &[Text], what: &str, kind: &str, allowed: &[&str], label: &str) -> Result<(), Error> {
        self.list(list, what, label)?;
        match list.iter().find(|name| name.get_ref() == "*") {
            Some(star) if list.len() > 1 => Err(self.labelled(star.span(), label, format!("`*` stands alone in {what}"))),
            Some(_) => Ok(()),
            None => self.known(list, kind, allowed, label),
        }
    }

    fn server(&self, server: &Server, label: &str) -> Result<(), Error> {
        self.list(&server.offers, "offers", label)?;
        self.list(&server.after, "after", label)?;
        self.list(&server.devices, "devices", label)?;
        if let Some(grace) = &server.stop_grace_ms {
            self.within(grace, "stop_grace_ms", (0, 60_000), label)?;
        }
        let Some(restart) = &server.restart else { return Ok(()) };
        let policy = restart.get_ref();
        let problem = if !(1..=BREAKER_LIMIT_MAX).contains(&policy.limit) {
            format!("restart.limit is {}, allowed is 1 to {BREAKER_LIMIT_MAX}", policy.limit)
        } else if policy.backoff_initial_ms == 0 {
            "restart.backoff_initial_ms is 0: a server that dies at once would take the processor".into()
        } else if policy.backoff_initial_ms > policy.backoff_max_ms {
            format!("restart.backoff_initial_ms {} exceeds backoff_max_ms {}", policy.backoff_initial_ms, policy.backoff_max_ms)
        } else if policy.start_timeout_ms == 0 {
            "restart.start_timeout_ms is 0: no server starts in no time".into()
        } else if u64::from(policy.window_s) * 1000 <= backoff_sum_ms(policy) {
            format!(
                "restart.window_s {} is shorter than the waits before death {} ({} ms), so the breaker could never open",
                policy.window_s,
                policy.limit,
                backoff_sum_ms(policy)
            )
        } else {
            return Ok(());
        };
        Err(self.labelled(restart.span(), label, problem))
    }

    fn devices(&self) -> Result<(), Error> {
        let mut owners: HashMap<(&str, u16), usize> = HashMap::new();
        for (index, server) in self.manifest.server.iter().enumerate() {
            for device in &server.devices {
                let node = device_node(device.get_ref()).ok_or_else(|| {
                    let problem = format!(
                        "`{}` is not a device: `console`, or a compatible string, with `#n` for the n-th such node",
                        device.get_ref()
                    );
                    self.error(device, index, problem)
                })?;
                if let Some(&other) = owners.get(&node) {
                    let problem = format!("device `{}` is owned by {} already", device.get_ref(), self.label(other));
                    return Err(self.error(device, index, problem));
                }
                owners.insert(node, index);
            }
        }
        Ok(())
    }

    /// A server may call only servers before it, so the declared order has no cycles.
    fn order(&self, services: &HashMap<&str, Provider>) -> Result<(), Error> {
        let mut allowed: Vec<&str> = services.keys().copied().collect();
        allowed.sort_unstable();
        for (index, entry) in self.manifest.entries().enumerate() {
            self.uses(entry.uses, services, &allowed, &self.label(index))?;
        }
        let server_names: Vec<&str> = self.manifest.server.iter().map(|server| server.name.get_ref().as_str()).collect();
        for (index, server) in self.manifest.server.iter().enumerate() {
            self.known(&server.after, "server", &server_names, &self.label(index))?;
        }
        for index in 0..self.manifest.server.len() {
            for (on, at) in self.edges(index, services) {
                if on < index {
                    continue;
                }
                let problem = match self.path(on, index, services) {
                    Some(path) => {
                        let names: Vec<&str> = [index].iter().chain(&path).map(|&i| server_names[i]).collect();
                        format!("cycle: {}", names.join(" → "))
                    }
                    None => format!(
                        "needs {}, which comes later (line {}): a server may need only servers before it",
                        self.label(on),
                        self.line(self.manifest.server[on].name.span()),
                    ),
                };
                return Err(self.error(at, index, problem));
            }
        }
        Ok(())
    }

    /// What server `index` needs, with the place that says so.
    fn edges(&self, index: usize, services: &HashMap<&str, Provider>) -> Vec<(usize, &'a Text)> {
        let server = &self.manifest.server[index];
        let uses = server.uses.iter().filter_map(|used| match services.get(parts(used).0) {
            Some(Provider::Server(on)) => Some((*on, used)),
            _ => None,
        });
        let after = server.after.iter().filter_map(|name| Some((self.server_index(name.get_ref())?, name)));
        uses.chain(after).collect()
    }

    /// A shortest chain of needs from server `from` to server `to`, both included.
    fn path(&self, from: usize, to: usize, services: &HashMap<&str, Provider>) -> Option<Vec<usize>> {
        let mut reached: Vec<Option<usize>> = vec![None; self.manifest.server.len()];
        let mut queue = std::collections::VecDeque::from([from]);
        reached[from] = Some(from);
        while let Some(at) = queue.pop_front() {
            if at == to {
                let mut path = vec![to];
                while let Some(previous) = path.last().and_then(|&last| reached[last]) {
                    if path.last() == Some(&from) {
                        break;
                    }
                    path.push(previous);
                }
                path.reverse();
                return Some(path);
            }
            for (next, _) in self.edges(at, services) {
                if reached[next].is_none() {
                    reached[next] = Some(at);
                    queue.push_back(next);
                }
            }
        }
        None
    }

    fn pools(&self) -> Result<(), Error> {
        let limit = *self.manifest.system.server_pools_kib.get_ref();
        let mut sum: u64 = 0;
        for (index, server) in self.manifest.server.iter().enumerate() {
            sum += u64::from(*server.pool_kib.get_ref());
            if sum > u64::from(limit) {
                let problem = format!("pools sum to {sum} KiB here, system.server_pools_kib is {limit}");
                return Err(self.error(&server.pool_kib, index, problem));
            }
        }
        let limit = *self.manifest.system.program_pools_kib.get_ref();
        for (number, program) in self.manifest.program.iter().enumerate() {
            if *program.pool_kib.get_ref() > limit {
                let problem = format!("pool_kib {} exceeds system.program_pools_kib {limit}", program.pool_kib.get_ref());
                return Err(self.error(&program.pool_kib, self.manifest.server.len() + number, problem));
            }
        }
        Ok(())
    }

    fn utilisation(&self) -> Result<(), Error> {
        let mut sum = 0;
        for (index, server) in self.manifest.server.iter().enumerate() {
            if let Class::Edf { budget_us, period_us } = *server.class.get_ref() {
                sum += (u64::from(budget_us) * 1000).div_ceil(u64::from(period_us.max(1)));
            }
            if sum > UTILISATION_PERMILLE_MAX {
                let problem = format!(
                    "reservations sum to {}.{} % of a core here, at most {} % are admitted",
                    sum / 10,
                    sum % 10,
                    UTILISATION_PERMILLE_MAX / 10
                );
                return Err(self.error(&server.class, index, problem));
            }
        }
        Ok(())
    }
}

/// Splits `compatible#n`; `console` is its own name. `None` if it is neither.
pub fn device_node(text: &str) -> Option<(&str, u16)> {
    let (compatible, instance) = match text.split_once('#') {
        Some((compatible, number)) => (compatible, number.parse().ok()?),
        None => (text, 0),
    };
    let well_formed = compatible == "console" && !text.contains('#')
        || compatible.contains(',') && compatible.chars().all(|c| c.is_ascii_graphic() && c != '"');
    (well_formed && compatible.len() <= SERVICE_NAME_SIZE_MAX).then_some((compatible, instance))
}

/// All waits before the death that opens the breaker, ms.
fn backoff_sum_ms(policy: &crate::source::Restart) -> u64 {
    (0..policy.limit.saturating_sub(1))
        .map(|step| (u64::from(policy.backoff_initial_ms) << step.min(31)).min(u64::from(policy.backoff_max_ms)))
        .sum()
}

pub(crate) fn names<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
    table.iter().map(|(name, _)| *name).collect()
}

/// `a, b, c`, or `none` for an empty list.
pub(crate) fn either(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
