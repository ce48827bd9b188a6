//! The client: one method an operation.

use super::names::{camel, parameter, snake};
use super::{Emitter, results, tuple};
use crate::model::{Operation, Service, Value};

impl Emitter<'_> {
    pub(super) fn client(&mut self, service: &Service) {
        self.out.line("/// Calls to a server of this interface.");
        self.out.line("#[derive(Debug)]");
        self.out.open("pub struct Client<T> {");
        self.out.line("/// Transport and buffer.");
        self.out.line("pub link: crate::Link<T, MAX_PACKET>,");
        self.out.close("}");
        self.out.blank();
        self.out.open("impl<T: crate::Transport> Client<T> {");
        self.out.line("/// A client over this transport.");
        self.out.open("pub const fn new(transport: T) -> Self {");
        self.out.line("Self { link: crate::Link::new(transport) }");
        self.out.close("}");
        for operation in &service.operations {
            self.out.blank();
            self.method(operation);
        }
        self.out.close("}");
    }

    fn method(&mut self, operation: &Operation) {
        let marker = camel(&operation.name);
        let mut arguments = vec!["&mut self".to_owned()];
        for argument in &operation.parameters {
            let name = parameter(&argument.name);
            arguments.push(match &argument.value {
                Value::Data(ty) => format!("{name}: {}", self.ty(ty, "'_")),
                Value::Capability { kind, moved: true } => format!("{name}: {}", self.path(kind)),
                Value::Capability { kind, moved: false } => format!("{name}: &{}", self.path(kind)),
            });
        }
        if !operation.oneway {
            arguments.push("deadline_ns: u64".into());
        }
        // With parameters that borrow, the lifetime of the result has to be said: it is that of the client's buffer.
        let borrows = self.borrows(operation);
        let (generic, lifetime) = if borrows { ("<'c>", "'c") } else { ("", "'_") };
        if borrows {
            arguments[0] = "&'c mut self".into();
        }
        let output = results(operation.results.iter().map(|value| match value {
            Value::Data(ty) => self.ty(ty, lifetime),
            Value::Capability { kind, .. } => self.path(kind),
        }));

        self.out.docs(&operation.docs);
        if arguments.len() > 7 {
            self.out.line("#[allow(clippy::too_many_arguments)]");
        }
        self.out.open(format!("pub fn {}{generic}({}) -> Result<{output}, CallError> {{", snake(&operation.name), arguments.join(", ")));
        let caps = self.caps(operation);
        let data = operation.parameters.iter().filter(|p| p.value.data().is_some()).map(|p| parameter(&p.name));
        let data = tuple(data);
        if operation.oneway {
            self.out.line(format!("self.link.send::<op::{marker}>(&{data}, {caps})"));
        } else {
            self.results(operation, &marker, &data, caps);
        }
        self.out.close("}");
    }

    /// Writes how the capabilities of a request are put together, and returns the name of what holds them.
    fn caps(&mut self, operation: &Operation) -> &'static str {
        if operation.capabilities_in() == 0 {
            return "crate::CapList::NONE";
        }
        self.out.line("let mut caps = crate::CapList::NONE;");
        for argument in &operation.parameters {
            if let Value::Capability { moved, .. } = argument.value {
                let name = parameter(&argument.name);
                let reference = if moved { "&" } else { "" };
                self.out.open(format!("if !caps.push(crate::Capability::handle({reference}{name}), {moved}) {{"));
                self.out.line("return Err(CallError::TooLong);");
                self.out.close("}");
            }
        }
        "caps"
    }

    fn results(&mut self, operation: &Operation, marker: &str, data: &str, caps: &str) {
        let names: Vec<_> = (0..operation.results.len()).map(|place| format!("r{place}")).collect();
        let of = |capability: bool| {
            names
                .iter()
                .zip(&operation.results)
                .filter(move |(_, value)| value.data().is_none() == capability)
                .map(|(name, _)| name.clone())
        };
        let pattern = tuple(of(false));
        let caps_name = if operation.capabilities_out() == 0 { "_" } else { "caps" };
        self.out.line(format!("let ({pattern}, {caps_name}) = self.link.call::<op::{marker}, _>(&{data}, {caps}, deadline_ns)?;"));
        for (place, name) in of(true).enumerate() {
            self.out.line(format!("let {name} = crate::Capability::from_handle(caps.keep({place}));"));
        }
        self.out.line(format!("Ok({})", results(names.iter().cloned())));
    }
}
