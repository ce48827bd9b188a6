//! The wire format can't change unseen: `schema.lock` is what it was when somebody looked at it last. `BLESS=1` writes it anew.

use std::path::Path;

use aios_proto_gen::{generate, load};

fn check(path: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, now).unwrap();
    }
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(before == now, "{} is not what wit/ makes; BLESS=1 writes it anew, git diff shows what changes", path.display());
}

#[test]
fn wire_format_is_the_locked_one() {
    let made = generate(&Path::new(env!("CARGO_MANIFEST_DIR")).join("wit")).unwrap();
    check("schema.lock", &made.lock);
    for interface in crate::INTERFACES {
        assert!(made.lock.contains(&format!("interface {} {:#06x}", interface.name, interface.number)));
        assert!(made.lock.contains(&format!("schema {:016x}", interface.schema)), "{}", interface.name);
    }
}

#[test]
fn every_interface_is_part_of_the_world() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("wit");
    let world = std::fs::read_to_string(root.join("system.wit")).unwrap();
    for module in load(&root).unwrap().modules.iter().filter(|module| module.service.is_some()) {
        assert!(world.contains(&format!("import {}@", module.path)), "{} is not in system.wit", module.path);
    }
}

#[test]
fn names_are_found_by_numbers() {
    for interface in crate::INTERFACES {
        for operation in interface.operations {
            let (found, at) = crate::operation(interface.number, operation.number).unwrap();
            assert_eq!((found.name, at.name), (interface.name, operation.name));
        }
        assert!(crate::operation(interface.number, 0).is_none());
    }
    assert!(crate::operation(0, 1).is_none());
    assert_eq!(crate::operation(17, 4).unwrap().1.name, "follow");
}
