//! The model as Rust source. The text is formatted as it is written, so that its golden copy can be read.

use crate::lock;
use crate::model::{Model, Module, Name, Operation, Service, Type, Value};
use crate::size;

mod client;
mod names;
mod server;
mod source;
mod table;
mod types;

use names::{camel, snake};
use source::Source;

/// The source of all interfaces.
pub fn emit(model: &Model) -> String {
    let mut out = Source::default();
    for module in &model.modules {
        Emitter { model, module, out: &mut out }.module();
    }
    out.line("/// Every interface that has operations.");
    out.open("pub const INTERFACES: &[crate::Interface] = &[");
    for module in model.modules.iter().filter(|module| module.service.is_some()) {
        out.line(format!("{}::INTERFACE,", snake(&module.name)));
    }
    out.close("];");
    out.blank();
    out.line("/// The dispatcher of every interface, in front of a server that does nothing: for tests and fuzzers.");
    out.line("#[cfg(any(test, feature = \"host\"))]");
    out.open("pub const DISPATCHERS: &[(&crate::Interface, crate::host::Dispatcher)] = &[");
    for module in model.modules.iter().filter(|module| module.service.is_some()) {
        let name = snake(&module.name);
        out.line(format!("(&{name}::INTERFACE, |caller, request, out| {name}::dispatch(&mut {name}::Null, caller, request, out)),"));
    }
    out.close("];");
    out.text()
}

/// One module on its way to text.
struct Emitter<'a> {
    model: &'a Model,
    module: &'a Module,
    out: &'a mut Source,
}

impl Emitter<'_> {
    fn module(&mut self) {
        let module = self.module;
        self.out.docs(&module.docs);
        self.out.open(format!("pub mod {} {{", snake(&module.name)));
        for definition in &module.types {
            self.definition(definition);
            self.out.blank();
        }
        if let Some(service) = &module.service {
            self.table(service);
            self.out.blank();
            self.operations(service);
            self.out.blank();
            self.server(service);
            self.out.blank();
            self.client(service);
        }
        self.out.close("}");
        self.out.blank();
    }

    /// A type where values of it are used; `lifetime` stands where something borrows.
    fn ty(&self, ty: &Type, lifetime: &str) -> String {
        match ty {
            Type::Scalar(scalar) => scalar.rust().into(),
            Type::Text(max) => format!("crate::Text<{lifetime}, {max}>"),
            Type::Bytes(max) => format!("crate::Bytes<{lifetime}, {max}>"),
            Type::List(item, max) => format!("::heapless::Vec<{}, {max}>", self.ty(item, lifetime)),
            Type::Array(item, length) => format!("[{}; {length}]", self.ty(item, lifetime)),
            Type::Option(item) => format!("Option<{}>", self.ty(item, lifetime)),
            Type::Tuple(items) => tuple(items.iter().map(|item| self.ty(item, lifetime))),
            Type::Named(name) => {
                let path = self.path(name);
                if self.model.borrows(ty) { format!("{path}<{lifetime}>") } else { path }
            }
        }
    }

    /// A named type, from inside the module.
    fn path(&self, name: &Name) -> String {
        let item = camel(&name.item);
        if name.module == self.module.name { item } else { format!("super::{}::{item}", snake(&name.module)) }
    }

    /// What a server gives for a result.
    fn given(&self, value: &Value, lifetime: &str) -> String {
        match value {
            Value::Data(ty) => self.ty(ty, lifetime),
            Value::Capability { kind, .. } => format!("crate::Grant<{}>", self.path(kind)),
        }
    }

    /// The type of the interface's own errors.
    fn error(&self, service: &Service) -> &'static str {
        if service.error.is_some() { "Error" } else { "crate::NoError" }
    }

    fn borrows(&self, operation: &Operation) -> bool {
        operation.reply().any(|ty| self.model.borrows(ty))
    }

    fn error_detail(&self, service: &Service) -> u64 {
        service.error.as_ref().map_or(0, |name| size::error_detail(self.model, &self.model.definition(name).body))
    }

    fn schema(&self, service: &Service) -> u64 {
        lock::hash(self.model, self.module, service)
    }
}

/// Several things as a Rust tuple, type, pattern or value.
fn tuple(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    match items.as_slice() {
        [one] => format!("({one},)"),
        items => format!("({})", items.join(", ")),
    }
}

/// Several results as a Rust type or value: none is nothing, one is itself.
fn results(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    match items.as_slice() {
        [one] => one.clone(),
        items => format!("({})", items.join(", ")),
    }
}
