//! The disk that U-Boot boots from: GPT with one FAT32 partition, laid out as on a board's SD card. The same files give the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types;

const SECTOR: u64 = 512;
/// Boards keep their firmware in front of the first partition, so it begins at 16 MiB.
const PARTITION_FIRST: u64 = 32768;
const PARTITION_SECTORS: u64 = (64 << 20) / SECTOR;
const DISK_SECTORS: u64 = (96 << 20) / SECTOR;
/// GPT attribute "legacy BIOS bootable": U-Boot looks for its scripts in partitions that have it.
const BOOTABLE: u64 = 1 << 2;
// Fixed, so that a disk depends on its files alone.
const DISK_ID: &str = "a105d15c-0000-4000-8000-000000000000";
const PARTITION_ID: &str = "a105d15c-0000-4000-8000-000000000001";
const VOLUME_ID: u32 = 0xa105_d15c;

/// A file on the disk: its path there and its content.
pub type Entry<'a> = (&'a str, &'a [u8]);

/// Writes the disk image; blocks of zeros stay holes in the file.
pub fn write(path: &Path, entries: &[Entry<'_>]) -> Result<()> {
    let volume = volume(entries)?;
    let mut disk = Cursor::new(vec![0; (DISK_SECTORS * SECTOR) as usize]);
    partition_table(&mut disk)?;
    let mut disk = disk.into_inner();
    let at = (PARTITION_FIRST * SECTOR) as usize;
    disk[at..at + volume.len()].copy_from_slice(&volume);
    write_sparse(path, &disk).with_context(|| format!("can't write {}", path.display()))
}

fn partition_table(disk: &mut Cursor<Vec<u8>>) -> Result<()> {
    ProtectiveMBR::with_lb_size((DISK_SECTORS - 1) as u32).overwrite_lba0(disk).context("no protective MBR")?;
    let config = gpt::GptConfig::new().writable(true).logical_block_size(gpt::disk::LogicalBlockSize::Lb512).change_partition_count(true);
    let mut table = config.create_from_device(disk, Some(DISK_ID.parse()?))?;
    let partition = Partition {
        part_type_guid: partition_types::EFI,
        part_guid: PARTITION_ID.parse()?,
        first_lba: PARTITION_FIRST,
        last_lba: PARTITION_FIRST + PARTITION_SECTORS - 1,
        flags: BOOTABLE,
        name: "boot".to_owned(),
    };
    table.update_partitions(BTreeMap::from([(1, partition)]))?;
    table.write()?;
    Ok(())
}

fn volume(entries: &[Entry<'_>]) -> Result<Vec<u8>> {
    let mut volume = Cursor::new(vec![0; (PARTITION_SECTORS * SECTOR) as usize]);
    let options = FormatVolumeOptions::new().fat_type(FatType::Fat32).volume_id(VOLUME_ID).volume_label(*b"BOOT       ");
    fatfs::format_volume(&mut volume, options).context("can't make a FAT volume")?;
    let files = FileSystem::new(&mut volume, FsOptions::new())?;
    for (path, content) in entries {
        let mut folder = files.root_dir();
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            folder = folder.create_dir(part)?;
        }
        let mut file = folder.create_file(name)?;
        file.write_all(content).with_context(|| format!("no room for {path} on the boot partition"))?;
    }
    files.unmount()?;
    Ok(volume.into_inner())
}

fn write_sparse(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    const BLOCK: usize = 64 << 10;
    let mut file = File::create(path)?;
    file.set_len(bytes.len() as u64)?;
    for (index, block) in bytes.chunks(BLOCK).enumerate() {
        if block.iter().any(|&byte| byte != 0) {
            file.seek(SeekFrom::Start((index * BLOCK) as u64))?;
            file.write_all(block)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_was_put_on_the_disk_can_be_read_back() {
        let folder = std::env::temp_dir().join(format!("aios-disk-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, again) = (folder.join("a.img"), folder.join("b.img"));
        let image: Vec<u8> = (0..1_000_003u32).map(|i| (i * 7 % 251) as u8).collect();
        let entries: [Entry<'_>; 2] = [("Image", &image), ("extlinux/extlinux.conf", b"default aios\n")];
        write(&path, &entries).unwrap();
        write(&again, &entries).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes, std::fs::read(&again).unwrap(), "not reproducible");

        let table = gpt::GptConfig::new().open(&path).unwrap();
        let partition = &table.partitions()[&1];
        assert_eq!((partition.first_lba, partition.flags, partition.name.as_str()), (32768, 4, "boot"));
        assert!(table.backup_header().is_ok());

        let at = (partition.first_lba * SECTOR) as usize;
        let mut volume = Cursor::new(bytes[at..at + (PARTITION_SECTORS * SECTOR) as usize].to_vec());
        let files = FileSystem::new(&mut volume, FsOptions::new()).unwrap();
        assert_eq!(files.fat_type(), FatType::Fat32);
        for (name, content) in entries {
            let mut read = Vec::new();
            files.root_dir().open_file(name).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, content, "{name}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
