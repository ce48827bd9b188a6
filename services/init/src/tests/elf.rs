//! Executables for tests.

use std::vec::Vec;

use aios_elf::AbiNote;

/// A segment.
#[derive(Clone, Copy)]
pub struct Piece {
    /// Where it is loaded.
    pub address: u64,
    /// Bytes in the file.
    pub bytes: usize,
    /// Bytes in memory.
    pub memory: u64,
    /// Permissions.
    pub flags: u32,
}

/// Read and execute.
pub const CODE: u32 = 5;
/// Read.
pub const CONSTANTS: u32 = 4;
/// Read and write.
pub const DATA: u32 = 6;

/// Code of two pages, constants, and data of 34 pages, most of them zero.
pub const SEGMENTS: &[Piece] = &[
    Piece { address: 0x40_0000, bytes: 0x1008, memory: 0x1008, flags: CODE },
    Piece { address: 0x40_2000, bytes: 0x100, memory: 0x100, flags: CONSTANTS },
    Piece { address: 0x40_3010, bytes: 0x20, memory: 0x2_1ff0, flags: DATA },
];

/// A file with these segments, each filled with its number from 1, beginning at page 1; and a note with the ABI version at its end.
pub fn program(pieces: &[Piece]) -> Vec<u8> {
    let note = AbiNote::new(aios_abi::ABI_VERSION).to_bytes();
    let mut body = Vec::new();
    let mut headers = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        body.resize(body.len().next_multiple_of(4096), 0);
        let offset = 4096 + body.len() as u64 + piece.address % 4096;
        body.resize((offset - 4096) as usize, 0);
        body.resize(body.len() + piece.bytes, number as u8 + 1);
        headers.push((1u32, piece.flags, offset, piece.address, piece.bytes as u64, piece.memory));
    }
    headers.push((4, CONSTANTS, 4096 + body.len() as u64, 0, note.len() as u64, note.len() as u64));
    body.extend(note);

    let mut file = Vec::from(*b"\x7fELF\x02\x01\x01");
    file.resize(16, 0);
    for half in [2u16, 183] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes());
    for word in [pieces[0].address, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, headers.len() as u16, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for (kind, flags, offset, address, bytes, memory) in headers {
        file.extend(kind.to_le_bytes());
        file.extend(flags.to_le_bytes());
        for word in [offset, address, address, bytes, memory, 4096] {
            file.extend(word.to_le_bytes());
        }
    }
    file.resize(4096, 0);
    file.extend(body);
    file
}
