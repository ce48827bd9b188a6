//! Interfaces that can't be packets are refused, each for its own reason.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use aios_proto_gen::{Error, generate};

/// A folder of its own for each case.
struct Folder(PathBuf);

impl Folder {
    fn new(wit: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("aios-proto-gen-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("case.wit"), wit).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn refused(wit: &str) -> Error {
    match generate(&Folder::new(wit).0) {
        Ok(_) => panic!("taken:\n{wit}"),
        Err(error) => error,
    }
}

/// An interface with these items.
fn interface(items: &str) -> String {
    format!("package t:t@1.0.0;\n/// An interface.\n/// @interface 9\ninterface i {{\n{items}\n}}\n")
}

/// An interface with one function of this signature.
fn function(notes: &str, signature: &str) -> String {
    interface(&format!(
        "/// A resource.\nresource r;\n/// Text.\n/// @max 9\ntype t = string;\n/// Big.\n/// @max 65535\ntype big = list<u8>;\n\
         /// A function.\n{notes}\nf: {signature};"
    ))
}

#[test]
fn each_mistake_has_its_message() {
    let cases: &[(String, &str, &str)] = &[
        ("package".into(), "", "expected"),
        (function("", "func()"), "t:t/i.f", "needs @op"),
        (function("/// @op x", "func()"), "t:t/i.f", "bad annotation `@op x`"),
        (function("/// @op 1 2", "func()"), "t:t/i.f", "bad annotation `@op 1 2`"),
        (function("/// @op 1\n/// @op 2", "func()"), "t:t/i.f", "bad annotation `@op 2`"),
        (function("/// @op 1\n/// @idempotant", "func()"), "t:t/i.f", "@idempotant has no meaning here"),
        (function("/// @op 1\n/// @pending 3", "func()"), "t:t/i.f", "bad annotation `@pending 3`"),
        (function("/// @op 1\n/// @oneway", "func() -> u8"), "t:t/i.f", "one-way"),
        (function("/// @op 1\n/// @right write", "func()"), "t:t/i.f", "no flag `write`"),
        (function("/// @op 1", "func(a: string)"), "t:t/i.f(a)", "named type with @max"),
        (function("/// @op 1", "func(a: list<u8>)"), "t:t/i.f(a)", "named type with @max"),
        (function("/// @op 1", "func(a: list<u8, 33>)"), "t:t/i.f(a)", "33 elements"),
        (function("/// @op 1", "func(a: big, b: big)"), "t:t/i.f", "longest packet"),
        (function("/// @op 1", "func(a: option<own<r>>)"), "t:t/i.f(a)", "a capability can only be"),
        (function("/// @op 1", "func(a: own<r>, b: borrow<r>)"), "t:t/i.f", "own and borrow mixed"),
        (function("/// @op 1", "func(a: r, b: r, c: r, d: r, e: r)"), "t:t/i.f", "5 capabilities"),
        (function("/// @op 1", "func() -> result<u8, u8>"), "t:t/i.f", "has to be the type `error`"),
        (function("/// @op 1", "func() -> result<u8>"), "t:t/i.f", "has to be the type `error`"),
        (function("/// @op 1", "func(a: stream<u8>)"), "t:t/i.f(a)", "a stream can't be part"),
        (interface("/// Text.\ntype t = string;"), "t:t/i.t", "named type with @max"),
        (interface("/// Text.\n/// @max 0\ntype t = string;"), "t:t/i.t", "named type with @max"),
        (interface("/// @max 4\ntype t = string;"), "t:t/i.t", "no documentation"),
        (interface("/// A record.\nrecord r { a: u8 }"), "t:t/i.r.a", "no documentation"),
        (interface("/// E.\n/// @codes 255\nenum error {\n/// A.\na }"), "t:t/i.error", "bad annotation `@codes 255`"),
        (interface("/// E.\n/// @codes 300\nenum error {\n/// A.\na }"), "t:t/i.error", "bad annotation `@codes 300`"),
        (interface("/// E.\n/// @codes 1024\nenum code {\n/// A.\na }"), "t:t/i.code", "bad annotation `@codes 1024`"),
        (
            interface("/// T.\n/// @max 4\ntype t = string;\n/// E.\n/// @codes 1024\nvariant error {\n/// A.\na(t) }"),
            "t:t/i.error",
            "an error's detail",
        ),
        (interface("/// A.\n/// @op 1\na: func();\n/// B.\n/// @op 1\nb: func();"), "t:t/i.b", "operation 1 is taken"),
        ("package t:t;\n/// I.\n/// @interface 9\ninterface i {\n/// F.\n/// @op 1\nf: func();\n}".into(), "t:t/i", "needs a version"),
        ("package t:t@1.0.0;\n/// I.\ninterface i {\n/// F.\n/// @op 1\nf: func();\n}".into(), "t:t/i", "needs @interface"),
        (
            "package t:t@1.0.0;\n/// I.\n/// @interface 9\ninterface i {\n/// F.\n/// @op 1\nf: func();\n}\n\
             /// J.\n/// @interface 9\ninterface j {\n/// F.\n/// @op 1\nf: func();\n}"
                .into(),
            "t:t/j",
            "interface 9 is taken",
        ),
    ];
    for (wit, at, message) in cases {
        let error = refused(wit);
        assert!(error.at.contains(at) && error.to_string().contains(message), "expected {at}: {message}, got {error}\n{wit}");
    }
}

#[test]
fn what_is_left_is_taken() {
    let wit = function("/// @op 1\n/// @idempotent", "func(a: t, b: own<r>) -> tuple<own<r>, t>");
    let made = generate(&Folder::new(&wit).0).unwrap();
    assert!(made.lock.contains("  1 f(a: text<9>, b: own<r>) -> own<r>, text<9> @idempotent [18 18]\n"), "{}", made.lock);
}
