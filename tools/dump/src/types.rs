//! What debug information says of a program's data: its types, and where its static variables are.
//!
//! Read from DWARF (version 4 or 5) as rustc writes it, structures, enumerations with their variants, arrays and pointers. Types are
//! named by the place of their entry; one that was left out stays a hole that only matters when somebody wants to look inside.

use std::collections::HashMap;

use gimli::constants as dw;
use gimli::{AttributeValue, DebugInfoOffset, DwAt, Operation};

use crate::Error;

/// Debug information's own bytes.
pub(crate) type Reader = gimli::EndianArcSlice<gimli::LittleEndian>;
type Unit = gimli::Unit<Reader>;
type Entry = gimli::DebuggingInformationEntry<Reader>;
type Node<'a, 'b> = gimli::EntriesTreeNode<'a, 'b, Reader>;

/// Names a type of one program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TypeId(usize);

/// A part of a structure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its name; `__0`, `__1`… in tuples.
    pub name: String,
    /// Bytes from the structure's start.
    pub offset: u64,
    /// Its type.
    pub of: TypeId,
}

/// One variant of an enumeration with data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variant {
    /// The discriminant; `None` for the variant that all other values mean.
    pub discriminant: Option<u64>,
    /// Its name and data.
    pub member: Member,
}

/// Which variants there are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Variants {
    /// Where the discriminant is; `None` if there is one variant only.
    pub discriminant: Option<Member>,
    /// The variants.
    pub all: Vec<Variant>,
}

/// What a type is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    /// A number, truth value, character or plain enumeration.
    Number,
    /// An address.
    Pointer(Option<TypeId>),
    /// Equal things one behind the other.
    Array(TypeId, u64),
    /// A structure or union.
    Structure(Vec<Member>),
    /// One of several structures.
    Choice(Variants),
}

/// A type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Type {
    /// Its name without its module.
    pub name: String,
    /// Bytes. Of an array: see [`Types::size`].
    size: u64,
    /// What it is made of.
    pub shape: Shape,
}

/// A static variable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Static {
    /// Its address.
    pub address: u64,
    /// Its type.
    pub of: TypeId,
}

/// The types and static variables of a program.
#[derive(Debug, Default)]
pub struct Types {
    types: HashMap<TypeId, Type>,
    names: HashMap<String, TypeId>,
    statics: HashMap<String, Static>,
}

/// Deeper than any Rust module or type is nested: the end for debug information that was damaged.
const DEPTH_MAX: usize = 64;

impl Types {
    /// Reads all that there is.
    pub(crate) fn read(dwarf: &gimli::Dwarf<Reader>) -> Result<Self, Error> {
        let mut types = Self::default();
        let mut units = dwarf.units();
        while let Some(header) = units.next()? {
            let unit = dwarf.unit(header)?;
            let mut tree = unit.entries_tree(None)?;
            types.walk(&Scope { dwarf, unit: &unit, path: String::new(), depth: 0 }, tree.root()?)?;
        }
        Ok(types)
    }

    /// A type; a hole in the debug information is an error.
    pub fn get(&self, id: TypeId) -> Result<&Type, Error> {
        self.types.get(&id).ok_or_else(|| Error::Layout(format!("debug information has no type at {:#x}", id.0)))
    }

    /// Bytes of a type.
    pub fn size(&self, id: TypeId) -> Result<u64, Error> {
        let (mut at, mut count) = (id, 1u64);
        for _ in 0..DEPTH_MAX {
            match self.get(at)? {
                Type { shape: Shape::Array(element, length), .. } => (at, count) = (*element, count.saturating_mul(*length)),
                Type { size, .. } => return Ok(count.saturating_mul(*size)),
            }
        }
        Err(Error::Layout("an array of arrays without end".to_owned()))
    }

    /// A static variable by its path.
    pub fn named(&self, path: &str) -> Result<Static, Error> {
        self.statics.get(path).copied().ok_or_else(|| Error::Layout(format!("it has no static `{path}`")))
    }

    /// A structure by its path.
    pub fn structure_named(&self, path: &str) -> Result<TypeId, Error> {
        self.names.get(path).copied().ok_or_else(|| Error::Layout(format!("it has no type `{path}`")))
    }

    fn walk(&mut self, scope: &Scope<'_>, node: Node<'_, '_>) -> Result<(), Error> {
        let entry = node.entry();
        let name = scope.text(entry, dw::DW_AT_name)?;
        let id = scope.id(entry);
        match entry.tag() {
            dw::DW_TAG_variable => {
                if let (Some(address), Some(of), Some(name)) = (scope.address(entry)?, scope.kind(entry), &name) {
                    self.statics.insert(scope.join(name), Static { address, of });
                }
                return Ok(());
            }
            dw::DW_TAG_base_type | dw::DW_TAG_enumeration_type => {
                let size = number(entry, dw::DW_AT_byte_size).unwrap_or(0);
                self.types.insert(id, Type { name: name.unwrap_or_default(), size, shape: Shape::Number });
                return Ok(());
            }
            dw::DW_TAG_pointer_type => {
                let size = u64::from(scope.unit.encoding().address_size);
                self.types.insert(id, Type { name: name.unwrap_or_default(), size, shape: Shape::Pointer(scope.kind(entry)) });
                return Ok(());
            }
            dw::DW_TAG_array_type => return self.array(scope, node),
            dw::DW_TAG_structure_type | dw::DW_TAG_union_type => return self.structure(scope, node, name.unwrap_or_default()),
            _ => {}
        }
        // Everything else is a place in which something may be declared: a unit, a module, a function, a block of one.
        let inner = scope.inside(name.as_deref().filter(|_| entry.tag() != dw::DW_TAG_compile_unit))?;
        let mut children = node.children();
        while let Some(child) = children.next()? {
            self.walk(&inner, child)?;
        }
        Ok(())
    }

