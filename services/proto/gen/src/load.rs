//! WIT into the checked [`Model`]: everything that can't be a bounded packet is refused here, by name.

use std::collections::BTreeMap;
use std::path::Path;

use wit_parser::{Docs, Function, Handle, InterfaceId, PackageId, Resolve, Type as WitType, TypeDefKind, TypeId, TypeOwner};

use crate::model::{Body, Case, Definition, Field, Model, Module, Name, Operation, Parameter, Scalar, Service, Type, Value};
use crate::size;

mod annotation;
use annotation::Annotations;

/// Most capabilities on a message.
const CAPABILITIES: usize = 4;
/// Most parameters that are bytes: they are encoded as one tuple, and serde knows tuples up to this length.
const PARAMETERS: usize = 16;
/// Most elements of a fixed-length list: serde knows arrays up to this length.
const ARRAY: u32 = 32;
/// Rights of a capability that are the server's: the high 16 bits.
const RIGHTS: usize = 16;
/// First code that is common to services; the kernel keeps those below.
const COMMON_CODES: usize = 256;
/// First code that belongs to one interface.
const OWN_CODES: usize = 1024;

/// What is wrong, and where.
#[derive(Debug)]
pub struct Error {
    /// Interface and item, such as `aios:log/log.write`.
    pub at: String,
    /// What.
    pub problem: Problem,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.at, self.problem)
    }
}

impl std::error::Error for Error {}

/// What is wrong with an interface.
#[derive(Debug)]
pub enum Problem {
    /// It is not WIT.
    Syntax(String),
    /// There is no documentation.
    Undocumented,
    /// An annotation that does not exist or does not belong here.
    UnknownAnnotation(String),
    /// An annotation that has to be there is not.
    MissingAnnotation(&'static str),
    /// An annotation's argument is not what it should be.
    BadAnnotation(String),
    /// A number is used twice.
    Duplicate(&'static str, u16),
    /// Two interfaces have one name.
    DuplicateName,
    /// The package has no version, or a major version above 255.
    Version,
    /// A list or string without a bound: it needs a name and `@max`.
    Unbounded,
    /// A fixed-length list is longer than can be encoded.
    LongArray(u32),
    /// A type that no packet can carry.
    NotEncodable(&'static str),
    /// A capability inside a value; it can only be a parameter or a result of its own.
    NestedCapability,
    /// More capabilities than ride on a message.
    TooManyCapabilities(usize),
    /// Some capabilities moved and some not.
    MixedCapabilities,
    /// More parameters than can be encoded.
    TooManyParameters(usize),
    /// A result's error is not the type `error` of the interface.
    ForeignError,
    /// An error's detail borrows from the packet.
    BorrowingError,
    /// A one-way function with a result, or one that may answer later.
    OnewayWithAnswer,
    /// The interface has no such flag in `rights`.
    UnknownRight(String),
    /// More flags than a number holds.
    TooManyFlags(usize),
    /// Something without any case.
    Empty,
    /// The longest packet is longer than any packet.
    TooLong(u64),
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Syntax(text) => write!(f, "{text}"),
            Self::Undocumented => write!(f, "has no documentation"),
            Self::UnknownAnnotation(word) => write!(f, "annotation @{word} has no meaning here"),
            Self::MissingAnnotation(word) => write!(f, "needs @{word}"),
            Self::BadAnnotation(line) => write!(f, "bad annotation `{line}`"),
            Self::Duplicate(what, number) => write!(f, "{what} {number} is taken"),
            Self::DuplicateName => write!(f, "another interface has this name"),
            Self::Version => write!(f, "the package needs a version with a major number of at most 255"),
            Self::Unbounded => write!(f, "a list or string needs a named type with @max"),
            Self::LongArray(length) => write!(f, "a fixed-length list of {length} elements; at most {ARRAY} are possible"),
            Self::NotEncodable(what) => write!(f, "a {what} can't be part of a packet"),
            Self::NestedCapability => write!(f, "a capability can only be a parameter or a result of its own"),
            Self::TooManyCapabilities(count) => write!(f, "{count} capabilities; at most {CAPABILITIES} ride on a message"),
            Self::MixedCapabilities => write!(f, "own and borrow mixed; a message moves all of its capabilities or none"),
            Self::TooManyParameters(count) => write!(f, "{count} parameters; at most {PARAMETERS} are possible"),
            Self::ForeignError => write!(f, "the error of a result has to be the type `error` of the interface, with @codes"),
            Self::BorrowingError => write!(f, "an error's detail can't be a string or a list of bytes"),
            Self::OnewayWithAnswer => write!(f, "one-way, but with a result or @pending"),
            Self::UnknownRight(name) => write!(f, "the interface has no flag `{name}` in `rights`"),
            Self::TooManyFlags(count) => write!(f, "{count} flags; at most 32 are possible, 16 for rights"),
            Self::Empty => write!(f, "has no cases"),
            Self::TooLong(length) => write!(f, "its longest packet has {length} bytes; at most {} are possible", size::PACKET),
        }
    }
}

/// Reads a folder of WIT, with its `deps`.
pub fn load(folder: &Path) -> Result<Model, Error> {
    let mut resolve = Resolve::default();
    resolve.push_dir(folder).map_err(|error| Error { at: folder.display().to_string(), problem: Problem::Syntax(format!("{error:#}")) })?;
    Loader { resolve: &resolve, model: Model::default(), numbers: BTreeMap::new() }.run()
}

struct Loader<'r> {
    resolve: &'r Resolve,
    model: Model,
    numbers: BTreeMap<u16, String>,
}

