//! What is asked of each operation, and what others need for the same.
//!
//! Anchors are instructions in the same emulator, counted the same way: seL4's of the kernel, with 11 of the user's loop added for a call and its reply,
//! on a Cortex-A57 without mitigations; Linux 6.1's with user code, on a Cortex-A76 with its defaults.

use std::collections::BTreeMap;

/// An operation of `aios_bench::ROWS`.
pub struct Operation {
    /// Its name, there and in the report.
    pub name: &'static str,
    /// At most so many instructions.
    pub goal: u64,
    sel4: Option<u64>,
    linux: Option<u64>,
}

impl Operation {
    /// What others need, by their names.
    pub fn anchors(&self) -> BTreeMap<&'static str, u64> {
        [("sel4", self.sel4), ("linux", self.linux)].into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

const fn operation(name: &'static str, goal: u64, sel4: Option<u64>, linux: Option<u64>) -> Operation {
    Operation { name, goal, sel4, linux }
}

/// All operations, in the order of the report.
pub const OPERATIONS: [Operation; 16] = [
    operation("null_syscall", 60, Some(91), Some(568)),
    operation("call_reply_0", 300, Some(427), Some(14_900)),
    operation("call_reply_64", 340, Some(1_380), Some(21_100)),
    operation("call_reply_64_fp", 440, Some(1_480), None),
    operation("call_typed_64", 900, None, None),
    operation("call_512", 700, Some(1_400), Some(21_500)),
    operation("call_4k", 1_900, None, Some(23_800)),
    operation("call_64k", 13_000, None, Some(68_100)),
    operation("notify_switch", 260, Some(496), Some(6_590)),
    operation("irq_to_driver", 250, Some(330), None),
    operation("fault_resume", 800, Some(1_570), Some(3_333)),
    operation("page_map", 250, Some(535), None),
    operation("spawn_native", 9_000, Some(13_343), Some(130_000)),
    operation("mailbox_64", 500, None, None),
    operation("cross_core_call_64", 1_200, None, None),
    operation("yield_switch", 200, Some(272), Some(2_550)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_does_each_operation() {
        for operation in &OPERATIONS {
            assert!(aios_bench::by_name(operation.name).is_some(), "{}", operation.name);
        }
        assert_eq!(OPERATIONS.len(), aios_bench::ROWS.len());
        assert_eq!(OPERATIONS[0].anchors(), BTreeMap::from([("sel4", 91), ("linux", 568)]));
    }
}
