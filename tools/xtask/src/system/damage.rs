//! Damaged boot files, device trees and command lines: the first stage says in one line why it stops, and stops. It never hangs and never starts a
//! kernel that it does not trust.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::CodeCase;
use super::lab::{self, Lab};
use crate::machine::Stop;
use crate::profile::Profile;
use crate::qemu::{Launch, Source};

/// The cases of this module.
pub const CASES: [CodeCase; 12] = [
    ("damage/changed-bundle", "direct", changed_bundle),
    ("damage/changed-bundle-el2", "direct-el2", changed_bundle),
    ("damage/changed-bundle-uboot", "uboot", changed_bundle),
    ("damage/cut-bundle", "direct", cut_bundle),
    ("damage/no-bundle", "direct", no_bundle),
    ("damage/changed-kernel", "direct", changed_kernel),
    ("damage/changed-manifest", "direct", changed_manifest),
    ("damage/command-line", "direct", command_line),
    ("damage/tree-content", "direct", tree_content),
    ("damage/tree-header", "direct", tree_header),
    ("damage/tree-name", "direct", tree_name),
    ("damage/tree-structure", "direct", tree_structure),
];

/// How long the first stage may take to notice.
const LIMIT: Duration = Duration::from_secs(30);

/// Where the tests put image and device tree that QEMU's own loader knows nothing of.
const IMAGE_AT: u64 = 0x5000_0000;
const TREE_AT: u64 = 0x5800_0000;

fn changed_bundle(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let (image, mut bundle) = files(lab)?;
    let at = lab.random.usize(..bundle.len());
    bundle[at] ^= 1 << lab.random.u32(..8);
    let launch = lab.launch_files(profile, &image, &bundle)?;
    refused(lab, &launch).with_context(|| format!("one bit of byte {at} of the bundle changed"))
}

fn cut_bundle(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let (image, mut bundle) = files(lab)?;
    bundle.truncate(bundle.len() / 2);
    let launch = lab.launch_files(profile, &image, &bundle)?;
    refused(lab, &launch)
}

fn no_bundle(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let source = Source::Files { image: lab.artifacts.image.clone(), bundle: None };
    refused(lab, &Launch::new(profile.clone(), source))
}

fn changed_kernel(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let (mut image, bundle) = files(lab)?;
    let payload = aios_bundle::image::payload_offset(&image).context("the image has no payload")?;
    let kernel = payload + aios_bundle::image::PAYLOAD_LEN;
    let len = aios_bundle::image::Payload::parse(&image[payload..])?.kernel.len();
    let at = kernel + lab.random.usize(..len);
    image[at] ^= 1 << lab.random.u32(..8);
    let launch = lab.launch_files(profile, &image, &bundle)?;
    refused(lab, &launch).with_context(|| format!("one bit of byte {at} of the image changed"))
}

/// A bundle that its digest fits, and whose manifest makes no sense: init says so, and the machine stops.
fn changed_manifest(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let (_, mut bundle) = files(lab)?;
    let name = b"qemu-virt";
    let at = bundle.windows(name.len()).position(|window| window == name).context("the bundle holds no manifest")?;
    // Lengths and counts are around the name.
    bundle[at - 8..at].fill(0xff);
    let image = crate::artifacts::image(&lab.artifacts.programs, &bundle)?;
    let launch = lab.launch_files(profile, &image, &bundle)?;
    let mut machine = lab.start(&launch)?;
    machine.wait_off(LIMIT).context("a machine without a manifest does not stop")?;
    let text = plain(&machine.log());
    match text.lines().filter(|line| line.starts_with("init: ") || line.starts_with("stage0: ")).count() {
        1 => Ok(()),
        _ => bail!("instead of one line that says why, the machine said:\n{text}"),
    }
}

/// A command line that is too long, or no text.
fn command_line(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let long = "x".repeat(3000);
    let mut launch = lab.launch(profile)?;
    launch.extra = vec!["-append".into(), long];
    refused(lab, &launch).context("a command line of 3000 bytes")
}

fn files(lab: &Lab<'_>) -> Result<(Vec<u8>, Vec<u8>)> {
    Ok((std::fs::read(&lab.artifacts.image)?, std::fs::read(&lab.artifacts.bundle)?))
}

