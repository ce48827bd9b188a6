//! Small trees, each with one property of interest, and the exact error where there is one.

mod support;

use aios_platform::{ConsoleKind, Platform, Range, find_compatible};
use support::{Tree, cells, memory, pairs, small, text};

/// Applies `change` to the small machine and reads it.
fn with(change: impl FnOnce(&mut Tree)) -> Result<(), String> {
    let mut tree = small();
    change(&mut tree);
    Platform::read(&tree.write(&[])).map(drop).map_err(|error| error.to_string())
}

fn error(change: impl FnOnce(&mut Tree)) -> String {
    with(change).expect_err("refused").strip_prefix("device tree: ").expect("names the device tree").to_owned()
}

#[test]
fn the_small_machine_is_good() {
    assert_eq!(with(|_| ()), Ok(()));
}

#[test]
fn interrupt_controllers() {
    let v2 = |tree: &mut Tree| tree.at("intc@8000000").set("compatible", text("arm,cortex-a15-gic"));
    assert_eq!(error(v2), "intc@8000000 is a GICv2, expected a GICv3 (`arm,gic-v3`)");
    let none = |tree: &mut Tree| tree.at("intc@8000000").remove("compatible");
    assert_eq!(error(none), "no node compatible with `arm,gic-v3`, expected the interrupt controller");
    let two_cells = |tree: &mut Tree| tree.at("intc@8000000").set("#interrupt-cells", cells(&[2]));
    assert_eq!(error(two_cells), "intc@8000000: bad `#interrupt-cells`, expected 3 or 4");
    let one_region = |tree: &mut Tree| tree.at("intc@8000000").set("reg", pairs(&[(0x800_0000, 0x1_0000)]));
    assert_eq!(error(one_region), "intc@8000000: bad `reg`, expected the distributor and its redistributor regions");
    let regions = |tree: &mut Tree| {
        let gic = tree.at("intc@8000000");
        gic.set("reg", pairs(&[(0x800_0000, 0x1_0000), (0x80a_0000, 0x20_0000), (0x40_0000_0000, 0x100_0000)]));
        gic.set("#redistributor-regions", cells(&[2]));
        gic.set("redistributor-stride", cells(&[0, 0x4_0000]));
    };
    let mut tree = small();
    regions(&mut tree);
    let blob = tree.write(&[]);
    let gic = Platform::read(&blob).expect("two regions").gic;
    assert_eq!(gic.redistributors.len(), 2);
    assert!(gic.redistributors.iter().all(|region| region.stride == 0x4_0000));
    assert_eq!(gic.redistributors[1].range, Range::new(0x40_0000_0000, 0x100_0000).expect("a range"));
}

#[test]
fn cores() {
    let twice = |tree: &mut Tree| {
        let core = tree.at("cpus/cpu@0").clone();
        tree.at("cpus").children.push(core);
    };
    assert_eq!(error(twice), "cpu@0: bad `reg`, expected one affinity that no other core has");
    let none = |tree: &mut Tree| tree.at("cpus/cpu@0").set("status", text("disabled"));
    assert_eq!(error(none), "no node /cpus/cpu@…, expected at least one usable core");
    let wide = |tree: &mut Tree| {
        tree.at("cpus").set("#address-cells", cells(&[2]));
        tree.at("cpus/cpu@0").set("reg", cells(&[0x1, 0x8101_0203]));
    };
    assert_eq!(error(wide), "cpu@0: bad `reg`, expected one affinity that no other core has", "bit 31 is no affinity");
    let mut tree = small();
    tree.at("cpus").set("#address-cells", cells(&[2]));
    tree.at("cpus/cpu@0").set("reg", cells(&[0x1, 0x01_0203]));
    for (name, status) in [("cpu@1", "okay"), ("cpu@2", "fail"), ("cpu@3", "ok")] {
        let affinity = cells(&[0, name.as_bytes()[4].into()]);
        tree.at("cpus").children.push(Tree::new(name).with("device_type", text("cpu")).with("reg", affinity).with("status", text(status)));
    }
    let blob = tree.write(&[]);
    assert_eq!(Platform::read(&blob).expect("three cores").cores, [0x1_0001_0203, u64::from(b'1'), u64::from(b'3')]);
    let many = |tree: &mut Tree| {
        let core = |n| Tree::new(&format!("cpu@{n:x}")).with("device_type", text("cpu")).with("reg", cells(&[n]));
        tree.at("cpus").children.extend((1..=64).map(core));
    };
    assert_eq!(error(many), "more than 64 cores");
}

