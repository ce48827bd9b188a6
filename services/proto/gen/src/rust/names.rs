//! WIT's names as Rust's.

use heck::{ToShoutySnakeCase, ToSnakeCase, ToUpperCamelCase};

/// Words that Rust keeps for itself and that are possible names in WIT.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else", "enum", "extern",
    "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv",
    "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// A module, function, field or variable.
pub fn snake(name: &str) -> String {
    let name = name.to_snake_case();
    match name.as_str() {
        "self" | "super" | "crate" => format!("{name}_"),
        word if KEYWORDS.contains(&word) => format!("r#{name}"),
        _ => name,
    }
}

/// A parameter of a function, beside those that every function has.
pub fn parameter(name: &str) -> String {
    match snake(name) {
        name if ["caller", "later", "deadline_ns", "server", "request", "out", "payload"].contains(&name.as_str()) => format!("{name}_"),
        name => name,
    }
}

/// A type or case.
pub fn camel(name: &str) -> String {
    match name.to_upper_camel_case() {
        name if name == "Self" => "Self_".into(),
        name => name,
    }
}

/// A constant.
pub fn shouty(name: &str) -> String {
    name.to_shouty_snake_case()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_possible_in_rust() {
        assert_eq!(snake("take-events"), "take_events");
        assert_eq!(snake("type"), "r#type");
        assert_eq!(snake("self"), "self_");
        assert_eq!(parameter("caller"), "caller_");
        assert_eq!(camel("bad-length"), "BadLength");
        assert_eq!(camel("self"), "Self_");
        assert_eq!(shouty("line-errors"), "LINE_ERRORS");
    }
}
