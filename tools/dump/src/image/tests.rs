use std::path::PathBuf;

use super::*;

/// A file in the test's own folder, gone at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("aios-dump-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn open(name: &str, bytes: &[u8]) -> Result<Image, Error> {
    Image::open(&Scratch::new(name, bytes).0)
}

/// An ELF file of this type and machine with these segments: type, physical address, bytes.
fn elf(kind: u16, machine: u16, segments: &[(u32, u64, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    bytes.resize(16, 0);
    bytes.extend(kind.to_le_bytes());
    bytes.extend(machine.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    for word in [0u64, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(0u32.to_le_bytes());
    for half in [64u16, 56, segments.len() as u16, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    let mut at = 64 + 56 * segments.len() as u64;
    for (kind, physical, data) in segments {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        let length = data.len() as u64;
        for word in [at, 0, *physical, length, length, 1] {
            bytes.extend(word.to_le_bytes());
        }
        at += length;
    }
    segments.iter().for_each(|(_, _, data)| bytes.extend(*data));
    bytes
}

#[test]
fn a_raw_image_gets_its_address_later() {
    let mut bytes = vec![0; 2 * PAGE as usize];
    bytes[PAGE as usize] = 7;
    let mut image = open("raw", &bytes).unwrap();
    let mut byte = [0];
    assert!(!image.knows_addresses());
    image.read(QEMU_VIRT_RAM + PAGE, &mut byte).unwrap();
    assert_eq!(byte, [7]);
    image.set_base(0x8000_0000);
    image.read(0x8000_0000 + PAGE, &mut byte).unwrap();
    assert_eq!(byte, [7]);
    for (address, length) in [(0x7fff_ffff, 1), (0x8000_0000 + 2 * PAGE, 1), (0x8000_0000 + PAGE, PAGE as usize + 1), (u64::MAX, 8)] {
        assert!(matches!(image.read(address, &mut vec![0; length]), Err(Error::OutsideImage(_))), "{address:#x}");
    }
}

#[test]
fn a_core_file_has_addresses() {
    let (low, high) = ([1; PAGE as usize], [2; PAGE as usize]);
    let file = elf(4, 183, &[(4, 0, b"note"), (1, 0x4000_0000, &low), (1, 0x8_0000_0000, &high), (1, 0x9_0000_0000, &[])]);
    let mut image = open("core", &file).unwrap();
    assert!(image.knows_addresses() && image.parts().len() == 2);
    image.set_base(0);
    let mut bytes = [0; 4];
    image.read(0x4000_0000, &mut bytes).unwrap();
    assert_eq!(bytes, [1; 4]);
    image.read(0x8_0000_0000 + PAGE - 4, &mut bytes).unwrap();
    assert_eq!(bytes, [2; 4]);
    assert!(matches!(image.read(0x4000_0000 + PAGE - 2, &mut bytes), Err(Error::OutsideImage(_))));
}

#[test]
fn what_is_no_image_is_named() {
    let page = [0; PAGE as usize];
    for (name, bytes, expected) in [
        ("short", vec![0; 100], "less than a page"),
        ("odd", vec![1; PAGE as usize + 1], "no whole number of pages"),
        ("program", elf(2, 183, &[(1, 0, &page)]), "no memory dump"),
        ("foreign", elf(4, 62, &[(1, 0, &page)]), "another kind of processor"),
        ("empty", elf(4, 183, &[(4, 0, &page)]), "without memory"),
    ] {
        let error = open(name, &bytes).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(expected), "{name}: {error}");
    }
    let mut cut = elf(4, 183, &[(1, 0x4000_0000, &page), (1, 0x5000_0000, &page)]);
    cut.truncate(cut.len() - 8);
    let image = open("cut", &cut).unwrap();
    assert!(matches!(image.read(0x5000_0000, &mut [0; PAGE as usize]), Err(Error::File(_))));
}