#[test]
fn memory_nodes() {
    let mut tree = small();
    tree.children.push(memory(&[(0x1_0000_0000, 0x1_0000_0fff)]));
    tree.children.push(memory(&[(0x2_0000_0000, 0x2_0000_0fff)]).with("status", text("disabled")));
    tree.at("memory").name = "memory@40000000".to_owned();
    let blob = tree.write(&[]);
    let platform = Platform::read(&blob).expect("a tree");
    let banks = [(0x4000_0000, 0x1000_0000), (0x1_0000_0000, 0x1000)];
    assert_eq!(platform.memory, banks.map(|(start, size)| Range::new(start, size).expect("a bank")));
    let pair = "memory: bad `reg`, expected pairs of address and size, each of at most 64 bits";
    assert_eq!(error(|tree| tree.at("memory").set("reg", vec![0; 15])), pair);
    let wraps = |tree: &mut Tree| tree.at("memory").set("reg", pairs(&[(0x1000, u64::MAX)]));
    assert_eq!(error(wraps), "memory: bad `reg`, expected a region that ends within the address space");
    let many = |tree: &mut Tree| {
        let banks: Vec<_> = (0..33).map(|bank| (bank << 32, 0x1000)).collect();
        tree.at("memory").set("reg", pairs(&banks));
    };
    assert_eq!(error(many), "more than 32 memory banks");
    let three_cells = |tree: &mut Tree| {
        tree.set("#address-cells", cells(&[3]));
        tree.at("memory").set("reg", cells(&[1, 0, 0x4000_0000, 0, 0x1000]));
    };
    assert_eq!(error(three_cells), pair, "96 bits do not fit");
}

#[test]
fn chosen() {
    let set = |property: &'static str, value: Vec<u8>| error(|tree| tree.at("chosen").set(property, value));
    assert_eq!(set("linux,initrd-start", cells(&[1])), "chosen has no `linux,initrd-end`, expected the end of the ramdisk");
    assert_eq!(set("linux,initrd-end", cells(&[1])), "chosen has no `linux,initrd-start`, expected the start of the ramdisk");
    let backwards = error(|tree| {
        tree.at("chosen").set("linux,initrd-start", cells(&[0, 2]));
        tree.at("chosen").set("linux,initrd-end", cells(&[1]));
    });
    assert_eq!(backwards, "chosen: bad `linux,initrd-end`, expected an address behind linux,initrd-start");
    assert_eq!(set("bootargs", text(&"x".repeat(2049))), "chosen: bad `bootargs`, expected at most 2048 bytes");
    assert_eq!(set("bootargs", b"no end".to_vec()), "chosen: bad `bootargs`, expected one string");
    assert_eq!(set("bootargs", vec![0xff, 0]), "chosen: bad `bootargs`, expected one string");
    let console = "chosen: bad `stdout-path`, expected the path or alias of a node";
    assert_eq!(set("stdout-path", text("/nothing@1")), console);
    assert_eq!(set("stdout-path", text("serial2:1500000n8")), console);
    assert_eq!(with(|tree| tree.at("chosen").remove("stdout-path")), Ok(()), "a machine may have no console");
}

