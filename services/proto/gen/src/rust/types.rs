//! Definitions of types.

use super::Emitter;
use super::names::{camel, shouty, snake};
use crate::model::{Body, Case, Definition, Field, Scalar, Type};

/// The type of details that are codes of the kernel.
const KERNEL_CODE: &str = "kernel-code";

impl Emitter<'_> {
    pub(super) fn definition(&mut self, definition: &Definition) {
        let name = camel(&definition.name);
        let lifetime = if self.model.definition_borrows(definition) { "<'a>" } else { "" };
        match &definition.body {
            Body::Resource => self.item("capability", &definition.docs, &[name]),
            Body::Flags(flags) => self.flags(definition, &name, flags),
            Body::Alias(ty) => {
                self.out.docs(&definition.docs);
                let ty = self.ty(ty, "'a");
                self.out.line(format!("pub type {name}{lifetime} = {ty};"));
            }
            Body::Record(fields) => self.record(definition, &format!("{name}{lifetime}"), fields),
            Body::Variant { cases, codes } => {
                self.variant(definition, &format!("{name}{lifetime}"), cases);
                self.out.blank();
                self.variant_impl(&name, lifetime, cases);
                if let Some(first) = codes {
                    self.out.blank();
                    self.error_impl(&name, cases, *first);
                }
            }
        }
    }

    fn item(&mut self, what: &str, docs: &[String], lines: &[String]) {
        self.out.open(format!("crate::server::{what}! {{"));
        self.out.docs(docs);
        for line in lines {
            self.out.line(line);
        }
        self.out.close("}");
    }

    fn flags(&mut self, definition: &Definition, name: &str, flags: &[Case]) {
        let bits = match flags.len() {
            0..=8 => "u8",
            9..=16 => "u16",
            _ => "u32",
        };
        // Rights are a part of the kernel's word of rights; nothing else is.
        let (bits, shift) = if definition.name == "rights" { ("u32", 16) } else { (bits, 0) };
        self.out.open("crate::value::flags! {");
        self.out.docs(&definition.docs);
        self.out.open(format!("{name}: {bits} {{"));
        for (place, flag) in flags.iter().enumerate() {
            self.out.docs(&flag.docs);
            self.out.line(format!("{} = {:#x},", shouty(&flag.name), 1u64 << (place + shift)));
        }
        self.out.close("}");
        self.out.close("}");
    }

    fn derive(&mut self, parts: &[&Type], ordered: bool) {
        let mut traits = vec!["Clone"];
        if parts.iter().all(|ty| self.is(ty, &|ty| !matches!(ty, Type::List(..)))) {
            traits.push("Copy");
        }
        traits.push("PartialEq");
        if parts.iter().all(|ty| self.is(ty, &|ty| !matches!(ty, Type::Scalar(Scalar::F32 | Scalar::F64)))) {
            traits.push("Eq");
        }
        if ordered {
            traits.extend(["PartialOrd", "Ord", "Hash"]);
        }
        traits.extend(["Debug", "::serde::Serialize", "::serde::Deserialize"]);
        self.out.line(format!("#[derive({})]", traits.join(", ")));
    }

    fn record(&mut self, definition: &Definition, name: &str, fields: &[Field]) {
        self.out.docs(&definition.docs);
        self.derive(&fields.iter().map(|field| &field.ty).collect::<Vec<_>>(), false);
        self.out.open(format!("pub struct {name} {{"));
        for field in fields {
            self.out.docs(&field.docs);
            if self.model.borrows(&field.ty) {
                self.out.line("#[serde(borrow)]");
            }
            let ty = self.ty(&field.ty, "'a");
            self.out.line(format!("pub {}: {ty},", snake(&field.name)));
        }
        self.out.close("}");
    }

    fn variant(&mut self, definition: &Definition, name: &str, cases: &[Case]) {
        self.out.docs(&definition.docs);
        let carried: Vec<_> = cases.iter().filter_map(|case| case.ty.as_ref()).collect();
        self.derive(&carried, carried.is_empty());
        self.out.open(format!("pub enum {name} {{"));
        for case in cases {
            self.out.docs(&case.docs);
            let name = camel(&case.name);
            match &case.ty {
                None => self.out.line(format!("{name},")),
                Some(ty) => {
                    let borrow = if self.model.borrows(ty) { "#[serde(borrow)] " } else { "" };
                    let ty = self.ty(ty, "'a");
                    self.out.line(format!("{name}({borrow}{ty}),"));
                }
            }
        }
        self.out.close("}");
    }

    fn variant_impl(&mut self, name: &str, lifetime: &str, cases: &[Case]) {
        let target = if lifetime.is_empty() { name.into() } else { format!("{name}<'_>") };
        self.out.open(format!("impl {target} {{"));
        if cases.iter().all(|case| case.ty.is_none()) {
            let all: Vec<_> = cases.iter().map(|case| format!("Self::{}", camel(&case.name))).collect();
            self.out.line("/// Every case.");
            self.out.line(format!("pub const ALL: &'static [Self] = &[{}];", all.join(", ")));
            self.out.blank();
        }
        self.out.line("/// The name of the case in WIT.");
        self.out.open("pub const fn name(&self) -> &'static str {");
        self.out.open("match self {");
        for case in cases {
            self.out.line(format!("{} => \"{}\",", pattern(case), case.name));
        }
        self.out.close("}");
        self.out.close("}");
        self.out.blank();
        self.out.line("/// What WIT says of the case, for people.");
        self.out.open("pub const fn sentence(&self) -> &'static str {");
        self.out.open("match self {");
        for case in cases {
            self.out.line(format!("{} => {:?},", pattern(case), sentence(&case.docs)));
        }
        self.out.close("}");
        self.out.close("}");
        self.out.close("}");
    }

    fn error_impl(&mut self, name: &str, cases: &[Case], first: u16) {
        let codes = || (first..=u16::MAX).zip(cases);

        self.out.open(format!("impl crate::ServiceError for {name} {{"));
        self.out.open("fn code(&self) -> u16 {");
        self.out.open("match self {");
        for (code, case) in codes() {
            self.out.line(format!("{} => {code},", pattern(case)));
        }
        self.out.close("}");
        self.out.close("}");
        self.out.blank();
        if cases.iter().any(|case| case.ty.is_some()) {
            self.out.open("fn put_detail(&self, buffer: &mut [u8]) -> Option<usize> {");
            self.out.open("match self {");
            for case in cases.iter().filter(|case| case.ty.is_some()) {
                self.out.line(format!("Self::{}(detail) => crate::value::encode(detail, buffer),", camel(&case.name)));
            }
            if cases.iter().any(|case| case.ty.is_none()) {
                self.out.line("_ => Some(0),");
            }
            self.out.close("}");
            self.out.close("}");
            self.out.blank();
        }
        self.out.open("fn from_wire(code: u16, detail: &[u8]) -> Option<Self> {");
        self.out.open("match (code, detail) {");
        for (code, case) in codes() {
            let name = camel(&case.name);
            match case.ty {
                None => self.out.line(format!("({code}, []) => Some(Self::{name}),")),
                Some(_) => self.out.line(format!("({code}, detail) => crate::value::decode(detail).map(Self::{name}),")),
            }
        }
        self.out.line("_ => None,");
        self.out.close("}");
        self.out.close("}");
        self.out.close("}");
        self.out.blank();
        self.out.open(format!("impl ::core::fmt::Display for {name} {{"));
        self.out.open("fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {");
        if cases.iter().any(|case| case.ty.is_some()) {
            self.out.line("f.write_str(self.sentence())?;");
            self.out.open("match self {");
            for (case, ty) in cases.iter().filter_map(|case| Some((case, case.ty.as_ref()?))) {
                let shown = self.shown(ty);
                self.out.line(format!("Self::{}(detail) => write!(f, {shown}),", camel(&case.name)));
            }
            if cases.iter().any(|case| case.ty.is_none()) {
                self.out.line("_ => Ok(()),");
            }
            self.out.close("}");
        } else {
            self.out.line("f.write_str(self.sentence())");
        }
        self.out.close("}");
        self.out.close("}");
    }

    /// How the detail of an error is shown: an error of the kernel and a case in words, everything else as it is.
    fn shown(&self, ty: &Type) -> String {
        let in_words = match ty {
            Type::Named(name) if name.item == KERNEL_CODE => "crate::sentence::of_kernel(*detail)",
            Type::Named(name) if matches!(self.model.definition(name).body, Body::Variant { .. }) => "detail.sentence()",
            _ => return r#"" ({detail:?})""#.into(),
        };
        format!(r#"": {{}}", {in_words}"#)
    }

    /// Whether something holds of a type and of all that it is made of.
    fn is(&self, ty: &Type, holds: &dyn Fn(&Type) -> bool) -> bool {
        let inside = match ty {
            Type::Scalar(_) | Type::Text(_) | Type::Bytes(_) => true,
            Type::List(item, _) | Type::Array(item, _) | Type::Option(item) => self.is(item, holds),
            Type::Tuple(items) => items.iter().all(|item| self.is(item, holds)),
            Type::Named(name) => match &self.model.definition(name).body {
                Body::Alias(ty) => self.is(ty, holds),
                Body::Record(fields) => fields.iter().all(|field| self.is(&field.ty, holds)),
                Body::Variant { cases, .. } => cases.iter().filter_map(|case| case.ty.as_ref()).all(|ty| self.is(ty, holds)),
                Body::Flags(_) | Body::Resource => true,
            },
        };
        inside && holds(ty)
    }
}

/// A case, whatever it carries.
fn pattern(case: &Case) -> String {
    format!("Self::{}{}", camel(&case.name), if case.ty.is_some() { "(..)" } else { "" })
}

/// The documentation of a case as a part of a longer sentence: in one line, without full stop, beginning small unless it begins with a name.
fn sentence(docs: &[String]) -> String {
    let text = docs.join(" ");
    let text = text.strip_suffix('.').unwrap_or(&text);
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(chars).collect(),
        _ => text.into(),
    }
}
