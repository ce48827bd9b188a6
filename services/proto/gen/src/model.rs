//! The checked model of a set of interfaces: everything in it can be encoded, and has a largest size.

use std::collections::BTreeMap;

/// All interfaces, each after those whose types it uses.
#[derive(Debug, Default)]
pub struct Model {
    /// One module an interface.
    pub modules: Vec<Module>,
    /// Where each named type is: module and place in its `types`.
    pub index: BTreeMap<Name, (usize, usize)>,
}

impl Model {
    /// The definition of a named type. The loader puts no name into the model that has none.
    pub fn definition(&self, name: &Name) -> &Definition {
        let &(module, place) = self.index.get(name).expect("the loader resolved every name");
        &self.modules[module].types[place]
    }

    /// Whether values of this type borrow from the packet that they were read from.
    pub fn borrows(&self, ty: &Type) -> bool {
        match ty {
            Type::Text(_) | Type::Bytes(_) => true,
            Type::List(item, _) | Type::Array(item, _) | Type::Option(item) => self.borrows(item),
            Type::Tuple(items) => items.iter().any(|item| self.borrows(item)),
            Type::Named(name) => self.definition_borrows(self.definition(name)),
            _ => false,
        }
    }

    /// Whether values of a defined type borrow.
    pub fn definition_borrows(&self, definition: &Definition) -> bool {
        match &definition.body {
            Body::Alias(ty) => self.borrows(ty),
            Body::Record(fields) => fields.iter().any(|field| self.borrows(&field.ty)),
            Body::Variant { cases, .. } => cases.iter().any(|case| case.ty.as_ref().is_some_and(|ty| self.borrows(ty))),
            Body::Flags(_) | Body::Resource => false,
        }
    }
}

/// A type by interface and name, both as in WIT.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Name {
    /// The interface that defines it.
    pub module: String,
    /// Its name there.
    pub item: String,
}

/// An interface.
#[derive(Debug)]
pub struct Module {
    /// Package and interface, such as `aios:log/log`.
    pub path: String,
    /// The interface's name, unique over all packages.
    pub name: String,
    /// Documentation without annotations.
    pub docs: Vec<String>,
    /// Its types, in WIT's order.
    pub types: Vec<Definition>,
    /// What it does, if it is more than types.
    pub service: Option<Service>,
}

/// The operations of an interface.
#[derive(Debug)]
pub struct Service {
    /// Number in packet headers.
    pub number: u16,
    /// Major version.
    pub major: u8,
    /// The type of its own errors, if it has any.
    pub error: Option<Name>,
    /// Its operations in the order of their numbers.
    pub operations: Vec<Operation>,
}

/// A function.
#[derive(Debug)]
pub struct Operation {
    /// Number in packet headers.
    pub number: u16,
    /// Its name in WIT.
    pub name: String,
    /// Documentation without annotations.
    pub docs: Vec<String>,
    /// What the caller gives, in WIT's order.
    pub parameters: Vec<Parameter>,
    /// What the caller gets, in WIT's order.
    pub results: Vec<Value>,
    /// The answer may come later.
    pub pending: bool,
    /// No answer comes.
    pub oneway: bool,
    /// Doing it twice is doing it once.
    pub idempotent: bool,
    /// The right it needs: index of the flag in `rights`, and its name.
    pub right: Option<(u32, String)>,
}

impl Operation {
    /// The types of the parameters that are bytes.
    pub fn request(&self) -> impl Iterator<Item = &Type> {
        self.parameters.iter().filter_map(|parameter| parameter.value.data())
    }

    /// The types of the results that are bytes.
    pub fn reply(&self) -> impl Iterator<Item = &Type> {
        self.results.iter().filter_map(Value::data)
    }

    /// How many capabilities ride on the request.
    pub fn capabilities_in(&self) -> usize {
        self.parameters.iter().filter(|parameter| parameter.value.data().is_none()).count()
    }

    /// How many capabilities ride on the reply.
    pub fn capabilities_out(&self) -> usize {
        self.results.iter().filter(|value| value.data().is_none()).count()
    }

    /// Whether the capabilities of the request are moved.
    pub fn moves(&self) -> bool {
        self.parameters.iter().any(|parameter| matches!(parameter.value, Value::Capability { moved: true, .. }))
    }
}

/// A parameter.
#[derive(Debug)]
pub struct Parameter {
    /// Its name in WIT.
    pub name: String,
    /// What it carries.
    pub value: Value,
}

/// A parameter's or result's content.
#[derive(Debug)]
pub enum Value {
    /// Part of the packet's bytes.
    Data(Type),
    /// Out of band.
    Capability {
        /// The resource.
        kind: Name,
        /// Whether the sender's own goes.
        moved: bool,
    },
}

impl Value {
    /// The type, if it is part of the bytes.
    pub fn data(&self) -> Option<&Type> {
        match self {
            Self::Data(ty) => Some(ty),
            Self::Capability { .. } => None,
        }
    }
}

/// A named type.
#[derive(Debug)]
pub struct Definition {
    /// Its name in WIT.
    pub name: String,
    /// Documentation without annotations.
    pub docs: Vec<String>,
    /// What it is.
    pub body: Body,
}

/// What a named type is.
#[derive(Debug)]
pub enum Body {
    /// Another name for a type.
    Alias(Type),
    /// Fields, all present.
    Record(Vec<Field>),
    /// One of several cases. A WIT enum is a variant none of whose cases carries anything.
    Variant {
        /// The cases.
        cases: Vec<Case>,
        /// Code of the first one, if this is an error.
        codes: Option<u16>,
    },
    /// Bits, from the least significant one.
    Flags(Vec<Case>),
    /// A kind of capability.
    Resource,
}

/// A field of a record.
#[derive(Debug)]
pub struct Field {
    /// Its name in WIT.
    pub name: String,
    /// Documentation.
    pub docs: Vec<String>,
    /// Its type.
    pub ty: Type,
}

/// A case of a variant, or a flag.
#[derive(Debug)]
pub struct Case {
    /// Its name in WIT.
    pub name: String,
    /// Documentation.
    pub docs: Vec<String>,
    /// What it carries.
    pub ty: Option<Type>,
}

/// A type that can be encoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Type {
    /// A number, truth value or character.
    Scalar(Scalar),
    /// UTF-8 of at most so many bytes.
    Text(u32),
    /// At most so many bytes.
    Bytes(u32),
    /// At most so many elements.
    List(Box<Type>, u32),
    /// Exactly so many elements.
    Array(Box<Type>, u32),
    /// Something or nothing.
    Option(Box<Type>),
    /// Several in a row.
    Tuple(Vec<Type>),
    /// A defined type.
    Named(Name),
}

/// The types without parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scalar {
    /// True or false.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
    /// A Unicode scalar value.
    Char,
}

impl Scalar {
    /// Its name in Rust.
    pub const fn rust(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Char => "char",
        }
    }
}
