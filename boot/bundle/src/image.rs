//! The boot image: one file that the firmware loads and starts.
//!
//! | part | content |
//! | --- | --- |
//! | stage0 | flat binary, BSS included as zeros, with the 64-byte arm64 Image header at its start |
//! | (zeros) | up to the next page |
//! | payload header | below; stage0 knows its place by a linker symbol at its own end |
//! | kernel | ELF file, at the payload header + its offset |
//! | (zeros) | up to the next page: the file ends here |
//! | scratch | [`SCRATCH_LEN`] bytes of memory behind the file, counted in `image_size`: stage0's stack and first page tables |
//!
//! Payload header, version 1, 128 bytes, little-endian:
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 8 | magic `AIOSPAYL` |
//! | 8 | 4 | version: 1 |
//! | 12 | 4 | zero |
//! | 16 | 8 | offset of the kernel from the start of this header, a multiple of 16 |
//! | 24 | 8 | length of the kernel ELF file |
//! | 32 | 8 | length of the bundle that belongs to this image |
//! | 40 | 32 | SHA-256 of the kernel ELF file |
//! | 72 | 32 | SHA-256 of the bundle |
//! | 104 | 24 | zero |
//!
//! arm64 Image header fields used: `image_size` at 16, `flags` at 24, magic `ARM\x64` at 56 (Linux
//! `Documentation/arch/arm64/booting.rst`, "Call the kernel image").

use core::fmt;

use crate::Digest;
use crate::read::{self, bytes_at, u32_at, u64_at};

/// First bytes of the payload header.
pub const PAYLOAD_MAGIC: [u8; 8] = *b"AIOSPAYL";
/// Version of the payload header.
pub const PAYLOAD_VERSION: u32 = 1;
/// The payload header lies at the first multiple of this behind stage0.
pub const PAYLOAD_ALIGN: usize = 4096;
/// Bytes of the payload header.
pub const PAYLOAD_LEN: usize = 128;
/// Memory behind the file that `image_size` claims for stage0.
pub const SCRATCH_LEN: u64 = 256 << 10;

/// Offset of `image_size` in the arm64 Image header.
pub const IMAGE_SIZE_AT: usize = 16;
/// Magic number of an arm64 Image.
pub const IMAGE_MAGIC: [u8; 4] = *b"ARM\x64";
/// Offset of the magic number.
pub const IMAGE_MAGIC_AT: usize = 56;
/// Bytes of the arm64 Image header.
pub const IMAGE_HEADER_LEN: usize = 64;

/// What is wrong with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// The image ends before its payload does.
    Truncated,
    /// There is no arm64 Image header at the start.
    Header,
    /// There is no payload header behind stage0.
    Magic,
    /// Another version of the payload header (the value found).
    Version(u32),
    /// A reserved field is not zero.
    Reserved,
    /// The kernel lies outside of the image.
    Kernel,
    /// The kernel does not have the digest that the payload header states.
    KernelDigest,
    /// The bundle is shorter than the payload header states.
    BundleLength,
    /// The bundle does not have the digest that the payload header states.
    BundleDigest,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "boot image is cut off",
            Self::Header => "no arm64 Image header",
            Self::Magic => "no payload behind stage0",
            Self::Version(found) => {
                return write!(f, "payload version {found}, expected {PAYLOAD_VERSION}");
            }
            Self::Reserved => "reserved field in the payload header is not zero",
            Self::Kernel => "kernel lies outside of the boot image",
            Self::KernelDigest => "kernel does not match its digest",
            Self::BundleLength => "bundle is shorter than the boot image expects",
            Self::BundleDigest => "bundle does not match the digest in the boot image",
        })
    }
}

impl core::error::Error for ImageError {}

/// A checked payload header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The kernel ELF file.
    pub kernel: &'a [u8],
    /// Length in bytes of the bundle that belongs to the image.
    pub bundle_len: u64,
    /// What the kernel's SHA-256 should be.
    pub kernel_sha256: Digest,
    /// What the bundle's SHA-256 should be.
    pub bundle_sha256: Digest,
}

impl<'a> Payload<'a> {
    /// Reads the payload of which `bytes` are the header and all that follows.
    ///
    /// # Errors
    /// The first [`ImageError`] found. Digests are not computed here.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let header = bytes.get(..PAYLOAD_LEN).ok_or(ImageError::Truncated)?;
        if header[..8] != PAYLOAD_MAGIC {
            return Err(ImageError::Magic);
        }
        let version = u32_at(header, 8).ok_or(ImageError::Truncated)?;
        if version != PAYLOAD_VERSION {
            return Err(ImageError::Version(version));
        }
        if header[12..16].iter().chain(&header[104..]).any(|&byte| byte != 0) {
            return Err(ImageError::Reserved);
        }
        let number = |at| u64_at(header, at).ok_or(ImageError::Truncated);
        let digest = |at| bytes_at(header, at).ok_or(ImageError::Truncated);
        let (offset, len) = (number(16)?, number(24)?);
        if offset < PAYLOAD_LEN as u64 || !offset.is_multiple_of(16) {
            return Err(ImageError::Kernel);
        }
        Ok(Self {
            kernel: read::range(bytes, offset, len).ok_or(ImageError::Kernel)?,
            bundle_len: number(32)?,
            kernel_sha256: digest(40)?,
            bundle_sha256: digest(72)?,
        })
    }

    /// Checks the kernel, hashing with `sha256`.
    ///
    /// # Errors
    /// [`ImageError::KernelDigest`].
    pub fn verify_kernel(&self, sha256: impl Fn(&[u8]) -> Digest) -> Result<(), ImageError> {
        if sha256(self.kernel) == self.kernel_sha256 { Ok(()) } else { Err(ImageError::KernelDigest) }
    }

    /// Checks the bundle, hashing with `sha256`, and returns exactly its bytes: an initrd may be padded by what loads it.
    ///
    /// # Errors
    /// [`ImageError::BundleLength`] or [`ImageError::BundleDigest`].
    pub fn verify_bundle<'b>(&self, initrd: &'b [u8], sha256: impl Fn(&[u8]) -> Digest) -> Result<&'b [u8], ImageError> {
        let bundle = read::range(initrd, 0, self.bundle_len).ok_or(ImageError::BundleLength)?;
        if sha256(bundle) == self.bundle_sha256 { Ok(bundle) } else { Err(ImageError::BundleDigest) }
    }
}

