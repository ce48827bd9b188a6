//! What stage0 and init read: device trees, boot images, bundles, programs.

use aios_bundle::image::{Payload, payload_offset};
use aios_bundle::{Bundle, MAX_NAME, PAGE_SIZE, is_name, sha256};
use aios_elf::{Elf, flatten, minimal};
use aios_platform::fdt::Fdt;
use aios_platform::{Error, Platform, console, find_compatible, usable_ram};

/// Programs that are larger are not laid out: it would only take long.
const LARGEST_PROGRAM: u64 = 1 << 20;

/// No tree makes its reader panic; errors are one line; both ways to walk see the same nodes; memory that is offered is in order and apart.
pub fn device_tree(bytes: &[u8]) {
    let show = |error: Error<'_>| assert!(!error.to_string().contains('\n'), "one line");
    if let Err(error) = console(bytes) {
        show(error);
    }
    match find_compatible(bytes, &["snps,dw-apb-uart", "arm,pl011", "virtio,mmio", "simple-bus"]) {
        Ok(devices) => devices.for_each(|device| device.map_or_else(show, |device| assert!(!device.to_string().is_empty()))),
        Err(error) => show(error),
    }
    if let Ok(tree) = Fdt::new(bytes) {
        let by_children: usize = 1 + tree.nodes().map(|node| node.children().count()).sum::<usize>();
        assert_eq!(tree.nodes().count(), by_children);
    }
    match Platform::read(bytes) {
        Ok(platform) => match usable_ram(&platform, &[]) {
            Ok(ram) => {
                assert!(ram.iter().all(|range| range.start() < range.end()));
                assert!(ram.windows(2).all(|pair| pair[0].end() <= pair[1].start()), "memory twice: {ram:?}");
            }
            Err(error) => show(error),
        },
        Err(error) => show(error),
    }
}

/// What is accepted as a boot image holds a kernel within it, and only the kernel and bundle of its digests.
pub fn boot_image(bytes: &[u8]) {
    let Some(payload) = payload_offset(bytes).and_then(|at| Payload::parse(&bytes[at..]).ok()) else { return };
    let within = bytes.as_ptr_range();
    let kernel = payload.kernel.as_ptr_range();
    assert!(within.start <= kernel.start && kernel.end <= within.end);
    if payload.verify_kernel(sha256).is_ok() {
        assert_eq!(sha256(payload.kernel), payload.kernel_sha256);
    }
    if let Ok(bundle) = payload.verify_bundle(bytes, sha256) {
        assert_eq!((bundle.len() as u64, sha256(bundle)), (payload.bundle_len, payload.bundle_sha256));
    }
}

/// The entries of a bundle that is accepted lie in it one after the other, under names that are names.
pub fn bundle(bytes: &[u8]) {
    let Ok(bundle) = Bundle::parse(bytes) else { return };
    let mut end = 0;
    for entry in bundle.entries() {
        assert!(is_name(entry.name.as_bytes()) && entry.name.len() <= MAX_NAME);
        assert!(entry.offset >= end && entry.offset.is_multiple_of(PAGE_SIZE));
        end = (entry.offset + entry.data.len() as u64).next_multiple_of(PAGE_SIZE);
        assert!(end <= bundle.bytes().len() as u64);
        assert_eq!(bundle.find(entry.name).map(|found| found.offset), Some(entry.offset), "two entries of one name");
        let _ = entry.verify();
    }
}

/// A program that is accepted has segments in order, none writable and executable, an entry in code; and its smallest form lays out the same.
pub fn elf(bytes: &[u8]) {
    let Ok(elf) = Elf::parse(bytes) else { return };
    let mut end = 0;
    for segment in elf.segments() {
        assert!(segment.page_start() >= end);
        end = segment.page_end();
        assert!(segment.data.len() as u64 <= segment.memsz);
        assert!(!(segment.flags.write() && segment.flags.execute()));
    }
    assert!(elf.segments().any(|segment| segment.contains(elf.entry()) && segment.flags.execute()));
    let _ = (elf.notes().count(), elf.abi_version(), elf.kind());
    let (first, last) = elf.span();
    if last - first < LARGEST_PROGRAM {
        let small = minimal(bytes).expect("what is accepted can be rewritten");
        assert_eq!(flatten(&small), flatten(bytes));
    }
}
