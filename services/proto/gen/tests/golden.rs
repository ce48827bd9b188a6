//! What the generator makes of the test interface, as text that people can review. `BLESS=1` writes it anew.

use std::path::Path;

use aios_proto_gen::generate;

#[test]
fn output_is_the_golden_one() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let made = generate(&tests.join("wit")).unwrap();
    for (file, now) in [("golden/demo.rs", made.rust), ("golden/demo.lock", made.lock)] {
        let path = tests.join(file);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(before == now, "{} is not what the generator makes; BLESS=1 writes it anew", path.display());
    }
}
