//! Marks on the serial console for programs that drive it. Each is an operating-system-command escape sequence that terminals ignore:
//! `ESC ] 7770 ; word [; argument] BEL`.

/// What every mark begins with.
pub const PREFIX: &str = "\x1b]7770;";
/// What every mark ends with.
pub const SUFFIX: &str = "\x07";
/// A stage of the boot is reached; the argument names it.
pub const BOOT: &str = "boot";
/// The first stage: the machine was reset.
pub const STAGE0: &str = "stage0";
/// The stage at which the shell starts. A shell that is restarted says it again.
pub const SHELL: &str = "shell";
/// The last stage of the boot: every server is ready. The first prompt may come before it.
pub const READY: &str = "ready";
/// The shell waits for a line.
pub const PROMPT: &str = "prompt";
/// Output of a command begins.
pub const BEGIN: &str = "begin";
/// A command ended; the argument is its status, 0 for success.
pub const STATUS: &str = "status";
/// The kernel panicked.
pub const PANIC: &str = "panic";
/// The machine is about to power off.
pub const HALT: &str = "halt";
