//! What an entry may ask of the services that it uses: the rights that their interfaces have, by the names that WIT gives them.

use std::collections::HashMap;

use crate::check::{Checker, Provider, either, names};
use crate::error::Error;
use crate::source::{Text, parts};
use crate::types::LIST_MAX;

/// The rights of a service by name, as bits of the kernel's word of rights: those of the interface that is called like it. None if its
/// interface is not written in WIT.
pub fn rights_of(service: &str) -> &'static [(&'static str, u32)] {
    let is_it = |interface: &aios_proto::Interface| service.strip_prefix("/svc/") == interface.name.rsplit('/').next();
    aios_proto::INTERFACES.iter().find(|interface| is_it(interface)).map_or(&[], |interface| interface.rights)
}

impl Checker<'_> {
    /// Each service once, one that there is, with rights that it has.
    pub(crate) fn uses(&self, list: &[Text], services: &HashMap<&str, Provider>, allowed: &[&str], label: &str) -> Result<(), Error> {
        for (index, used) in list.iter().enumerate() {
            let refuse = |problem| Err(self.labelled(used.span(), label, problem));
            let (name, given) = parts(used);
            let Some(provider) = services.get(name) else {
                return refuse(format!("unknown service `{name}`, allowed: {}", either(allowed)));
            };
            if list[..index].iter().any(|other| parts(other).0 == name) {
                return refuse(format!("`{name}` is twice in uses"));
            }
            if index == LIST_MAX {
                return refuse(format!("more than {LIST_MAX} in uses"));
            }
            let known = names(rights_of(name));
            match (provider, given) {
                (Provider::Init, None) => {}
                (Provider::Init, Some(_)) => {
                    return refuse(format!("`{name}` takes no rights: what init allows follows from controls, spawns and special"));
                }
                (Provider::Server(_), None) if known.is_empty() => {}
                (Provider::Server(_), Some(_)) if known.is_empty() => return refuse(format!("`{name}` has no rights that have names")),
                (Provider::Server(_), None) => {
                    return refuse(format!(
                        "the rights to `{name}` are missing, such as `{name}:{}`, allowed: {}",
                        known[0],
                        known.join(", ")
                    ));
                }
                (Provider::Server(_), Some(given)) => {
                    for (place, right) in given.iter().enumerate() {
                        if !known.contains(right) {
                            return refuse(format!("unknown right `{right}` to `{name}`, allowed: {}", known.join(", ")));
                        }
                        if given[..place].contains(right) {
                            return refuse(format!("the right `{right}` to `{name}` is there twice"));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
