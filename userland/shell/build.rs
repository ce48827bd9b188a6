//! Hands the linker the layout of programs.

fn main() -> Result<(), std::env::VarError> {
    println!("cargo::rustc-link-arg-bins={}", std::env::var("DEP_AIOS_RT_LINK")?);
    Ok(())
}
