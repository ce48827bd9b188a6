//! The bench program does every operation, and what is counted is the same each time. No figure is judged here.

use anyhow::{Context, Result, ensure};

use super::CodeCase;
use super::lab::Lab;
use crate::bench::count::{Counted, Method, SETTINGS, Stand};
use crate::profile::Profile;
use crate::progress::Progress;

/// The cases of this module. Like all of `command`, they run alone: they build, and share files.
pub const CASES: [CodeCase; 1] = [("command/bench-twice", "icount", same_figures)];

/// By how much plugin and counter may differ: in hundredths, or so many instructions.
const HUNDREDTHS: u64 = 2;
const INSTRUCTIONS: u64 = 8;

fn same_figures(lab: &mut Lab<'_>, _profile: &Profile) -> Result<()> {
    let progress = Progress::new(true);
    let method = Method::find(lab.workspace, &progress)?;
    let stand = Stand::new(lab.workspace, lab.artifacts, method, &progress)?;
    let [setting, ..] = SETTINGS;
    for cores in [1, 2] {
        let count = || -> Result<Vec<Counted>> {
            let rows = stand.count(setting, cores)?;
            rows.into_iter().map(|(row, counted)| counted.with_context(|| row.name)).collect()
        };
        let (first, second) = (count()?, count()?);
        ensure!(!first.is_empty(), "nothing was counted on {cores} cores");
        for (one, other) in first.iter().zip(&second) {
            let name = one.row.name;
            ensure!(one.counts == other.counts, "{name}: {} instructions, and then {}", one.counts.total(), other.counts.total());
            ensure!(one.by_counter == other.by_counter, "{name}: {} by the counter, and then {}", one.by_counter, other.by_counter);
            // On two cores the counter also goes on with what the other core does beside the operation.
            let apart = one.value.abs_diff(one.by_counter);
            let near = apart <= INSTRUCTIONS.max(one.value * HUNDREDTHS / 100);
            ensure!(cores > 1 || near, "{name}: {} instructions, but {} by the counter", one.value, one.by_counter);
        }
    }
    Ok(())
}