/// The machine's own device tree, as the image would get it.
fn tree(lab: &mut Lab<'_>, profile: &Profile) -> Result<Vec<u8>> {
    let path = lab.path("machine.dtb")?;
    let mut profile = profile.clone();
    profile.machine_options.push(format!("dumpdtb={}", path.display()));
    let launch = lab.launch(&profile)?;
    let mut machine = lab.start(&launch)?;
    machine.wait_off(LIMIT).context("QEMU does not write its device tree")?;
    std::fs::read(&path).context("QEMU wrote no device tree")
}

/// A machine that boots with this device tree: a program of three instructions in the place of the image loads the address and jumps.
fn launch_tree(lab: &Lab<'_>, profile: &Profile, tree: &[u8]) -> Result<Launch> {
    // MOVZ Xd, #imm, LSL #16; BR Xn.
    let load = |register: u32, address: u64| 0xd2a0_0000 | ((address >> 16) as u32) << 5 | register;
    let words = [load(0, TREE_AT), load(9, IMAGE_AT), 0xd61f_0120];
    let (jump, tree_file) = (lab.path("jump.bin")?, lab.path("changed.dtb")?);
    std::fs::write(&jump, words.map(u32::to_le_bytes).concat())?;
    std::fs::write(&tree_file, tree)?;
    let mut launch = Launch::new(profile.clone(), Source::Files { image: jump, bundle: Some(lab.artifacts.bundle.clone()) });
    let loader = |file: &Path, at| ["-device".to_owned(), format!("loader,force-raw=on,addr={at:#x},file={}", file.display())];
    launch.extra = [loader(&lab.artifacts.image, IMAGE_AT), loader(&tree_file, TREE_AT)].concat();
    Ok(launch)
}

/// Text in a tree, replaced by another of the same length wherever it is.
fn replaced(tree: &[u8], from: &[u8], to: &[u8]) -> Result<Vec<u8>> {
    assert_eq!(from.len(), to.len(), "the tree keeps its shape");
    let mut changed = tree.to_vec();
    let places: Vec<usize> = (0..tree.len() - from.len()).filter(|&at| tree[at..].starts_with(from)).collect();
    if places.is_empty() {
        bail!("the tree does not hold {}", String::from_utf8_lossy(from));
    }
    for at in places {
        changed[at..at + to.len()].copy_from_slice(to);
    }
    Ok(changed)
}

/// A tree from which something is missing. With nothing missing, the same way of booting leads to the shell.
fn tree_content(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    const CHANGES: [(&[u8], &[u8]); 6] = [
        (b"arm,gic-v3", b"arm,xxx-v3"),
        (b"arm,armv8-timer", b"arm,armv8-xxxxx"),
        (b"memory\0", b"xxxxxx\0"),
        (b"linux,initrd-end", b"linux,initrd-xxx"),
        (b"linux,initrd-start", b"linux,initrd-xxxxx"),
        (b"interrupt-parent", b"interrupt-xxxxxx"),
    ];
    let tree = tree(lab, profile)?;
    let launch = launch_tree(lab, profile, &tree)?;
    let mut machine = lab.boot(&launch).context("with the machine's own tree")?;
    lab::succeed(&mut machine, "ps")?;
    machine.shutdown().context("the machine did not shut down")?;
    for (from, to) in CHANGES {
        let launch = launch_tree(lab, profile, &replaced(&tree, from, to)?)?;
        refused(lab, &launch).with_context(|| format!("without {}", String::from_utf8_lossy(from)))?;
    }
    Ok(())
}

/// A header in which a word is nonsense. What console there is can't be known then, but the machine stops.
fn tree_header(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    /// Magic, total size, offset of the structure, offset of the strings, last compatible version (Devicetree Specification 5.2).
    const WORDS: [usize; 5] = [0, 1, 2, 3, 6];
    let tree = tree(lab, profile)?;
    for word in WORDS {
        let mut changed = tree.clone();
        let nonsense = lab.random.u32(0x8000_0000..).to_be_bytes();
        changed[word * 4..][..4].copy_from_slice(&nonsense);
        let launch = launch_tree(lab, profile, &changed)?;
        stops(lab, &launch).with_context(|| format!("with word {word} of the header as {nonsense:x?}"))?;
    }
    Ok(())
}

