//! The boot manifest: TOML in, checked binary form out.