    fn array(&mut self, scope: &Scope<'_>, node: Node<'_, '_>) -> Result<(), Error> {
        let (id, of) = (scope.id(node.entry()), scope.kind(node.entry()));
        let mut count = 0;
        let mut children = node.children();
        while let Some(child) = children.next()? {
            if child.entry().tag() == dw::DW_TAG_subrange_type {
                let upper = number(child.entry(), dw::DW_AT_upper_bound).map(|last| last.saturating_add(1));
                count = number(child.entry(), dw::DW_AT_count).or(upper).unwrap_or(0);
            }
        }
        if let Some(of) = of {
            self.types.insert(id, Type { name: String::new(), size: 0, shape: Shape::Array(of, count) });
        }
        Ok(())
    }

    fn structure(&mut self, scope: &Scope<'_>, node: Node<'_, '_>, name: String) -> Result<(), Error> {
        let (id, size) = (scope.id(node.entry()), number(node.entry(), dw::DW_AT_byte_size).unwrap_or(0));
        // Its methods and the types of its variants are declared inside.
        let inner = scope.inside(Some(&name))?;
        if !node.entry().has_attr(dw::DW_AT_declaration) {
            self.names.insert(inner.path.clone(), id);
        }
        let (mut members, mut variants) = (Vec::new(), None);
        let mut children = node.children();
        while let Some(child) = children.next()? {
            match child.entry().tag() {
                dw::DW_TAG_member => members.extend(scope.member(child.entry())?),
                dw::DW_TAG_variant_part => variants = Some(scope.variants(child)?),
                _ => self.walk(&inner, child)?,
            }
        }
        let shape = variants.map_or(Shape::Structure(members), Shape::Choice);
        self.types.insert(id, Type { name, size, shape });
        Ok(())
    }
}

/// Where an entry stands.
struct Scope<'a> {
    dwarf: &'a gimli::Dwarf<Reader>,
    unit: &'a Unit,
    /// Modules, functions and types around it.
    path: String,
    depth: usize,
}

impl Scope<'_> {
    fn inside(&self, name: Option<&str>) -> Result<Scope<'_>, Error> {
        if self.depth == DEPTH_MAX {
            return Err(Error::NotKernel("its debug information is nested without end".to_owned()));
        }
        let path = name.map_or_else(|| self.path.clone(), |name| self.join(name));
        Ok(Scope { dwarf: self.dwarf, unit: self.unit, path, depth: self.depth + 1 })
    }

    fn join(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}::{name}", self.path) }
    }

    fn id(&self, entry: &Entry) -> TypeId {
        TypeId(entry.offset().to_debug_info_offset(&self.unit.header).map_or(0, |DebugInfoOffset(offset)| offset))
    }

    /// The type that an entry refers to.
    fn kind(&self, entry: &Entry) -> Option<TypeId> {
        match entry.attr_value(dw::DW_AT_type)? {
            AttributeValue::UnitRef(offset) => Some(TypeId(offset.to_debug_info_offset(&self.unit.header)?.0)),
            AttributeValue::DebugInfoRef(DebugInfoOffset(offset)) => Some(TypeId(offset)),
            _ => None,
        }
    }

    fn text(&self, entry: &Entry, name: DwAt) -> Result<Option<String>, Error> {
        let Some(value) = entry.attr_value(name) else { return Ok(None) };
        let text = self.dwarf.attr_string(self.unit, value)?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    /// The address of a variable that has one for ever.
    fn address(&self, entry: &Entry) -> Result<Option<u64>, Error> {
        let Some(AttributeValue::Exprloc(expression)) = entry.attr_value(dw::DW_AT_location) else { return Ok(None) };
        let mut operations = expression.operations(self.unit.encoding());
        Ok(match (operations.next()?, operations.next()?) {
            (Some(Operation::Address { address }), None) => Some(address),
            (Some(Operation::AddressIndex { index }), None) => Some(self.dwarf.address(self.unit, index)?),
            _ => None,
        })
    }

    fn member(&self, entry: &Entry) -> Result<Option<Member>, Error> {
        let name = self.text(entry, dw::DW_AT_name)?.unwrap_or_default();
        let offset = number(entry, dw::DW_AT_data_member_location).unwrap_or(0);
        Ok(self.kind(entry).map(|of| Member { name, offset, of }))
    }

    fn variants(&self, node: Node<'_, '_>) -> Result<Variants, Error> {
        // The discriminant is one of the part's own members; there is only this one.
        let mut variants = Variants::default();
        let mut children = node.children();
        while let Some(child) = children.next()? {
            match child.entry().tag() {
                dw::DW_TAG_member => variants.discriminant = self.member(child.entry())?,
                dw::DW_TAG_variant => {
                    let discriminant = number(child.entry(), dw::DW_AT_discr_value);
                    let mut parts = child.children();
                    while let Some(part) = parts.next()? {
                        if part.entry().tag() == dw::DW_TAG_member {
                            variants.all.extend(self.member(part.entry())?.map(|member| Variant { discriminant, member }));
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(variants)
    }
}

fn number(entry: &Entry, name: DwAt) -> Option<u64> {
    let value = entry.attr_value(name)?;
    value.udata_value().or_else(|| value.sdata_value().map(i64::cast_unsigned))
}