/// Finds the payload header in an image file: its offset, for host tools (stage0 has a symbol).
#[must_use]
pub fn payload_offset(image: &[u8]) -> Option<usize> {
    (0..image.len()).step_by(PAYLOAD_ALIGN).find(|&at| image[at..].starts_with(&PAYLOAD_MAGIC))
}

/// Puts the image together. `stage0` is the flat binary, BSS included.
///
/// # Errors
/// [`ImageError::Header`] when `stage0` doesn't begin with an arm64 Image header.
#[cfg(any(test, feature = "std"))]
pub fn write_image(stage0: &[u8], kernel: &[u8], bundle: &[u8]) -> Result<Vec<u8>, ImageError> {
    use crate::sha256;

    if bytes_at(stage0, IMAGE_MAGIC_AT) != Some(IMAGE_MAGIC) || stage0.len() < IMAGE_HEADER_LEN {
        return Err(ImageError::Header);
    }
    let mut out = stage0.to_vec();
    out.resize(out.len().next_multiple_of(PAYLOAD_ALIGN), 0);
    out.extend(PAYLOAD_MAGIC);
    out.extend(PAYLOAD_VERSION.to_le_bytes());
    out.extend([0; 4]);
    out.extend((PAYLOAD_LEN as u64).to_le_bytes());
    out.extend((kernel.len() as u64).to_le_bytes());
    out.extend((bundle.len() as u64).to_le_bytes());
    out.extend(sha256(kernel));
    out.extend(sha256(bundle));
    out.extend([0; 24]);
    out.extend(kernel);
    out.resize(out.len().next_multiple_of(PAYLOAD_ALIGN), 0);
    let image_size = out.len() as u64 + SCRATCH_LEN;
    out[IMAGE_SIZE_AT..IMAGE_SIZE_AT + 8].copy_from_slice(&image_size.to_le_bytes());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256;

    fn stage0() -> Vec<u8> {
        let mut stage0 = vec![0x11; 5000];
        stage0[IMAGE_MAGIC_AT..IMAGE_MAGIC_AT + 4].copy_from_slice(&IMAGE_MAGIC);
        stage0
    }

    #[test]
    fn round_trip() {
        let image = write_image(&stage0(), b"the kernel", b"the bundle").unwrap();
        assert_eq!(image.len() % PAYLOAD_ALIGN, 0);
        assert_eq!(u64_at(&image, IMAGE_SIZE_AT), Some(image.len() as u64 + SCRATCH_LEN));
        let at = payload_offset(&image).unwrap();
        assert_eq!(at, 8192);
        let payload = Payload::parse(&image[at..]).unwrap();
        assert_eq!(payload.kernel, b"the kernel");
        assert_eq!(payload.verify_kernel(sha256), Ok(()));
        assert_eq!(payload.verify_bundle(b"the bundle and padding", sha256), Ok(&b"the bundle"[..]));
        assert_eq!(payload.verify_bundle(b"the bundl", sha256), Err(ImageError::BundleLength));
        assert_eq!(payload.verify_bundle(b"the Bundle", sha256), Err(ImageError::BundleDigest));
        assert_eq!(write_image(&stage0()[..60], b"", b"").err(), Some(ImageError::Header));
        assert_eq!(write_image(&[0; 100], b"", b"").err(), Some(ImageError::Header));
    }

    /// Every bit of header and kernel counts: changing one is an error, and none panics.
    #[test]
    fn each_changed_bit_is_noticed() {
        let image = write_image(&stage0(), b"the kernel", b"the bundle").unwrap();
        let at = payload_offset(&image).unwrap();
        let good = &image[at..at + PAYLOAD_LEN + 10];
        for bit in 0..good.len() * 8 {
            let mut bytes = good.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let outcome = Payload::parse(&bytes).and_then(|payload| {
                payload.verify_kernel(sha256)?;
                payload.verify_bundle(b"the bundle", sha256).map(<[u8]>::len)
            });
            let error = outcome.expect_err("a changed bit must not pass");
            assert!(!error.to_string().is_empty());
        }
        for len in 0..good.len() {
            assert!(Payload::parse(&good[..len]).is_err());
        }
    }
}
