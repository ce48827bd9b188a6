//! Register files, and registers that know their direction.

use core::marker::PhantomData;

/// A device's registers, at byte offsets from their start. The width of an access is part of the device's interface.
///
/// Writing takes `&self`: a register file is shared with the device, which changes it at any time.
pub trait Registers {
    /// Reads 8 bits.
    fn read8(&self, offset: usize) -> u8;
    /// Writes 8 bits.
    fn write8(&self, offset: usize, value: u8);
    /// Reads 32 bits; `offset` is a multiple of 4.
    fn read32(&self, offset: usize) -> u32;
    /// Writes 32 bits; `offset` is a multiple of 4.
    fn write32(&self, offset: usize, value: u32);

    /// Reads 64 bits; `offset` is a multiple of 8. Two reads of 32 bits, low half first, where the device has no wider ones.
    fn read64(&self, offset: usize) -> u64 {
        let low = self.read32(offset);
        u64::from(self.read32(offset + 4)) << 32 | u64::from(low)
    }

    /// Writes 64 bits; `offset` is a multiple of 8. Two writes of 32 bits, low half first, where the device has no wider ones.
    fn write64(&self, offset: usize, value: u64) {
        self.write32(offset, value as u32);
        self.write32(offset + 4, (value >> 32) as u32);
    }
}

impl<R: Registers + ?Sized> Registers for &R {
    fn read8(&self, offset: usize) -> u8 {
        (**self).read8(offset)
    }
    fn write8(&self, offset: usize, value: u8) {
        (**self).write8(offset, value);
    }
    fn read32(&self, offset: usize) -> u32 {
        (**self).read32(offset)
    }
    fn write32(&self, offset: usize, value: u32) {
        (**self).write32(offset, value);
    }
    fn read64(&self, offset: usize) -> u64 {
        (**self).read64(offset)
    }
    fn write64(&self, offset: usize, value: u64) {
        (**self).write64(offset, value);
    }
}

/// A number as wide as a register: `u8`, `u32` or `u64`.
pub trait Width: Copy + sealed::Sealed {
    /// Reads a register of this width.
    fn read<R: Registers + ?Sized>(registers: &R, offset: usize) -> Self;
    /// Writes a register of this width.
    fn write<R: Registers + ?Sized>(self, registers: &R, offset: usize);
}

macro_rules! width {
    ($($number:ty, $read:ident, $write:ident;)*) => {$(
        impl sealed::Sealed for $number {}
        impl Width for $number {
            #[inline]
            fn read<R: Registers + ?Sized>(registers: &R, offset: usize) -> Self {
                registers.$read(offset)
            }
            #[inline]
            fn write<R: Registers + ?Sized>(self, registers: &R, offset: usize) {
                registers.$write(offset, self);
            }
        }
    )*};
}

width! {
    u8, read8, write8;
    u32, read32, write32;
    u64, read64, write64;
}

mod sealed {
    pub trait Sealed {}
}

/// What may be done with a register.
pub mod access {
    /// May be read without changing anything.
    pub struct Read;
    /// May be written.
    pub struct Write;
    /// May be read and written, and reading changes nothing.
    pub struct ReadWrite;
    /// May be read, and reading changes the device.
    pub struct Take;
    /// May be read, which changes the device, and written.
    pub struct TakeWrite;

    /// Reading changes nothing.
    pub trait Readable {}
    /// Reading changes the device.
    pub trait Takeable {}
    /// Can be written.
    pub trait Writable {}

    impl Readable for Read {}
    impl Readable for ReadWrite {}
    impl Takeable for Take {}
    impl Takeable for TakeWrite {}
    impl Writable for Write {}
    impl Writable for ReadWrite {}
    impl Writable for TakeWrite {}
}

/// A register of width `T` at a fixed offset, with an [`access`] direction.
pub struct Register<T, A> {
    offset: usize,
    kind: PhantomData<fn() -> (T, A)>,
}

/// A register that can only be read.
pub type ReadOnly<T> = Register<T, access::Read>;
/// A register that can only be written.
pub type WriteOnly<T> = Register<T, access::Write>;
/// A register that holds what is written to it.
pub type ReadWrite<T> = Register<T, access::ReadWrite>;
/// A register whose reading takes something from the device: a byte, an event.
pub type Taking<T> = Register<T, access::Take>;
/// A register whose reading takes something from the device, and that can be written.
pub type TakingWrite<T> = Register<T, access::TakeWrite>;

impl<T, A> Clone for Register<T, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, A> Copy for Register<T, A> {}

impl<T: Width, A> Register<T, A> {
    /// The register at this many bytes from the start of the register file.
    #[must_use]
    pub const fn at(offset: usize) -> Self {
        Self { offset, kind: PhantomData }
    }

    /// Bytes from the start of the register file.
    #[must_use]
    pub const fn offset(self) -> usize {
        self.offset
    }

    /// Number `index` of consecutive registers that begin with this one.
    #[must_use]
    pub const fn nth(self, index: usize) -> Self {
        Self::at(self.offset + index * size_of::<T>())
    }
}

impl<T: Width, A: access::Readable> Register<T, A> {
    /// Reads the register.
    #[inline]
    pub fn read<R: Registers + ?Sized>(self, registers: &R) -> T {
        T::read(registers, self.offset)
    }
}

impl<T: Width, A: access::Takeable> Register<T, A> {
    /// Reads the register, which changes the device.
    #[inline]
    pub fn take<R: Registers + ?Sized>(self, registers: &R) -> T {
        T::read(registers, self.offset)
    }
}

impl<T: Width, A: access::Writable> Register<T, A> {
    /// Writes the register.
    #[inline]
    pub fn write<R: Registers + ?Sized>(self, registers: &R, value: T) {
        value.write(registers, self.offset);
    }
}

impl<T: Width> ReadWrite<T> {
    /// Reads the register and writes what `change` makes of it. Two accesses: whoever shares the device must exclude others.
    #[inline]
    pub fn modify<R: Registers + ?Sized>(self, registers: &R, change: impl FnOnce(T) -> T) {
        self.write(registers, change(self.read(registers)));
    }
}
