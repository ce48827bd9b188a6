//! Makes the Rust of every interface from `wit/`, and of the generator's test interface for the tests of the run-time part.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use aios_proto_gen::generate;

fn main() -> ExitCode {
    let Some(out) = env::var_os("OUT_DIR") else {
        eprintln!("OUT_DIR is not set: this is a build script");
        return ExitCode::FAILURE;
    };
    for (folder, file) in [("wit", "interfaces.rs"), ("gen/tests/wit", "demo.rs")] {
        println!("cargo::rerun-if-changed={folder}");
        let path = Path::new(&out).join(file);
        let done = generate(Path::new(folder)).map_err(|error| error.to_string());
        if let Err(error) = done.and_then(|made| fs::write(&path, made.rust).map_err(|error| format!("{}: {error}", path.display()))) {
            println!("cargo::error={folder}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
