//! The table of an interface, and its operations as types.

use super::names::{camel, shouty};
use super::{Emitter, results, tuple};
use crate::model::{Body, Operation, Service, Type, Value};
use crate::size;

impl Emitter<'_> {
    pub(super) fn table(&mut self, service: &Service) {
        let error = self.error_detail(service);
        let longest =
            service.operations.iter().map(|operation| size::request(self.model, operation).max(size::reply(self.model, operation, error)));
        let longest = longest.max().unwrap_or(size::HEADER);
        let caps = service.operations.iter().map(Operation::capabilities_in).max().unwrap_or(0);
        let constants = [
            ("Number of this interface in packet headers.", format!("NUMBER: u16 = {}", service.number)),
            ("Its major version.", format!("MAJOR: u8 = {}", service.major)),
            ("Bytes of its longest packet, either way.", format!("MAX_PACKET: usize = {longest}")),
            ("Most capabilities that ride on a request.", format!("MAX_CAPS: u8 = {caps}")),
            ("Hash of its wire format.", format!("SCHEMA: u64 = {:#018x}", self.schema(service))),
        ];
        for (docs, constant) in constants {
            self.out.line(format!("/// {docs}"));
            self.out.line(format!("pub const {constant};"));
        }
        self.out.blank();
        self.out.line("/// What is known of its operations.");
        self.out.open("pub const INTERFACE: crate::Interface = crate::Interface {");
        self.out.line(format!("name: \"{}\",", self.module.path));
        self.out.line("number: NUMBER,");
        self.out.line("major: MAJOR,");
        self.out.line("schema: SCHEMA,");
        let all: Vec<_> = service.operations.iter().map(|operation| format!("op::{}", shouty(&operation.name))).collect();
        self.out.line(format!("operations: &[{}],", all.join(", ")));
        let rights = self.module.types.iter().find(|definition| definition.name == "rights");
        let flags = rights.map_or(&[][..], |rights| if let Body::Flags(flags) = &rights.body { flags } else { &[] });
        let rights: Vec<_> = flags.iter().map(|flag| format!("(\"{}\", Rights::{}.bits())", flag.name, shouty(&flag.name))).collect();
        self.out.line(format!("rights: &[{}],", rights.join(", ")));
        self.out.close("};");
        self.out.blank();
        self.out.line("/// Why a server of this interface doesn't do what it was asked.");
        self.out.line(format!("pub type Failure = crate::Failure<{}>;", self.error(service)));
        self.out.line("/// What a call can end with instead of a result.");
        self.out.line(format!("pub type CallError = crate::Error<{}>;", self.error(service)));
        if service.error.is_some() {
            self.out.blank();
            self.out.open("impl From<Error> for Failure {");
            self.out.open("fn from(error: Error) -> Self {");
            self.out.line("Self::Service(error)");
            self.out.close("}");
            self.out.close("}");
        }
    }

    pub(super) fn operations(&mut self, service: &Service) {
        self.out.line("/// The operations, as table entries and as types.");
        self.out.open("pub mod op {");
        for operation in &service.operations {
            self.info(service, operation);
            self.out.blank();
            self.marker(service, operation);
            self.out.blank();
        }
        self.out.close("}");
    }

    fn info(&mut self, service: &Service, operation: &Operation) {
        let detail = self.error_detail(service);
        self.out.line(format!("/// What is known of `{}`.", operation.name));
        self.out.open(format!("pub const {}: crate::OperationInfo = crate::OperationInfo {{", shouty(&operation.name)));
        self.out.line(format!("number: {},", operation.number));
        self.out.line(format!("name: \"{}\",", operation.name));
        self.out.line(format!("max_request: {},", size::request(self.model, operation)));
        self.out.line(format!("max_reply: {},", size::reply(self.model, operation, detail)));
        self.out.line(format!("caps_in: {},", operation.capabilities_in()));
        self.out.line(format!("caps_out: {},", operation.capabilities_out()));
        match &operation.right {
            Some((_, name)) => self.out.line(format!("right: super::Rights::{}.bits(),", shouty(name))),
            None => self.out.line("right: 0,"),
        }
        self.out.line(format!(
            "mark: crate::Mark {{ pending: {}, oneway: {}, idempotent: {} }},",
            operation.pending, operation.oneway, operation.idempotent
        ));
        for (field, types) in [("request", operation.request().collect::<Vec<_>>()), ("reply", operation.reply().collect())] {
            let shapes: Vec<_> = types.into_iter().map(|ty| self.shape(ty)).collect();
            self.out.line("#[cfg(any(test, feature = \"host\"))]");
            self.out.line(format!("{field}: &[{}],", shapes.join(", ")));
        }
        self.out.close("};");
    }

    fn marker(&mut self, service: &Service, operation: &Operation) {
        let name = camel(&operation.name);
        // From inside the module of operations, the types of the interface are one level further out.
        let outward = |path: String| if path.starts_with("crate::") { path } else { format!("super::{path}") };
        let output = results(operation.results.iter().map(|value| match value {
            Value::Data(ty) => self.in_op(ty, "'a"),
            Value::Capability { kind, .. } => format!("crate::Grant<{}>", outward(self.path(kind))),
        }));
        let error = outward(self.error(service).into());
        self.out.line(format!("/// `{}`, as a type.", operation.name));
        self.out.line("#[derive(Clone, Copy, Debug)]");
        self.out.line(format!("pub enum {name} {{}}"));
        self.out.blank();
        self.out.open(format!("impl crate::Operation for {name} {{"));
        self.out.line("const INTERFACE: u16 = super::NUMBER;");
        self.out.line("const MAJOR: u8 = super::MAJOR;");
        self.out.line(format!("const INFO: &'static crate::OperationInfo = &{};", shouty(&operation.name)));
        self.out.line(format!("type Output<'a> = {output};"));
        self.out.line(format!("type Error = {error};"));
        self.out.blank();
        let names: Vec<_> = (0..operation.results.len()).map(|place| format!("r{place}")).collect();
        let pattern = results(names.iter().cloned());
        self.out.open(format!("fn put({pattern}: Self::Output<'_>, out: &mut crate::Outgoing<'_>) -> Option<()> {{"));
        for (name, value) in names.iter().zip(&operation.results) {
            if value.data().is_none() {
                self.out.line(format!("out.grant({name})?;"));
            }
        }
        let data = names.iter().zip(&operation.results).filter(|(_, value)| value.data().is_some());
        self.out.line(format!("out.put::<Self, _>(&{})", tuple(data.map(|(name, _)| name.clone()))));
        self.out.close("}");
        self.out.close("}");
    }

    /// A type as it is written inside the module of operations.
    fn in_op(&self, ty: &Type, lifetime: &str) -> String {
        match ty {
            Type::List(item, max) => format!("::heapless::Vec<{}, {max}>", self.in_op(item, lifetime)),
            Type::Array(item, length) => format!("[{}; {length}]", self.in_op(item, lifetime)),
            Type::Option(item) => format!("Option<{}>", self.in_op(item, lifetime)),
            Type::Tuple(items) => tuple(items.iter().map(|item| self.in_op(item, lifetime))),
            Type::Named(_) => format!("super::{}", self.ty(ty, lifetime)),
            other => self.ty(other, lifetime),
        }
    }

    fn shape(&self, ty: &Type) -> String {
        let list = |types: Vec<String>| types.join(", ");
        match ty {
            Type::Scalar(scalar) => format!("crate::host::Shape::{}", camel(scalar.rust())),
            Type::Text(max) => format!("crate::host::Shape::Text({max})"),
            Type::Bytes(max) => format!("crate::host::Shape::Bytes({max})"),
            Type::List(item, max) => format!("crate::host::Shape::List(&{}, {max})", self.shape(item)),
            Type::Array(item, length) => format!("crate::host::Shape::Array(&{}, {length})", self.shape(item)),
            Type::Option(item) => format!("crate::host::Shape::Option(&{})", self.shape(item)),
            Type::Tuple(items) => {
                format!("crate::host::Shape::Record(&[{}])", list(items.iter().map(|item| self.shape(item)).collect()))
            }
            Type::Named(name) => match &self.model.definition(name).body {
                Body::Alias(ty) => self.shape(ty),
                Body::Record(fields) => {
                    format!("crate::host::Shape::Record(&[{}])", list(fields.iter().map(|f| self.shape(&f.ty)).collect()))
                }
                Body::Variant { cases, .. } => {
                    let cases = cases.iter().map(|case| match &case.ty {
                        Some(ty) => format!("Some({})", self.shape(ty)),
                        None => "None".into(),
                    });
                    format!("crate::host::Shape::Variant(&[{}])", list(cases.collect()))
                }
                Body::Flags(flags) => format!("crate::host::Shape::Flags({})", flags.len()),
                Body::Resource => "crate::host::Shape::Record(&[])".into(),
            },
        }
    }
}