#[test]
fn consoles() {
    let unknown = error(|tree| tree.at("pl011@9000000").set("compatible", text("vendor,uart")));
    let expected = "expected a PL011 or a 16550 (`arm,pl011`, `snps,dw-apb-uart`, `ns16550a`)";
    assert_eq!(unknown, format!("pl011@9000000 is a console of an unknown kind, {expected}"));
    let short = error(|tree| tree.at("pl011@9000000").set("reg", pairs(&[(0x900_0000, 0x10)])));
    assert_eq!(short, "pl011@9000000: bad `reg`, expected a region that holds all registers of the UART");
    let width = error(|tree| {
        tree.at("pl011@9000000").set("compatible", text("ns16550a"));
        tree.at("pl011@9000000").set("reg-io-width", cells(&[2]));
    });
    assert_eq!(width, "pl011@9000000: bad `reg-io-width`, expected 1, or 4 with a register shift of at least 2");
    // On a bus behind a bus, each with its own cells; named by an alias; unit address left out of the path.
    let mut tree = small();
    let uart = Tree::new("serial@100").with("compatible", text("ns16550a")).with("reg", cells(&[0x100, 0x10]));
    let inner = Tree::new("bus@2000").with("#address-cells", cells(&[1])).with("ranges", cells(&[0, 0, 0x2000, 0x1000]));
    let outer = Tree::new("soc").with("#size-cells", cells(&[2])).with("ranges", pairs(&[(0, 0x7_0000_0000), (0x1_0000, 0)]));
    let outer = outer.child(inner.with("#size-cells", cells(&[1])).child(uart));
    tree.children
        .push(Tree { properties: [("#address-cells".to_owned(), cells(&[2]))].into_iter().chain(outer.properties).collect(), ..outer });
    tree.at("soc").set("ranges", cells(&[0, 0, 7, 0, 0, 0x1_0000]));
    tree.children.push(Tree::new("aliases").with("tty", text("/soc/bus/serial")));
    tree.at("chosen").set("stdout-path", text("tty:115200"));
    let blob = tree.write(&[]);
    let console = aios_platform::console(&blob).expect("a tree").expect("a console");
    assert_eq!(console.kind, ConsoleKind::Dw8250 { reg_shift: 0, reg_io_width: 1 });
    assert_eq!(console.registers, Range::new(0x7_0000_2100, 0x10).expect("a range"));
    assert_eq!((console.interrupt, console.options, console.node.to_string().as_str()), (None, "115200", "/soc/bus@2000/serial@100"));
    // Outside of the inner bus's window.
    tree.at("soc/bus@2000/serial@100").set("reg", cells(&[0xff8, 0x10]));
    let blob = tree.write(&[]);
    let error = aios_platform::console(&blob).expect_err("out of the window").to_string();
    assert_eq!(error, "device tree: serial@100: bad `reg`, expected addresses within the `ranges` of the bus above");
}

#[test]
fn interrupts_extended() {
    let mut tree = small();
    tree.children.push(Tree::new("gpio").with("#interrupt-cells", cells(&[2])).with("phandle", cells(&[9])));
    let wires = cells(&[9, 3, 8, 1, 0, 5, 4, 9, 4, 8, 1, 1, 2, 1]);
    tree.children.push(Tree::new("sensor").with("compatible", text("a,sensor")).with("interrupts-extended", wires));
    let blob = tree.write(&[]);
    let devices: Vec<_> = find_compatible(&blob, &["a,sensor"]).expect("a tree").map(Result::unwrap).collect();
    assert_eq!(devices[0].interrupts.iter().map(|irq| irq.intid).collect::<Vec<_>>(), [37, 18]);
    tree.at("sensor").set("interrupts-extended", cells(&[9, 3]));
    let blob = tree.write(&[]);
    let error = find_compatible(&blob, &["a,sensor"]).expect("a tree").next().expect("a device").expect_err("cut").to_string();
    assert_eq!(error, "device tree: sensor: bad `interrupts-extended`, expected controllers' phandles, each with a specifier");
}

#[test]
fn interrupts_of_another_controller_are_left_out() {
    let mut tree = small();
    tree.children.push(Tree::new("gpio").with("#interrupt-cells", cells(&[2])).with("phandle", cells(&[9])));
    let pin = Tree::new("button").with("compatible", text("a,button")).with("interrupts", cells(&[3, 8]));
    tree.children.push(pin.clone().with("interrupt-parent", cells(&[9])));
    // A node within the controller belongs to it without saying so.
    tree.at("gpio").children.push(pin);
    let blob = tree.write(&[]);
    let devices: Vec<_> = find_compatible(&blob, &["a,button"]).expect("a tree").map(Result::unwrap).collect();
    assert!(devices.len() == 2 && devices.iter().all(|device| device.interrupts.is_empty()));
}

#[test]
fn nested_too_deep() {
    let deep = (0..16).fold(Tree::new("leaf"), |inner, _| Tree::new("node").child(inner));
    let message = error(|tree| tree.children.push(deep));
    assert!(message.ends_with("is nested deeper than 16 levels"), "{message}");
}
