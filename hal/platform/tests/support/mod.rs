//! A device tree that tests can edit: read from a blob or built from nothing, changed, written as a blob again.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::Path;

use aios_platform::fdt::{Fdt, Node};

/// A node with owned contents.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    pub name: String,
    pub properties: Vec<(String, Vec<u8>)>,
    pub children: Vec<Tree>,
}

/// Big-endian 32-bit cells.
pub fn cells(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// (address, size) pairs of two cells each.
pub fn pairs(ranges: &[(u64, u64)]) -> Vec<u8> {
    ranges.iter().flat_map(|(start, size)| [start.to_be_bytes(), size.to_be_bytes()].concat()).collect()
}

/// A NUL-terminated string.
pub fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

impl Tree {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// A copy of the tree in `blob`.
    pub fn read(blob: &[u8]) -> Self {
        fn copy(node: Node<'_>) -> Tree {
            Tree {
                name: if node.parent().is_none() { String::new() } else { node.name().to_owned() },
                properties: node.properties().map(|property| (property.name.to_owned(), property.value.to_vec())).collect(),
                children: node.children().map(copy).collect(),
            }
        }
        copy(Fdt::new(blob).expect("a good tree").root())
    }

    pub fn with(mut self, property: &str, value: Vec<u8>) -> Self {
        self.set(property, value);
        self
    }

    pub fn child(mut self, child: Tree) -> Self {
        self.children.push(child);
        self
    }

    /// Replaces or adds a property.
    pub fn set(&mut self, property: &str, value: Vec<u8>) {
        self.remove(property);
        self.properties.push((property.to_owned(), value));
    }

    pub fn remove(&mut self, property: &str) {
        self.properties.retain(|(name, _)| name != property);
    }

    /// The node at a path of exact names.
    pub fn at(&mut self, path: &str) -> &mut Tree {
        path.split('/').filter(|name| !name.is_empty()).fold(self, |node, name| {
            let found = node.children.iter_mut().find(|child| child.name == name);
            found.unwrap_or_else(|| panic!("no {name} in {path}"))
        })
    }

    /// The tree as a blob, with a memory reservation block.
    pub fn write(&self, reservations: &[(u64, u64)]) -> Vec<u8> {
        let (mut structure, mut strings) = (Vec::new(), Vec::new());
        self.put(&mut structure, &mut strings);
        structure.extend(cells(&[9]));
        let reservations = [pairs(reservations), pairs(&[(0, 0)])].concat();
        let structure_at = 40 + reservations.len();
        let strings_at = structure_at + structure.len();
        let total = strings_at + strings.len();
        let header = [0xd00d_feed, total as u32, structure_at as u32, strings_at as u32, 40, 17, 16, 0];
        let sizes = [strings.len() as u32, structure.len() as u32];
        [cells(&header), cells(&sizes), reservations, structure, strings].concat()
    }

    fn put(&self, structure: &mut Vec<u8>, strings: &mut Vec<u8>) {
        let pad = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().next_multiple_of(4), 0);
        structure.extend(cells(&[1]));
        structure.extend(text(&self.name));
        pad(structure);
        for (name, value) in &self.properties {
            structure.extend(cells(&[3, value.len() as u32, strings.len() as u32]));
            strings.extend(text(name));
            structure.extend(value);
            pad(structure);
        }
        self.children.iter().for_each(|child| child.put(structure, strings));
        structure.extend(cells(&[2]));
    }
}

/// The bytes of a tree in `tests/data`.
pub fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of all trees in `tests/data`.
pub fn all_data() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let names = std::fs::read_dir(folder).expect("tests/data").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().expect("ASCII")).filter(|name| name.ends_with(".dtb")).collect();
    names.sort();
    names
}

/// Memory of a ROCK 5C with 16 GB and vendor firmware, as its boot log shows it: (first, last) address of each bank.
pub const ROCK_5C_16G: &[(u64, u64)] = &[
    (0x20_0000, 0x83f_ffff),
    (0x940_0000, 0xefff_ffff),
    (0x1_0000_0000, 0x3_fbff_ffff),
    (0x3_fc50_0000, 0x3_ffef_ffff),
    (0x4_f000_0000, 0x4_ffff_ffff),
];

/// Memory as U-Boot's fix-up writes it: one `memory` node with several pairs.
pub fn memory(banks: &[(u64, u64)]) -> Tree {
    let banks: Vec<_> = banks.iter().map(|&(first, last)| (first, last - first + 1)).collect();
    Tree::new("memory").with("device_type", text("memory")).with("reg", pairs(&banks))
}

/// A small machine: one core, GICv3, timer, PL011, 256 MiB at 1 GiB.
pub fn small() -> Tree {
    let gic = Tree::new("intc@8000000")
        .with("compatible", text("arm,gic-v3"))
        .with("#interrupt-cells", cells(&[3]))
        .with("interrupt-controller", vec![])
        .with("phandle", cells(&[1]))
        .with("reg", pairs(&[(0x800_0000, 0x1_0000), (0x80a_0000, 0x20_0000)]));
    let core = Tree::new("cpu@0").with("device_type", text("cpu")).with("reg", cells(&[0]));
    let uart = Tree::new("pl011@9000000")
        .with("compatible", text("arm,pl011\0arm,primecell"))
        .with("interrupts", cells(&[0, 1, 4]))
        .with("reg", pairs(&[(0x900_0000, 0x1000)]));
    let timer = [1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4];
    Tree::new("")
        .with("#address-cells", cells(&[2]))
        .with("#size-cells", cells(&[2]))
        .with("interrupt-parent", cells(&[1]))
        .child(memory(&[(0x4000_0000, 0x4fff_ffff)]))
        .child(Tree::new("cpus").with("#address-cells", cells(&[1])).with("#size-cells", cells(&[0])).child(core))
        .child(Tree::new("timer").with("compatible", text("arm,armv8-timer")).with("interrupts", cells(&timer)))
        .child(Tree::new("psci").with("compatible", text("arm,psci-1.0")).with("method", text("hvc")))
        .child(Tree::new("chosen").with("stdout-path", text("/pl011@9000000")))
        .child(gic)
        .child(uart)
}
