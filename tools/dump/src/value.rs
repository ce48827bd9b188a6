//! A typed place in the kernel's memory, looked into by names: `agent.field("pools")?.at(0)?.field("used")?.number()?`.

use crate::Error;
use crate::types::{Member, Shape, Type, TypeId, Types};

/// Bytes by the kernel's addresses.
pub trait Memory {
    /// Reads bytes.
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Error>;
}

/// A value.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    memory: &'a dyn Memory,
    types: &'a Types,
    of: TypeId,
    address: u64,
}

/// More wrappers than any number has around itself.
const WRAPPERS_MAX: usize = 16;

impl<'a> Value<'a> {
    /// The static variable of this path.
    pub fn of_static(memory: &'a dyn Memory, types: &'a Types, path: &str) -> Result<Self, Error> {
        let found = types.named(path)?;
        Ok(Self { memory, types, of: found.of, address: found.address })
    }

    /// What is at an address, as a structure of this path.
    pub fn of_type(memory: &'a dyn Memory, types: &'a Types, path: &str, address: u64) -> Result<Self, Error> {
        Ok(Self { memory, types, of: types.structure_named(path)?, address })
    }

    /// Where it is.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// A part of a structure; of an enumeration's variant: a part of its data.
    pub fn field(&self, name: &str) -> Result<Self, Error> {
        let inner = self.structure()?;
        let Shape::Structure(members) = &inner.kind()?.shape else { return Err(inner.is_not("a structure")) };
        let member = members.iter().find(|member| member.name == name);
        Ok(inner.part(member.ok_or_else(|| Error::Layout(format!("`{}` has no field `{name}`", inner.name())))?))
    }

    /// An element of an array.
    pub fn at(&self, index: u64) -> Result<Self, Error> {
        let (array, element, count) = self.array()?;
        if index >= count {
            return Err(Error::Broken(format!("element {index} of {count}")));
        }
        Ok(Self { of: element, address: array.address.wrapping_add(index.saturating_mul(self.types.size(element)?)), ..*self })
    }

    /// Elements of an array.
    pub fn count(&self) -> Result<u64, Error> {
        Ok(self.array()?.2)
    }

    /// All elements of an array.
    pub fn elements(&self) -> Result<impl Iterator<Item = Self> + use<'a>, Error> {
        let (array, element, count) = self.array()?;
        let size = self.types.size(element)?;
        Ok((0..count).map(move |index| Self { of: element, address: array.address.wrapping_add(index.saturating_mul(size)), ..array }))
    }

    /// The number in it, whatever it is wrapped in.
    pub fn number(&self) -> Result<u64, Error> {
        let inner = self.innermost()?;
        if !matches!(inner.kind()?.shape, Shape::Number | Shape::Pointer(_)) {
            return Err(inner.is_not("a number"));
        }
        read_number(inner.memory, inner.address, inner.types.size(inner.of)?)
    }

    /// [`number`](Self::number) of a part.
    pub fn number_of(&self, name: &str) -> Result<u64, Error> {
        self.field(name)?.number()
    }

    /// What a pointer points to; `None` if it is null.
    pub fn target(&self) -> Result<Option<Self>, Error> {
        let inner = self.innermost()?;
        let Shape::Pointer(Some(target)) = inner.kind()?.shape else { return Err(inner.is_not("a pointer")) };
        let address = inner.number()?;
        Ok((address != 0).then_some(Self { of: target, address, ..*self }))
    }

    /// The variant that an enumeration with data is, and its data.
    pub fn variant(&self) -> Result<(&'a str, Self), Error> {
        let Shape::Choice(variants) = &self.kind()?.shape else { return Err(self.is_not("an enumeration with data")) };
        let found = match &variants.discriminant {
            None => variants.all.first(),
            Some(member) => {
                let place = self.part(member);
                let (size, value) = (place.types.size(place.of)?, place.number()?);
                let mask = if size >= 8 { u64::MAX } else { (1 << (size * 8)) - 1 };
                let exact = variants.all.iter().find(|variant| variant.discriminant.is_some_and(|wanted| wanted & mask == value));
                exact.or_else(|| variants.all.iter().find(|variant| variant.discriminant.is_none()))
            }
        };
        let found = found.ok_or_else(|| Error::Broken(format!("at {:#x} there is no `{}`", self.address, self.name())))?;
        Ok((&found.member.name, self.part(&found.member)))
    }

    /// What an `Option` holds.
    pub fn option(&self) -> Result<Option<Self>, Error> {
        match self.variant()? {
            ("Some", some) => some.field("__0").map(Some),
            _ => Ok(None),
        }
    }

    fn kind(&self) -> Result<&'a Type, Error> {
        self.types.get(self.of)
    }

    fn name(&self) -> &'a str {
        self.kind().map_or("?", |kind| kind.name.as_str())
    }

    fn is_not(&self, what: &str) -> Error {
        Error::Layout(format!("`{}` is not {what}", self.name()))
    }

    fn part(&self, member: &Member) -> Self {
        Self { of: member.of, address: self.address.wrapping_add(member.offset), ..*self }
    }

    /// The one part of a structure that takes up space, if there is only one: what is in a cell, an atomic, a wrapper.
    fn only_part(&self) -> Result<Option<Self>, Error> {
        let Shape::Structure(members) = &self.kind()?.shape else { return Ok(None) };
        let mut solid = None;
        for member in members {
            if self.types.size(member.of)? != 0 && solid.replace(member).is_some() {
                return Ok(None);
            }
        }
        Ok(solid.map(|member| self.part(member)))
    }

    fn innermost(&self) -> Result<Self, Error> {
        let mut at = *self;
        for _ in 0..WRAPPERS_MAX {
            match at.only_part()? {
                Some(part) => at = part,
                None => return Ok(at),
            }
        }
        Err(self.is_not("a value in a reasonable number of wrappers"))
    }

    /// The structure in wrappers around it: those of the standard library's cells, whose only part is again a structure.
    fn structure(&self) -> Result<Self, Error> {
        const CELLS: [&str; 4] = ["UnsafeCell<", "Cell<", "ManuallyDrop<", "MaybeUninit<"];
        let mut at = *self;
        for _ in 0..WRAPPERS_MAX {
            match at.only_part()? {
                Some(part) if CELLS.iter().any(|cell| at.name().starts_with(cell)) => at = part,
                _ => break,
            }
        }
        Ok(at)
    }

    /// The array in wrappers around it: itself, its element's type and how many there are. A slice is an array behind a pointer.
    fn array(&self) -> Result<(Self, TypeId, u64), Error> {
        if let Ok(pointer) = self.field("data_ptr") {
            let count = self.number_of("length")?;
            let target = pointer.target()?.ok_or_else(|| Error::Broken("a slice without a place".to_owned()))?;
            return Ok((target, target.of, count));
        }
        let inner = self.innermost()?;
        match inner.kind()?.shape {
            Shape::Array(element, count) => Ok((inner, element, count)),
            _ => Err(inner.is_not("an array")),
        }
    }
}

/// A little-endian number of up to 8 bytes.
fn read_number(memory: &dyn Memory, address: u64, size: u64) -> Result<u64, Error> {
    let mut bytes = [0; 8];
    let wanted = bytes.get_mut(..size as usize).ok_or_else(|| Error::Layout(format!("a number of {size} bytes")))?;
    memory.read(address, wanted)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests;
