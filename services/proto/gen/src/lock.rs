//! The wire format as text: what two programs have to agree on, and nothing else. A change of it is a change of `schema.lock`, seen in
//! review; documentation may change freely.

use std::fmt::Write as _;

use crate::model::{Body, Definition, Model, Module, Operation, Service, Type, Value};
use crate::size;

/// The lock file of all interfaces.
pub fn text(model: &Model) -> String {
    let mut text = String::from(
        "# The wire format of every interface, made from wit/. Within a major version only additions are allowed:\n\
         # new operations, new error codes at the end. Anything else needs a new major version of the package.\n",
    );
    for module in &model.modules {
        if let Some(service) = &module.service {
            let _ = writeln!(text, "\n{}schema {:016x}", interface(model, module, service), hash(model, module, service));
        }
    }
    text
}

/// The hash of an interface's wire format.
pub fn hash(model: &Model, module: &Module, service: &Service) -> u64 {
    fnv1a(interface(model, module, service).as_bytes())
}

/// FNV-1a, 64 bits (<https://datatracker.ietf.org/doc/html/rfc9923>): it has to notice accidents only.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn interface(model: &Model, module: &Module, service: &Service) -> String {
    let mut text = format!("interface {} {:#06x} major {}\n", module.path, service.number, service.major);
    let error = service.error.as_ref().map(|name| model.definition(name));
    let detail = error.map_or(0, |definition| size::error_detail(model, &definition.body));
    for operation in &service.operations {
        line(&mut text, model, operation, detail);
    }
    if let Some(Definition { body: Body::Variant { cases, codes: Some(first) }, .. }) = error {
        for (code, case) in (u32::from(*first)..).zip(cases) {
            let detail = case.ty.as_ref().map(|ty| format!("({})", shape(model, ty))).unwrap_or_default();
            let _ = writeln!(text, "  error {code} {}{detail}", case.name);
        }
    }
    text
}

fn line(text: &mut String, model: &Model, operation: &Operation, error: u64) {
    let parameters: Vec<_> = operation.parameters.iter().map(|p| format!("{}: {}", p.name, value(model, &p.value))).collect();
    let results: Vec<_> = operation.results.iter().map(|result| value(model, result)).collect();
    let _ = write!(text, "  {} {}({})", operation.number, operation.name, parameters.join(", "));
    if !results.is_empty() {
        let _ = write!(text, " -> {}", results.join(", "));
    }
    for (set, mark) in [(operation.pending, "pending"), (operation.oneway, "oneway"), (operation.idempotent, "idempotent")] {
        if set {
            let _ = write!(text, " @{mark}");
        }
    }
    if let Some((bit, name)) = &operation.right {
        let _ = write!(text, " @right {name}={bit}");
    }
    let _ = writeln!(text, " [{} {}]", size::request(model, operation), size::reply(model, operation, error));
}

fn value(model: &Model, value: &Value) -> String {
    match value {
        Value::Data(ty) => shape(model, ty),
        Value::Capability { kind, moved } => format!("{}<{}>", if *moved { "own" } else { "borrow" }, kind.item),
    }
}

/// A type with all names resolved.
fn shape(model: &Model, ty: &Type) -> String {
    match ty {
        Type::Scalar(scalar) => scalar.rust().into(),
        Type::Text(max) => format!("text<{max}>"),
        Type::Bytes(max) => format!("bytes<{max}>"),
        Type::List(item, max) => format!("list<{}, {max}>", shape(model, item)),
        Type::Array(item, length) => format!("[{}; {length}]", shape(model, item)),
        Type::Option(item) => format!("option<{}>", shape(model, item)),
        Type::Tuple(items) => format!("({})", items.iter().map(|item| shape(model, item)).collect::<Vec<_>>().join(", ")),
        Type::Named(name) => match &model.definition(name).body {
            Body::Alias(ty) => shape(model, ty),
            Body::Record(fields) => {
                let fields: Vec<_> = fields.iter().map(|f| format!("{}: {}", f.name, shape(model, &f.ty))).collect();
                format!("{{{}}}", fields.join(", "))
            }
            Body::Variant { cases, .. } => {
                let cases: Vec<_> = cases
                    .iter()
                    .map(|c| match &c.ty {
                        Some(ty) => format!("{}({})", c.name, shape(model, ty)),
                        None => c.name.clone(),
                    })
                    .collect();
                format!("<{}>", cases.join(" | "))
            }
            Body::Flags(flags) => format!("flags<{}>", flags.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(" | ")),
            Body::Resource => name.item.clone(),
        },
    }
}
