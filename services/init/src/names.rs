//! The name service: gives what the asker's manifest entry lists, and nothing else.

use aios_abi::call::init::{SLOT_DEVICES, SLOT_IRQS, SLOT_OBSERVE, SLOT_POWER, SLOT_SEED};
use aios_abi::rights::Rights;
use aios_init_core::names::{Asker, Provider, resolve};
use aios_manifest::types::Special;
use aios_proto::names::{DeviceInfo, DeviceName, Entries, Entry, Error, Failure, Name, Page, Region, Server};
use aios_proto::types::{self, Digest, ErrorCode};
use aios_proto::{Caller, Grant};
use aios_rt::cap::{derive, derive_part, mint_service};
use aios_rt::slot::{self, Agent, Slot};
use aios_rt::time::Expiry;

use crate::badge::Badge;
use crate::devices::Device;
use crate::grants::{Key, Refusal};
use crate::supervise::{Init, init_rights};

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Revoked => Error::Revoked.into(),
            Refusal::Kernel(error) => Error::Kernel(error.code()).into(),
        }
    }
}

/// The badge under which other servers see an asker: a server's is the same in all of its runs.
pub fn holder(badge: Badge, asker: Asker) -> Badge {
    match asker {
        Asker::Server(_) => Badge { run: 0, ..badge },
        Asker::Program(_) => badge,
    }
}

impl Init<'_> {
    fn who(&self, caller: &Caller) -> Result<(Badge, Asker), ErrorCode> {
        self.asker(caller).ok_or(ErrorCode::UnknownBadge)
    }

    /// The device with this name, if it is the asker's.
    fn device(&self, caller: &Caller, name: &str) -> Result<(usize, &Device), Failure> {
        let (_, asker) = self.who(caller)?;
        let mine = |device: &Device| Asker::Server(device.owner) == asker && device.is(name);
        let found = self.boot.devices.iter().enumerate().find(|(_, device)| mine(device));
        found.ok_or(Error::NotListed.into())
    }

    /// A special capability, if the asker's entry lists it.
    fn special<C: slot::Capability>(
        &mut self,
        caller: &Caller,
        special: Special,
        index: u16,
        right: Rights,
        key: Key,
    ) -> Result<Granted, Failure> {
        let (badge, asker) = self.who(caller)?;
        if !self.entry(badge.entry.into()).is_some_and(|entry| entry.special.has(special)) {
            return Err(Error::NotListed.into());
        }
        let source: C = Slot::first(index).cast();
        Ok(self.grants.give(holder(badge, asker).word(), key, right, |rights| derive(source, rights, Expiry::NONE))?)
    }
}

type Granted = aios_abi::SlotHandle;