/// A place in the WIT, for messages.
fn fail<T>(at: &str, problem: Problem) -> Result<T, Error> {
    Err(Error { at: at.into(), problem })
}

impl Loader<'_> {
    fn run(mut self) -> Result<Model, Error> {
        for package in self.resolve.topological_packages() {
            for id in self.in_order_of_use(package) {
                self.interface(package, id)?;
            }
        }
        Ok(self.model)
    }

    /// The interfaces of a package, each after those whose types it uses.
    fn in_order_of_use(&self, package: PackageId) -> Vec<InterfaceId> {
        let mut left: Vec<_> = self.resolve.packages[package].interfaces.values().copied().collect();
        let mut order = Vec::new();
        while let Some(place) = left.iter().position(|&id| {
            let mut needs = self.resolve.interface_direct_deps(id);
            needs.all(|need| need == id || !left.contains(&need))
        }) {
            order.push(left.remove(place));
        }
        order
    }

    fn interface(&mut self, package: PackageId, id: InterfaceId) -> Result<(), Error> {
        let interface = &self.resolve.interfaces[id];
        let package = &self.resolve.packages[package].name;
        let Some(name) = interface.name.clone() else { return Ok(()) };
        let path = format!("{}:{}/{name}", package.namespace, package.name);
        if self.model.modules.iter().any(|module| module.name == name) {
            return fail(&path, Problem::DuplicateName);
        }
        let mut notes = Annotations::read(&path, &interface.docs)?;
        let docs = notes.docs()?;
        let number = notes.number("interface")?;
        notes.done()?;

        self.model.modules.push(Module { path: path.clone(), name: name.clone(), docs, types: Vec::new(), service: None });
        let module = self.model.modules.len() - 1;
        for &id in interface.types.values() {
            self.definition(module, &path, id)?;
        }
        if interface.functions.is_empty() {
            return Ok(());
        }

        let number = match number {
            Some(number) if number != 0 => number,
            _ => return fail(&path, Problem::MissingAnnotation("interface")),
        };
        if self.numbers.insert(number, path.clone()).is_some() {
            return fail(&path, Problem::Duplicate("interface", number));
        }
        let major = package.version.as_ref().and_then(|version| u8::try_from(version.major).ok());
        let Some(major) = major else { return fail(&path, Problem::Version) };
        let error = self.own(&name, "error", |body| matches!(body, Body::Variant { codes: Some(_), .. }));
        let mut service = Service { number, major, error, operations: Vec::new() };
        for function in interface.functions.values() {
            let operation = self.operation(&name, &path, &service, function)?;
            if service.operations.iter().any(|other| other.number == operation.number) {
                return fail(&format!("{path}.{}", function.name), Problem::Duplicate("operation", operation.number));
            }
            service.operations.push(operation);
        }
        service.operations.sort_by_key(|operation| operation.number);
        self.model.modules[module].service = Some(service);
        Ok(())
    }

    /// The interface's own type of this name, if it is what it should be.
    fn own(&self, module: &str, item: &str, check: impl Fn(&Body) -> bool) -> Option<Name> {
        let name = Name { module: module.into(), item: item.into() };
        self.model.index.get(&name).filter(|&&(module, place)| check(&self.model.modules[module].types[place].body))?;
        Some(name)
    }

    fn definition(&mut self, module: usize, path: &str, id: TypeId) -> Result<(), Error> {
        let definition = &self.resolve.types[id];
        let Some(name) = definition.name.clone() else { return Ok(()) };
        let at = format!("{path}.{name}");
        // `use` makes an alias of the same name for a type of another interface; it is followed where it is used.
        if let TypeDefKind::Type(WitType::Id(target)) = definition.kind
            && self.resolve.types[target].owner != definition.owner
        {
            return Ok(());
        }
        let mut notes = Annotations::read(&at, &definition.docs)?;
        let docs = notes.docs()?;
        let body = match &definition.kind {
            TypeDefKind::Type(WitType::String) => Body::Alias(Type::Text(notes.max()?)),
            TypeDefKind::List(WitType::U8) => Body::Alias(Type::Bytes(notes.max()?)),
            TypeDefKind::List(item) => Body::Alias(Type::List(Box::new(self.ty(&at, item)?), notes.max()?)),
            TypeDefKind::Type(ty) => Body::Alias(self.ty(&at, ty)?),
            TypeDefKind::Record(record) => {
                let mut fields = Vec::new();
                for field in &record.fields {
                    let at = format!("{at}.{}", field.name);
                    fields.push(Field { name: field.name.clone(), docs: plain(&at, &field.docs)?, ty: self.ty(&at, &field.ty)? });
                }
                Body::Record(fields)
            }
            TypeDefKind::Enum(cases) => {
                let cases = cases.cases.iter().map(|case| self.case(&at, &case.name, &case.docs, None));
                Body::Variant { cases: cases.collect::<Result<_, _>>()?, codes: notes.number("codes")? }
            }
            TypeDefKind::Variant(cases) => {
                let cases = cases.cases.iter().map(|case| self.case(&at, &case.name, &case.docs, case.ty.as_ref()));
                Body::Variant { cases: cases.collect::<Result<_, _>>()?, codes: notes.number("codes")? }
            }
            TypeDefKind::Flags(flags) => {
                let flags = flags.flags.iter().map(|flag| self.case(&at, &flag.name, &flag.docs, None));
                Body::Flags(flags.collect::<Result<_, _>>()?)
            }
            TypeDefKind::Resource => Body::Resource,
            _ => Body::Alias(self.anonymous(&at, id)?),
        };
        notes.done()?;
        match &body {
            Body::Variant { cases, .. } | Body::Flags(cases) if cases.is_empty() => return fail(&at, Problem::Empty),
            Body::Flags(flags) if flags.len() > 32 || (name == "rights" && flags.len() > RIGHTS) => {
                return fail(&at, Problem::TooManyFlags(flags.len()));
            }
            Body::Variant { cases, codes: Some(first) } if !codes_in_range(&name, *first, cases.len()) => {
                return fail(&at, Problem::BadAnnotation(format!("@codes {first}")));
            }
            Body::Variant { cases, codes: Some(_) } if cases.iter().filter_map(|c| c.ty.as_ref()).any(|ty| self.model.borrows(ty)) => {
                return fail(&at, Problem::BorrowingError);
            }
            _ => {}
        }
        let types = &mut self.model.modules[module].types;
        types.push(Definition { name: name.clone(), docs, body });
        let place = (module, types.len() - 1);
        let module = self.model.modules[module].name.clone();
        self.model.index.insert(Name { module, item: name }, place);
        Ok(())
    }

    fn case(&self, at: &str, name: &str, docs: &Docs, ty: Option<&WitType>) -> Result<Case, Error> {
        let at = format!("{at}.{name}");
        let ty = ty.map(|ty| self.ty(&at, ty)).transpose()?;
        Ok(Case { name: name.into(), docs: plain(&at, docs)?, ty })
    }

    fn ty(&self, at: &str, ty: &WitType) -> Result<Type, Error> {
        let scalar = match ty {
            WitType::Bool => Scalar::Bool,
            WitType::U8 => Scalar::U8,
            WitType::U16 => Scalar::U16,
            WitType::U32 => Scalar::U32,
            WitType::U64 => Scalar::U64,
            WitType::S8 => Scalar::I8,
            WitType::S16 => Scalar::I16,
            WitType::S32 => Scalar::I32,
            WitType::S64 => Scalar::I64,
            WitType::F32 => Scalar::F32,
            WitType::F64 => Scalar::F64,
            WitType::Char => Scalar::Char,
            WitType::String => return fail(at, Problem::Unbounded),
            WitType::ErrorContext => return fail(at, Problem::NotEncodable("error context")),
            WitType::Id(id) => return self.id(at, *id),
        };
        Ok(Type::Scalar(scalar))
    }

    /// A type by id: its name if it has one, else what it is made of.
    fn id(&self, at: &str, id: TypeId) -> Result<Type, Error> {
        if self.resolve.types[id].name.is_none() {
            return self.anonymous(at, id);
        }
        let name = self.name(id);
        match self.model.index.get(&name) {
            Some(&(module, place)) => match self.model.modules[module].types[place].body {
                Body::Resource => fail(at, Problem::NestedCapability),
                // They are bits of the kernel's word of rights and go with capabilities, not with data.
                Body::Flags(_) if name.item == "rights" => fail(at, Problem::NotEncodable("set of rights")),
                _ => Ok(Type::Named(name)),
            },
            // Types of worlds, which are no interfaces.
            None => fail(at, Problem::NotEncodable("type defined outside of an interface")),
        }
    }

    fn anonymous(&self, at: &str, id: TypeId) -> Result<Type, Error> {
        let kind = &self.resolve.types[id].kind;
        match kind {
            TypeDefKind::Option(item) => Ok(Type::Option(Box::new(self.ty(at, item)?))),
            TypeDefKind::Tuple(tuple) => Ok(Type::Tuple(tuple.types.iter().map(|item| self.ty(at, item)).collect::<Result<_, _>>()?)),
            TypeDefKind::FixedLengthList(_, length) if *length > ARRAY => fail(at, Problem::LongArray(*length)),
            TypeDefKind::FixedLengthList(item, length) => Ok(Type::Array(Box::new(self.ty(at, item)?), *length)),
            TypeDefKind::List(_) => fail(at, Problem::Unbounded),
            TypeDefKind::Handle(_) => fail(at, Problem::NestedCapability),
            other => fail(at, Problem::NotEncodable(other.as_str())),
        }
    }

    /// Where a named type is really defined, behind any `use`.
    fn name(&self, mut id: TypeId) -> Name {
        while let TypeDefKind::Type(WitType::Id(target)) = self.resolve.types[id].kind
            && self.resolve.types[target].owner != self.resolve.types[id].owner
        {
            id = target;
        }
        let definition = &self.resolve.types[id];
        let module = match definition.owner {
            TypeOwner::Interface(interface) => self.resolve.interfaces[interface].name.clone(),
            TypeOwner::World(_) | TypeOwner::None => None,
        };
        Name { module: module.unwrap_or_default(), item: definition.name.clone().unwrap_or_default() }
    }

    fn operation(&self, module: &str, path: &str, service: &Service, function: &Function) -> Result<Operation, Error> {
        let at = format!("{path}.{}", function.name);
        let mut notes = Annotations::read(&at, &function.docs)?;
        let docs = notes.docs()?;
        let Some(number) = notes.number("op")? else { return fail(&at, Problem::MissingAnnotation("op")) };
        let (pending, oneway) = (notes.mark("pending")?, notes.mark("oneway")?);
        let idempotent = notes.mark("idempotent")?;
        let right = notes.word("right")?.map(|right| self.right(module, &at, right)).transpose()?;
        notes.done()?;

        let mut parameters = Vec::new();
        for parameter in &function.params {
            let value = self.value(&format!("{at}({})", parameter.name), &parameter.ty)?;
            parameters.push(Parameter { name: parameter.name.clone(), value });
        }
        let results = self.results(&at, service, function)?;
        if oneway && (pending || function.result.is_some()) {
            return fail(&at, Problem::OnewayWithAnswer);
        }
        let operation = Operation { number, name: function.name.clone(), docs, parameters, results, pending, oneway, idempotent, right };
        self.check(&at, service, operation)
    }

    /// The bounds of an operation.
    fn check(&self, at: &str, service: &Service, operation: Operation) -> Result<Operation, Error> {
        for count in [operation.capabilities_in(), operation.capabilities_out()] {
            if count > CAPABILITIES {
                return fail(at, Problem::TooManyCapabilities(count));
            }
        }
        let borrowed = |p: &Parameter| matches!(p.value, Value::Capability { moved: false, .. });
        if operation.moves() && operation.parameters.iter().any(borrowed) {
            return fail(at, Problem::MixedCapabilities);
        }
        let count = operation.parameters.len().max(operation.results.len());
        if count > PARAMETERS {
            return fail(at, Problem::TooManyParameters(count));
        }
        let error = service.error.as_ref().map_or(0, |name| size::error_detail(&self.model, &self.model.definition(name).body));
        let longest = size::request(&self.model, &operation).max(size::reply(&self.model, &operation, error));
        if longest > size::PACKET {
            return fail(at, Problem::TooLong(longest));
        }
        Ok(operation)
    }

    fn right(&self, module: &str, at: &str, right: String) -> Result<(u32, String), Error> {
        let rights = self.own(module, "rights", |body| matches!(body, Body::Flags(_)));
        let place = rights.and_then(|name| match &self.model.definition(&name).body {
            Body::Flags(flags) => flags.iter().position(|flag| flag.name == right),
            _ => None,
        });
        match place {
            Some(place) => Ok((place as u32, right)),
            None => fail(at, Problem::UnknownRight(right)),
        }
    }

    /// A function's result: `result<T, error>`, a plain type or nothing; a tuple is several results.
    fn results(&self, at: &str, service: &Service, function: &Function) -> Result<Vec<Value>, Error> {
        let mut result = function.result;
        if let Some(WitType::Id(id)) = result
            && let TypeDefKind::Result(outcome) = &self.resolve.types[id].kind
        {
            let error = match outcome.err {
                Some(WitType::Id(error)) => Some(self.name(error)),
                _ => None,
            };
            if error.is_none() || error != service.error {
                return fail(at, Problem::ForeignError);
            }
            result = outcome.ok;
        }
        match result {
            None => Ok(Vec::new()),
            Some(WitType::Id(id)) => match &self.resolve.types[id] {
                definition if definition.name.is_some() => Ok(vec![self.value(at, &WitType::Id(id))?]),
                definition => match &definition.kind {
                    TypeDefKind::Tuple(tuple) => tuple.types.iter().map(|ty| self.value(at, ty)).collect(),
                    _ => Ok(vec![self.value(at, &WitType::Id(id))?]),
                },
            },
            Some(ty) => Ok(vec![self.value(at, &ty)?]),
        }
    }

    fn value(&self, at: &str, ty: &WitType) -> Result<Value, Error> {
        if let WitType::Id(id) = ty
            && let TypeDefKind::Handle(handle) = &self.resolve.types[*id].kind
        {
            return Ok(match handle {
                Handle::Own(resource) => Value::Capability { kind: self.name(*resource), moved: true },
                Handle::Borrow(resource) => Value::Capability { kind: self.name(*resource), moved: false },
            });
        }
        Ok(Value::Data(self.ty(at, ty)?))
    }
}

/// Whether an error's codes lie where they belong: the type `error` of an interface has its own, any other the common ones.
fn codes_in_range(name: &str, first: u16, count: usize) -> bool {
    let range = if name == "error" { OWN_CODES..usize::from(u16::MAX) + 1 } else { COMMON_CODES..OWN_CODES };
    let first = usize::from(first);
    range.contains(&first) && first + count <= range.end
}

/// Documentation that may hold no annotations.
fn plain(at: &str, docs: &Docs) -> Result<Vec<String>, Error> {
    let mut notes = Annotations::read(at, docs)?;
    let docs = notes.docs()?;
    notes.done()?;
    Ok(docs)
}
