//! What fuzzing found worth keeping, with every test run.

use std::fs;
use std::path::{Path, PathBuf};

use aios_fuzzed::CHECKS;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Replays the corpus of one check; says which file it was before it panics.
fn replay(name: &str) {
    let (_, check) = CHECKS.into_iter().find(|(known, _)| *known == name).expect("a check");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut inputs = files(&root.join("../fuzz/corpus").join(name));
    assert!(!inputs.is_empty(), "no corpus for {name}");
    if name == "device_tree" {
        inputs.extend(files(&root.join("../../hal/platform/tests/data")));
    }
    for input in inputs {
        println!("{}", input.display());
        check(&fs::read(&input).expect("a file"));
    }
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test] fn $name() { replay(stringify!($name)) })*

        #[test]
        fn every_check_is_replayed_and_fuzzed() {
            assert_eq!([$(stringify!($name)),*], CHECKS.map(|(name, _)| name));
            let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
            let names: Vec<String> = CHECKS.iter().map(|(name, _)| format!("{name}.rs")).collect();
            let found: Vec<String> = files(&targets).iter().map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect();
            assert_eq!(found, names);
        }
    };
}

replays!(boot_image bundle device_tree elf message syscalls token);
