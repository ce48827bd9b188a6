//! U-Boot scripts: plain text with U-Boot's "legacy image" header in front (what `mkimage -T script` makes).
//!
//! Format: U-Boot, `include/image.h` (`struct legacy_img_hdr`, all big-endian) and `doc/usage/cmd/source.rst`.

const MAGIC: u32 = 0x2705_1956;
const HEADER_LEN: usize = 64;
const NAME_LEN: usize = 32;
const OS_LINUX: u8 = 5;
const ARCH_ARM64: u8 = 22;
const TYPE_SCRIPT: u8 = 6;
const UNCOMPRESSED: u8 = 0;

/// The script with its header. The time stamp is 0, so that the same script gives the same bytes.
pub fn compile(name: &str, script: &str) -> Vec<u8> {
    // The data is a list of lengths ended by 0, then the scripts; there is one.
    let mut data = (script.len() as u32).to_be_bytes().to_vec();
    data.extend(0u32.to_be_bytes());
    data.extend(script.as_bytes());

    let mut header = Vec::with_capacity(HEADER_LEN + data.len());
    let (time, load, entry) = (0u32, 0u32, 0u32);
    for word in [MAGIC, 0, time, data.len() as u32, load, entry, crc32fast::hash(&data)] {
        header.extend(word.to_be_bytes());
    }
    header.extend([OS_LINUX, ARCH_ARM64, TYPE_SCRIPT, UNCOMPRESSED]);
    let mut field = [0; NAME_LEN];
    for (to, from) in field.iter_mut().zip(name.bytes().take(NAME_LEN - 1)) {
        *to = from;
    }
    header.extend(field);
    // The header's checksum is taken with its own field at zero.
    let checksum = crc32fast::hash(&header);
    header[4..8].copy_from_slice(&checksum.to_be_bytes());
    header.extend(data);
    header
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn a_script_is_what_mkimage_makes() {
        // SOURCE_DATE_EPOCH=0 mkimage -A arm64 -O linux -T script -C none -n t -d <(printf 'echo hi\n') out
        let expected = "27051956 862f5d16 00000000 00000010 00000000 00000000 \
             d9340162 05160600 74000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000008 00000000 6563686f 2068690a";
        let hex: String =
            compile("t", "echo hi\n").chunks(4).map(|word| word.iter().map(|b| format!("{b:02x}")).collect::<String>() + " ").collect();
        assert_eq!(hex.trim_end(), expected.split_whitespace().collect::<Vec<_>>().join(" "));
    }

    #[test]
    fn a_long_name_is_cut_and_ended() {
        let bytes = compile(&"n".repeat(80), "");
        assert_eq!((&bytes[32..63], bytes[63]), (&[b'n'; 31][..], 0));
    }
}
