//! Generator: WIT packages to Rust clients, servers and dispatchers.


