//! Links the kernel at its address.

use std::env;

fn main() -> Result<(), env::VarError> {
    println!("cargo::rerun-if-changed=kernel.ld");
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS")? != "none" {
        return Ok(());
    }
    let folder = env::var("CARGO_MANIFEST_DIR")?;
    for argument in [&format!("-T{folder}/kernel.ld"), "-zmax-page-size=4096", "-znognustack", "-znorelro", "--orphan-handling=error"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    Ok(())
}
