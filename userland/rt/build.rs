//! Writes the linker's arguments for programs to a file and tells the build scripts of programs where it is.

use std::path::Path;
use std::{env, error, fs};

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=program.ld");
    let script = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("program.ld");
    let arguments = Path::new(&env::var("OUT_DIR")?).join("link.args");
    // On a development machine programs are linked as that machine links its own.
    let text = match env::var("CARGO_CFG_TARGET_OS")?.as_str() {
        "none" => format!("-T\"{}\" -zmax-page-size=4096 -znognustack --no-rosegment\n", script.display()),
        _ => String::new(),
    };
    fs::write(&arguments, text)?;
    println!("cargo::metadata=link=@{}", arguments.display());
    Ok(())
}
