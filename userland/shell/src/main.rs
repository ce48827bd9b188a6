//! The serial console shell: the loop around `aios-shell-core`, and what each command does on the live system.
//!
//! | module       | what                                                                            |
//! |--------------|---------------------------------------------------------------------------------|
//! | `shell`      | the conversation: input, actions, interruption                                  |
//! | `terminal`   | the console server, found again when it was restarted                           |
//! | `system`     | the kernel's tables, the supervisor, the log, each through a capability           |
//! | `alive`      | names for completion                                                            |
//! | `fail`       | why a command failed, and its status                                            |
//! | `commands`   | the commands                                                                    |
//! | `selftest`   | checks of the running system                                                    |
//!
//! The shell holds nothing but what its entry in the boot manifest lists. A command asks for the capability that it needs when it runs; what
//! it does not get, it names.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

mod alive;
mod commands;
mod fail;
mod selftest;
mod shell;
mod system;
mod terminal;

aios_rt::entry!(run);

fn run(start: [u64; 4]) -> u64 {
    shell::Shell::new(aios_rt::peer::Init::from_start(start)).run()
}
