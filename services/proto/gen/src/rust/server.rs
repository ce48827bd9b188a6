//! The server's trait, the dispatcher in front of it, and a server that does nothing.

use super::names::{camel, parameter, snake};
use super::{Emitter, results, tuple};
use crate::model::{Operation, Service, Value};

impl Emitter<'_> {
    pub(super) fn server(&mut self, service: &Service) {
        self.out.line("/// What a server of this interface does. Every method is called with a packet that has passed all checks.");
        self.out.open("pub trait Server {");
        for operation in &service.operations {
            self.out.docs(&operation.docs);
            let signature = self.signature(service, operation);
            self.out.line(format!("{signature};"));
            self.out.blank();
        }
        self.out.close("}");
        self.out.blank();
        self.dispatch(service);
        self.out.blank();
        self.null(service);
    }

    fn signature(&self, service: &Service, operation: &Operation) -> String {
        let borrows = self.borrows(operation);
        let lifetime = if borrows { "'s" } else { "'_" };
        let (generic, receiver) = if borrows { ("<'s>", "&'s mut self") } else { ("", "&mut self") };
        let mut arguments = vec![receiver.into(), "caller: &crate::Caller".into()];
        if operation.pending {
            arguments.push(format!("later: crate::Later<op::{}>", camel(&operation.name)));
        }
        for parameter_ in &operation.parameters {
            let ty = match &parameter_.value {
                Value::Data(ty) => self.ty(ty, "'_"),
                Value::Capability { kind, .. } => format!("crate::server::Arrived<'_, {}>", self.path(kind)),
            };
            arguments.push(format!("{}: {ty}", parameter(&parameter_.name)));
        }
        let output = results(operation.results.iter().map(|value| self.given(value, lifetime)));
        let result = match () {
            () if operation.oneway => String::new(),
            () if operation.pending => format!(" -> crate::Answer<{output}, {}>", self.error(service)),
            () => format!(" -> Result<{output}, Failure>"),
        };
        format!("fn {}{generic}({}){result}", snake(&operation.name), arguments.join(", "))
    }

    fn dispatch(&mut self, service: &Service) {
        self.out.line("/// Reads a packet, refuses what is wrong with it, has the server handle it, and writes the reply.");
        self.out.open(
            "pub fn dispatch<S: Server + ?Sized>(server: &mut S, caller: &crate::Caller, request: &crate::Incoming<'_>, \
             out: &mut crate::Outgoing<'_>) -> crate::Outcome {",
        );
        self.out.open("let (operation, payload) = match request.check(&INTERFACE, caller) {");
        self.out.line("Ok(checked) => checked,");
        self.out.line("Err(code) => return out.refuse(request, code),");
        self.out.close("};");
        self.out.open("let outcome = match operation.number {");
        for operation in &service.operations {
            self.arm(operation);
        }
        self.out.line("_ => return out.refuse(request, crate::types::ErrorCode::BadOperation),");
        self.out.close("};");
        self.out.line("outcome.unwrap_or_else(|| out.refuse(request, crate::types::ErrorCode::BadSchema))");
        self.out.close("}");
    }

    fn arm(&mut self, operation: &Operation) {
        let marker = camel(&operation.name);
        let mut place = 0;
        let mut arguments = vec!["caller".to_owned()];
        if operation.pending {
            arguments.push("crate::Later::new(ticket)".into());
        }
        for argument in &operation.parameters {
            arguments.push(match argument.value {
                Value::Data(_) => parameter(&argument.name),
                Value::Capability { .. } => {
                    place += 1;
                    format!("crate::server::Arrived::new(request.caps, {})", place - 1)
                }
            });
        }
        let data: Vec<_> = operation.parameters.iter().filter(|p| p.value.data().is_some()).map(|p| parameter(&p.name)).collect();
        let pattern = tuple(data.into_iter());
        let call = format!("server.{}({})", snake(&operation.name), arguments.join(", "));
        let done = match () {
            () if operation.oneway => format!("{{ {call}; crate::Outcome::Done }}"),
            () if operation.pending => format!("crate::server::finish_or_wait::<op::{marker}>({call}, out)"),
            () => format!("crate::server::finish::<op::{marker}>({call}, out)"),
        };
        // The check before has seen to it that such an operation has a ticket.
        let decoded = if operation.pending {
            format!("crate::value::decode(payload).zip(request.ticket).map(|({pattern}, ticket)| {done})")
        } else {
            format!("crate::value::decode(payload).map(|{pattern}| {done})")
        };
        let decoded = if pattern == "()" { decoded.replacen("decode(payload)", "decode::<()>(payload)", 1) } else { decoded };
        self.out.line(format!("{} => {decoded},", operation.number));
    }

    fn null(&mut self, service: &Service) {
        self.out.line("/// A server that supports nothing: an answer of `not-supported` says that a packet has passed all checks.");
        self.out.line("#[cfg(any(test, feature = \"host\"))]");
        self.out.line("#[derive(Clone, Copy, Default, Debug)]");
        self.out.line("pub struct Null;");
        self.out.blank();
        self.out.line("#[cfg(any(test, feature = \"host\"))]");
        self.out.line("#[allow(unused_variables)]");
        self.out.open("impl Server for Null {");
        for operation in &service.operations {
            let signature = self.signature(service, operation);
            self.out.open(format!("{signature} {{"));
            match () {
                () if operation.oneway => {}
                () if operation.pending => self.out.line("crate::Answer::Now(Err(crate::types::ErrorCode::NotSupported.into()))"),
                () => self.out.line("Err(crate::types::ErrorCode::NotSupported.into())"),
            }
            self.out.close("}");
            self.out.blank();
        }
        self.out.close("}");
    }
}
