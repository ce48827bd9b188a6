//! Descriptors against literal values, put together by hand from Arm ARM D8.3.

use aios_abi::rights::Rights;

use super::super::table::{Access, Descriptor, Leaf, MemoryType, Owner, entry, span};

const PA: u64 = 0x0000_1234_5678_9000;

const fn page(access: Access, kind: MemoryType, owner: Owner) -> u64 {
    Descriptor::page(Leaf { pa: PA, access, kind, owner }).0
}

// Bits: 55 ours, 54 UXN, 53 PXN, 11 nG, 10 AF, 9:8 SH, 7:6 AP[2:1], 4:2 AttrIndx, 1:0 page.
const _: () = {
    assert!(page(Access::Read, MemoryType::Normal, Owner::Shared) == 0x0060_1234_5678_9fc7);
    assert!(page(Access::ReadWrite, MemoryType::Normal, Owner::Shared) == 0x0060_1234_5678_9f47);
    assert!(page(Access::ReadExecute, MemoryType::Normal, Owner::Shared) == 0x0020_1234_5678_9fc7);
    assert!(page(Access::ReadWrite, MemoryType::Normal, Owner::Private) == 0x00e0_1234_5678_9f47);
    assert!(page(Access::Read, MemoryType::Device, Owner::Shared) == 0x0060_1234_5678_9cc3);
    assert!(page(Access::ReadWrite, MemoryType::Device, Owner::Shared) == 0x0060_1234_5678_9c43);
    assert!(Descriptor::table(PA).0 == 0x0000_1234_5678_9003);
    assert!(span(1) == 1 << 30 && span(2) == 1 << 21 && span(3) == 1 << 12);
};

#[test]
fn what_goes_in_comes_out() {
    for access in [Access::Read, Access::ReadWrite, Access::ReadExecute] {
        for kind in [MemoryType::Device, MemoryType::Normal] {
            for owner in [Owner::Shared, Owner::Private] {
                let leaf = Leaf { pa: PA, access, kind, owner };
                let descriptor = Descriptor::page(leaf);
                assert_eq!(descriptor.leaf(), Some(leaf));
                assert_eq!(descriptor.is_readable(), kind == MemoryType::Normal);
                assert_eq!(descriptor.is_writable(), kind == MemoryType::Normal && access == Access::ReadWrite);
                assert_eq!(leaf.is_expressible(), (kind, access) != (MemoryType::Device, Access::ReadExecute));
            }
        }
    }
    assert_eq!(Descriptor::ABSENT.leaf(), None);
    // What is not 0b11 is absent, whatever the other bits are.
    for low in [0b00, 0b01, 0b10] {
        let descriptor = Descriptor(
            Descriptor::page(Leaf { pa: PA, access: Access::ReadWrite, kind: MemoryType::Normal, owner: Owner::Private }).0 & !3 | low,
        );
        assert!(!descriptor.is_present() && !descriptor.is_readable() && !descriptor.is_writable());
    }
}

#[test]
fn entries_are_found_by_nine_bits_a_level() {
    let va = 3 << 30 | 5 << 21 | 7 << 12 | 0xabc;
    assert_eq!([1, 2, 3].map(|level| entry(PA, va, level) - PA), [24, 40, 56]);
    assert_eq!([1, 2, 3].map(|level| entry(PA, (1 << 39) - 1, level) - PA), [4088; 3]);
}

#[test]
fn access_comes_from_rights_and_never_writes_and_executes() {
    let (read, write, execute) = (Rights::READ, Rights::WRITE, Rights::EXECUTE);
    for (rights, access) in [
        (read, Some(Access::Read)),
        (write, Some(Access::ReadWrite)),
        (read.or(write), Some(Access::ReadWrite)),
        (execute, Some(Access::ReadExecute)),
        (read.or(execute), Some(Access::ReadExecute)),
        (write.or(execute), None),
        (read.or(write).or(execute), None),
        (Rights::NONE, None),
        (Rights::SEND, None),
        (read.or(Rights(1 << 31)), None),
        (Rights::ALL, None),
    ] {
        assert_eq!(Access::from_rights(rights), access, "{rights:?}");
        assert!(access.is_none_or(|access| access.rights().contains(rights) && access.rights().contains(read)));
    }
}