impl Server for Init<'_> {
    fn resolve(&mut self, caller: &Caller, name: Name<'_>) -> Result<Grant<types::Service>, Failure> {
        let (badge, asker) = self.who(caller)?;
        let (provider, rights) = resolve(&self.boot.manifest, asker, &name).map_err(|_| Error::NotListed)?;
        let holder = holder(badge, asker).word();
        let (key, agent, word, rights) = match provider {
            Provider::Names | Provider::Supervisor => {
                let rights = self.entry(badge.entry.into()).map_or(Rights::SEND, init_rights);
                (Key::Init, Agent::OWN, badge.word(), rights)
            }
            Provider::Server(service) => {
                let child = self.servers.get(service).and_then(|server| server.child.as_ref()).ok_or(Error::NotRunning)?;
                (Key::Server(service, rights), child.agent, holder, Rights::SEND.or(Rights(u32::from(rights) << 16)))
            }
        };
        let given = self.grants.give(holder, key, rights, |rights| mint_service(agent, word, rights, Expiry::NONE))?;
        Ok(Grant::Copy(given))
    }

    fn list<'s>(&'s mut self, caller: &Caller, start: u32) -> Result<Page<'s>, Failure> {
        let (badge, _) = self.who(caller)?;
        let uses = self.entry(badge.entry.into()).map_or(&[][..], |entry| &entry.uses);
        let running = |name: &str| match self.provider(name) {
            Some(service) => self.servers.get(service).is_some_and(|server| server.child.is_some()),
            None => true,
        };
        let names = uses.iter().skip(start as usize);
        let entries: Entries<'_> = names
            .map(|used| Entry { name: Name::truncated(used.name), running: running(used.name) })
            .take(Entries::new().capacity())
            .collect();
        Ok(Page { total: uses.len() as u32, entries })
    }

    fn describe(&mut self, caller: &Caller, device: DeviceName<'_>) -> Result<DeviceInfo, Failure> {
        let (_, device) = self.device(caller, &device)?;
        device.info().ok_or(Error::NoSuchDevice.into())
    }

    fn registers(&mut self, caller: &Caller, device: DeviceName<'_>, index: u32) -> Result<(Grant<types::Device>, Region), Failure> {
        let (number, device) = self.device(caller, &device)?;
        let (pages, region) = device.region(index as usize).ok_or(Error::NoSuchDevice)?;
        let (badge, asker) = self.who(caller)?;
        let source: slot::Device = Slot::first(SLOT_DEVICES).cast();
        let memory = Rights::READ.or(Rights::WRITE);
        let key = Key::Registers(number, index as usize);
        let given = self
            .grants
            .give(holder(badge, asker).word(), key, memory, |rights| derive_part(source, rights, Expiry::NONE, pages.first, pages.count))?;
        Ok((Grant::Copy(given), region))
    }

    fn interrupt(&mut self, caller: &Caller, device: DeviceName<'_>, index: u32) -> Result<(Grant<types::Irq>, u32), Failure> {
        let (number, device) = self.device(caller, &device)?;
        let line = device.interrupt(index as usize).ok_or(Error::NoSuchDevice)?;
        let (badge, asker) = self.who(caller)?;
        let source: slot::Irq = Slot::first(SLOT_IRQS).cast();
        let key = Key::Interrupt(number, index as usize);
        let given = self
            .grants
            .give(holder(badge, asker).word(), key, Rights::BIND, |rights| derive_part(source, rights, Expiry::NONE, line.into(), 1))?;
        Ok((Grant::Copy(given), line))
    }

    fn open_observe(&mut self, caller: &Caller) -> Result<Grant<types::Observe>, Failure> {
        self.special::<slot::Observe>(caller, Special::OBSERVE, SLOT_OBSERVE, Rights::READ, Key::Observe).map(Grant::Copy)
    }

    fn open_power(&mut self, caller: &Caller) -> Result<Grant<types::Power>, Failure> {
        self.special::<slot::Power>(caller, Special::POWER, SLOT_POWER, Rights::WRITE, Key::Power).map(Grant::Copy)
    }

    fn open_seed(&mut self, caller: &Caller) -> Result<Grant<types::Seed>, Failure> {
        self.special::<slot::Seed>(caller, Special::SEED, SLOT_SEED, Rights::WRITE, Key::Seed).map(Grant::Copy)
    }

    fn image(&mut self, caller: &Caller, badge: u64) -> Result<Digest, Failure> {
        let (_, asker) = self.who(caller)?;
        let offers = |server: &aios_manifest::types::Server<'_>| !server.offers.is_empty();
        if !matches!(asker, Asker::Server(server) if self.boot.manifest.servers.get(server).is_some_and(offers)) {
            return Err(Error::NotListed.into());
        }
        // The run says nothing of the image: a badge of one that is over is as good.
        let name = match Badge::from_word(badge) {
            Some(badge) => self.entry(badge.entry.into()).map(|entry| entry.image),
            None => (badge == Badge::INIT).then_some(aios_bundle::INIT),
        };
        let image = name.and_then(|name| self.boot.kit.bundle.find(name)).ok_or(ErrorCode::UnknownBadge)?;
        Ok(image.sha256)
    }
}