/// A byte that is no letter, in the name of a device that nobody uses: the tree is refused, and the console is found all the same to say so.
fn tree_name(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    const NAME: &[u8] = b"virtio_mmio@a003200";
    let tree = tree(lab, profile)?;
    for byte in [0xff, 0x80, b' ', b'\n'] {
        let mut name = NAME.to_vec();
        let at = lab.random.usize(..name.len());
        name[at] = byte;
        let launch = launch_tree(lab, profile, &replaced(&tree, NAME, &name)?)?;
        refused(lab, &launch).with_context(|| format!("with byte {at} of a name as {byte:#x}"))?;
    }
    Ok(())
}

/// A structure that ends in the middle, or has a token that is none.
fn tree_structure(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let tree = tree(lab, profile)?;
    let word =
        |index: usize| tree.get(index * 4..index * 4 + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes) as usize;
    let structure = word(2)..word(2) + word(9);
    // Tokens are words; a word that is FDT_PROP (3), with FDT_NOP or nonsense in its place, takes the property's bytes for tokens.
    let tokens: Vec<usize> = structure.step_by(4).filter(|&at| tree[at..at + 4] == [0, 0, 0, 3]).collect();
    for _ in 0..8 {
        let at = tokens[lab.random.usize(..tokens.len())];
        let mut changed = tree.clone();
        changed[at..at + 4].copy_from_slice(&lab.random.u32(16..).to_be_bytes());
        let launch = launch_tree(lab, profile, &changed)?;
        // The word may be a value and no token, or name a property that nobody reads: then the machine serves as ever. It never hangs.
        stops_or_serves(lab, &launch).with_context(|| format!("with another token at {at:#x}"))?;
    }
    let mut changed = tree.clone();
    let end = word(2) + word(9) / 2 / 4 * 4;
    changed[end..word(2) + word(9)].fill(0xff);
    let launch = launch_tree(lab, profile, &changed)?;
    stops(lab, &launch).context("with half of the structure").map(drop)
}

/// The machine must say exactly one line that begins with `stage0: ` and power off.
fn refused(lab: &mut Lab<'_>, launch: &Launch) -> Result<()> {
    match stops(lab, launch)?.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().as_slice() {
        [line] if line.starts_with("stage0: ") => Ok(()),
        lines => bail!("instead of one line `stage0: <reason>`, the machine said:\n{}", lines.join("\n")),
    }
}

/// The machine must power off by itself or come to its shell.
fn stops_or_serves(lab: &mut Lab<'_>, launch: &Launch) -> Result<()> {
    let mut machine = lab.start(launch)?;
    match machine.wait_prompt(&mut |_| {}) {
        Ok(()) | Err(Stop::Ended { .. }) => Ok(()),
        Err(stop) => Err(stop).context("the machine neither stops nor serves"),
    }
}

/// The machine must power off by itself, before there is a shell; answers what it said.
fn stops(lab: &mut Lab<'_>, launch: &Launch) -> Result<String> {
    let mut machine = lab.start(launch)?;
    machine.wait_off(LIMIT).context("the machine does not stop")?;
    Ok(plain(&machine.log()))
}

/// A console log without its marks, and without what U-Boot said before.
fn plain(log: &str) -> String {
    let own = log.find(MARK).map_or(log, |at| &log[at..]);
    let mut text = String::new();
    for part in own.split(MARK) {
        text += part.split_once('␇').map_or(part, |(_, text)| text);
    }
    text
}

/// How a log for people shows the beginning of a mark.
const MARK: &str = "␛]7770;";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_no_text() {
        assert_eq!(plain("U-Boot\n␛]7770;boot;stage0␇\nstage0: no\n"), "\nstage0: no\n");
        assert_eq!(plain("stage0: no\n"), "stage0: no\n");
    }

    #[test]
    fn a_tree_keeps_its_shape() {
        assert_eq!(replaced(b"..ab.ab..", b"ab", b"xy").unwrap(), b"..xy.xy..");
        assert!(replaced(b"....", b"ab", b"xy").is_err());
    }
}
