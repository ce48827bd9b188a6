//! Simulation of the kernel core on the host.


