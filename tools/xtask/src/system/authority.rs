//! What the shell was not given, it can't do: the same image with one thing taken out of the shell's manifest entry.

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use super::CodeCase;
use super::lab::{self, Lab};
use crate::profile::Profile;

/// The cases of this module.
pub const CASES: [CodeCase; 5] = [
    ("authority/no-observe", "direct", |lab, profile| {
        refuses(lab, profile, &without("special", "observe"), &["ps", "caps", "mem", "sched", "irq"], &["uptime", "services"])
    }),
    ("authority/no-power", "direct", |lab, profile| refuses(lab, profile, &without("special", "power"), &["shutdown", "reboot"], &["ps"])),
    ("authority/no-controls", "direct", |lab, profile| {
        refuses(
            lab,
            profile,
            &|shell| drop(shell.remove("controls")),
            &["kill logd", "suspend logd", "resume logd", "restart logd"],
            &["ps"],
        )
    }),
    ("authority/no-spawn", "direct", |lab, profile| {
        refuses(lab, profile, &|shell| drop(shell.remove("spawns")), &["spawn assist"], &["ps"])
    }),
    ("authority/no-log", "direct", |lab, profile| refuses(lab, profile, &without("uses", "/svc/log"), &["log"], &["ps"])),
];

/// What the shell says of a capability that it does not hold.
const REFUSAL: &str = "no capability";

/// Takes one item out of a list in the shell's entry.
fn without(key: &'static str, item: &'static str) -> impl Fn(&mut Table) {
    move |shell| {
        if let Some(Value::Array(items)) = shell.get_mut(key) {
            items.retain(|value| value.as_str() != Some(item));
        }
    }
}

/// Boots with an edited shell entry; the commands that need what is missing are refused, the others still work.
fn refuses(lab: &mut Lab<'_>, profile: &Profile, edit: &dyn Fn(&mut Table), refused: &[&str], others: &[&str]) -> Result<()> {
    let manifest = edited(&lab.artifacts.manifest, edit)?;
    let launch = lab.launch_manifest(profile, &manifest)?;
    let mut machine = lab.boot(&launch)?;
    for line in refused {
        let reply = lab::run(&mut machine, line)?;
        if reply.status == 0 || !reply.output.contains(REFUSAL) {
            bail!("'{line}' must answer `{REFUSAL}` and fail; status {}:\n{}", reply.status, reply.output.trim_end());
        }
    }
    for line in others {
        lab::succeed(&mut machine, line)?;
    }
    Ok(())
}

/// The manifest with the shell's entry changed; an edit that changes nothing is an error of the test.
fn edited(manifest: &str, edit: &dyn Fn(&mut Table)) -> Result<String> {
    let mut table: Table = manifest.parse().context("the manifest is no TOML")?;
    let before = table.clone();
    let servers = table.get_mut("server").and_then(Value::as_array_mut).context("the manifest has no servers")?;
    let is_shell = |server: &&mut Table| server.get("name").and_then(Value::as_str) == Some("shell");
    let shell = servers.iter_mut().filter_map(Value::as_table_mut).find(is_shell).context("the manifest has no shell")?;
    edit(shell);
    if table == before {
        bail!("the shell's entry in the manifest does not have what the test takes out of it");
    }
    Ok(toml::to_string(&table)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[system]\nname = 'x'\n[[server]]\nname = 'logd'\nspecial = ['power']\n[[server]]\nname = 'shell'\nspecial = ['observe', 'power']\n";

    #[test]
    fn only_the_shell_loses_what_is_taken_out() {
        let manifest: Table = edited(MANIFEST, &without("special", "power")).unwrap().parse().unwrap();
        let special = |index: usize| manifest["server"][index]["special"].to_string();
        assert_eq!((special(0).as_str(), special(1).as_str()), ("[\"power\"]", "[\"observe\"]"));
    }

    #[test]
    fn an_edit_without_effect_is_noticed() {
        assert!(edited(MANIFEST, &without("special", "seed")).is_err());
        assert!(edited("[system]\n", &without("special", "power")).is_err());
    }
}
