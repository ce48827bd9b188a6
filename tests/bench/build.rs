//! Hands the linker the layout of programs, and makes client and server of the typed call.

use std::path::Path;
use std::{env, error, fs};

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo::rerun-if-changed=wit");
    println!("cargo::rustc-link-arg-bins={}", env::var("DEP_AIOS_RT_LINK")?);
    let made = aios_proto_gen::generate(Path::new("wit")).map_err(|error| error.to_string())?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("payload.rs"), made.rust)?;
    Ok(())
}
