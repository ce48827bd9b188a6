//! Links stage0 as a position-independent flat image.

fn main() {
    println!("cargo:rerun-if-changed=stage0.ld");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    // The code of this target finds its data relative to the program counter anyway; only pointers in data need relocation, which
    // head.S applies. They may lie in read-only sections (`notext`): there is no memory protection yet as it runs.
    for argument in [
        &format!("-T{folder}/stage0.ld"),
        "-pie",
        "--no-dynamic-linker",
        "-znotext",
        "-znorelro",
        "-zmax-page-size=4096",
        "--orphan-handling=error",
    ] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
