//! Damaged boot files: the first stage says in one line why it stops, and stops. It never hangs and never starts a kernel.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::CodeCase;
use super::lab::Lab;
use crate::profile::Profile;
use crate::qemu::{Launch, Source};

/// The cases of this module.
pub const CASES: [CodeCase; 5] = [
    ("damage/changed-bundle", "direct", changed_bundle),
    ("damage/changed-bundle-el2", "direct-el2", changed_bundle),
    ("damage/cut-bundle", "direct", cut_bundle),
    ("damage/no-bundle", "direct", no_bundle),
    ("damage/changed-kernel", "direct", changed_kernel),
];

/// How long the first stage may take to notice.
const LIMIT: Duration = Duration::from_secs(30);

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

fn files(lab: &Lab<'_>) -> Result<(Vec<u8>, Vec<u8>)> {
    Ok((std::fs::read(&lab.artifacts.image)?, std::fs::read(&lab.artifacts.bundle)?))
}

/// The machine must say exactly one line that begins with `stage0: ` and power off.
fn refused(lab: &mut Lab<'_>, launch: &Launch) -> Result<()> {
    let mut machine = lab.start(launch)?;
    machine.wait_off(LIMIT)?;
    let log = machine.log();
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    match lines.as_slice() {
        [line] if line.starts_with("stage0: ") => Ok(()),
        _ => bail!("instead of one line `stage0: <reason>`, the machine said:\n{log}"),
    }
}
