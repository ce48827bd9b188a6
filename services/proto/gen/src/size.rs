//! The most bytes that values take in postcard's encoding (<https://postcard.jamesmunns.com/wire-format>), and packets on the wire.

use crate::model::{Body, Model, Operation, Scalar, Type};

/// Bytes of the packet header.
pub const HEADER: u64 = 8;
/// Longest packet that the kernel carries, bytes.
pub const PACKET: u64 = 65_536;
/// Bytes of an error code in an error reply.
const CODE: u64 = 2;
/// Most bytes of a message in registers.
const REGISTERS: u64 = 64;

/// Bytes of a number in the variable-length encoding: seven bits a byte.
pub const fn varint(value: u64) -> u64 {
    let bits = 64 - value.leading_zeros() as u64;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

/// The most bytes that a value of this type takes.
pub fn of(model: &Model, ty: &Type) -> u64 {
    match ty {
        Type::Scalar(scalar) => match scalar {
            Scalar::Bool | Scalar::U8 | Scalar::I8 => 1,
            Scalar::U16 | Scalar::I16 => 3,
            Scalar::U32 | Scalar::I32 => 5,
            Scalar::U64 | Scalar::I64 => 10,
            Scalar::F32 => 4,
            Scalar::F64 => 8,
            // As text: its length, then at most four bytes.
            Scalar::Char => 5,
        },
        Type::Text(max) | Type::Bytes(max) => varint(u64::from(*max)) + u64::from(*max),
        Type::List(item, max) => varint(u64::from(*max)) + u64::from(*max) * of(model, item),
        Type::Array(item, length) => u64::from(*length) * of(model, item),
        Type::Option(item) => 1 + of(model, item),
        Type::Tuple(items) => items.iter().map(|item| of(model, item)).sum(),
        Type::Named(name) => of_body(model, &model.definition(name).body),
    }
}

/// The most bytes that a value of a defined type takes.
pub fn of_body(model: &Model, body: &Body) -> u64 {
    match body {
        Body::Alias(ty) => of(model, ty),
        Body::Record(fields) => fields.iter().map(|field| of(model, &field.ty)).sum(),
        Body::Variant { cases, .. } => {
            let most = cases.iter().filter_map(|case| case.ty.as_ref()).map(|ty| of(model, ty)).max();
            varint(cases.len().saturating_sub(1) as u64) + most.unwrap_or(0)
        }
        // Eight flags or fewer are one byte as they are; more are a number.
        Body::Flags(flags) if flags.len() <= 8 => 1,
        Body::Flags(flags) => varint((1 << flags.len()) - 1),
        Body::Resource => 0,
    }
}

/// The longest request, header included.
pub fn request(model: &Model, operation: &Operation) -> u64 {
    let payload: u64 = operation.request().map(|ty| of(model, ty)).sum();
    on_the_wire(HEADER + payload, operation.capabilities_in())
}

/// The longest reply, errors and the header included; 0 if none comes. `error` is the size of the interface's largest error detail.
pub fn reply(model: &Model, operation: &Operation, error: u64) -> u64 {
    if operation.oneway {
        return 0;
    }
    let payload: u64 = operation.reply().map(|ty| of(model, ty)).sum();
    on_the_wire(HEADER + payload, operation.capabilities_out()).max(HEADER + CODE + error)
}

/// The largest detail of an interface's errors.
pub fn error_detail(model: &Model, body: &Body) -> u64 {
    match body {
        Body::Variant { cases, .. } => cases.iter().filter_map(|case| case.ty.as_ref()).map(|ty| of(model, ty)).max().unwrap_or(0),
        _ => 0,
    }
}

/// Handles of capabilities take the place of payload registers; a packet that would have fitted without them is padded into memory.
const fn on_the_wire(length: u64, capabilities: usize) -> u64 {
    let room = match capabilities {
        0 => REGISTERS,
        1 | 2 => REGISTERS - 8,
        _ => REGISTERS - 16,
    };
    if length > room && length <= REGISTERS { REGISTERS + 1 } else { length }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_seven_bits_a_byte() {
        for (value, bytes) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::from(u32::MAX), 5), (u64::MAX, 10)] {
            assert_eq!(varint(value), bytes, "{value}");
        }
    }

    #[test]
    fn packets_with_capabilities_leave_the_gap_between_registers_and_memory() {
        assert_eq!(on_the_wire(64, 0), 64);
        assert_eq!(on_the_wire(56, 1), 56);
        assert_eq!(on_the_wire(57, 1), 65);
        assert_eq!(on_the_wire(49, 3), 65);
        assert_eq!(on_the_wire(66, 4), 66);
    }
}
