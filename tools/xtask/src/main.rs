//! The one door to building, running and testing AIOS.

fn main() {}
