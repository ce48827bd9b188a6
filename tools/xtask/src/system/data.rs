//! System tests as data: `tests/system/*.toml`.
//!
//! ```toml
//! [[case]]
//! name = "processes"                    # with the machine behind it: processes/direct/smp4
//! profiles = ["direct", "uboot"]        # names in qemu/
//! smp = [1, 4]                          # default: the profile's own number of cores
//! memory_mib = 64                       # default: the profile's
//! full = true                           # only in `cargo xtask test --full`
//!
//! [[case.step]]
//! command = "spawn assist {word}"       # {word}: a random word, the same one in the whole case
//! status = 0                            # default; or: fails = true, for any other than 0
//! expect = ["^assist +[0-9]+"]          # regular expressions, `^` and `$` at each line; all must be found
//! forbid = ["panic"]                    # none may be found
//! limit_s = 10                          # default 60
//! ```
//!
//! A case passes when all its steps do and the machine then shuts down by `shutdown`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use regex_lite::RegexBuilder;
use serde::Deserialize;

use super::lab::{COMMAND_LIMIT, Lab};
use super::{Body, Case};
use crate::machine::{After, Reply};
use crate::profile::{Profile, names};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<CaseData>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseData {
    name: String,
    profiles: Vec<String>,
    #[serde(default)]
    smp: Vec<u32>,
    memory_mib: Option<u32>,
    #[serde(default)]
    full: bool,
    step: Vec<Step>,
}

/// One command and what it must come to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    command: String,
    #[serde(default)]
    status: u32,
    #[serde(default)]
    fails: bool,
    #[serde(default)]
    expect: Vec<String>,
    #[serde(default)]
    forbid: Vec<String>,
    limit_s: Option<u64>,
}

/// Every case, on each of its machines.
pub fn load(root: &Path) -> Result<Vec<Case>> {
    let folder = root.join("tests/system");
    let mut cases = Vec::new();
    for name in names(&folder, "toml").into_iter().filter(|name| name != "Cargo") {
        let path = folder.join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
        cases.extend(expand(root, &text).with_context(|| format!("in {}", path.display()))?);
    }
    Ok(cases)
}

fn expand(root: &Path, text: &str) -> Result<Vec<Case>> {
    let file: File = toml::from_str(text)?;
    let mut cases = Vec::new();
    for data in file.case {
        for step in &data.step {
            for pattern in step.expect.iter().chain(&step.forbid) {
                regex(&pattern.replace("{word}", "word")).with_context(|| format!("case {}", data.name))?;
            }
        }
        for profile_name in &data.profiles {
            let profile = Profile::load(root, profile_name)?;
            let all_smp = if data.smp.is_empty() { vec![profile.smp] } else { data.smp.clone() };
            for smp in all_smp {
                let profile = Profile { smp, memory_mib: data.memory_mib.unwrap_or(profile.memory_mib), ..profile.clone() };
                profile.check().with_context(|| format!("case {}", data.name))?;
                let name = format!("{}/{profile_name}/smp{smp}", data.name);
                cases.push(Case { name, profile, full: data.full, body: Body::Steps(data.step.clone()) });
            }
        }
    }
    Ok(cases)
}

/// Boots, takes the steps, shuts down.
pub fn play(lab: &mut Lab<'_>, profile: &Profile, steps: &[Step]) -> Result<()> {
    let word = lab.word();
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    for step in steps {
        let command = step.command.replace("{word}", &word);
        let limit = step.limit_s.map_or(COMMAND_LIMIT, Duration::from_secs);
        let reply = machine.command(&command, Some(limit), &mut |_| ()).with_context(|| format!("during '{command}'"))?;
        judge(step, &reply, &word).with_context(|| format!("'{command}'"))?;
        match reply.after {
            After::Ready => {}
            After::Off => return Ok(()),
            After::Rebooted if command == "reboot" => {}
            After::Rebooted => bail!("'{command}': the machine rebooted"),
        }
    }
    machine.shutdown().map_err(|stop| anyhow!(stop).context("the machine did not shut down"))
}

/// Compares a reply with what the step asks for.
fn judge(step: &Step, reply: &Reply, word: &str) -> Result<()> {
    if step.fails && reply.status == 0 {
        bail!("succeeded, though it must fail:\n{}", reply.output.trim_end());
    }
    if !step.fails && reply.status != step.status {
        bail!("status {} instead of {}:\n{}", reply.status, step.status, reply.output.trim_end());
    }
    for (pattern, wanted) in step.expect.iter().map(|p| (p, true)).chain(step.forbid.iter().map(|p| (p, false))) {
        let pattern = pattern.replace("{word}", word);
        if regex(&pattern)?.is_match(&reply.output) != wanted {
            let verb = if wanted { "does not show" } else { "shows" };
            bail!("the output {verb} /{pattern}/:\n{}", reply.output.trim_end());
        }
    }
    Ok(())
}

fn regex(pattern: &str) -> Result<regex_lite::Regex> {
    RegexBuilder::new(pattern).multi_line(true).build().with_context(|| format!("/{pattern}/ is no regular expression"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(text: &str) -> Step {
        toml::from_str(text).unwrap()
    }

    fn reply(status: u32, output: &str) -> Reply {
        Reply { output: output.to_owned(), status, after: After::Ready }
    }

    #[test]
    fn a_reply_is_judged_by_status_and_patterns() {
        let good = step("command = 'x'\nexpect = ['^a +[0-9]$', '{word}']\nforbid = ['panic']");
        assert!(judge(&good, &reply(0, "b\na  1\nq\n"), "q").is_ok());
        assert!(judge(&good, &reply(0, "b\na  1\n"), "q").unwrap_err().to_string().contains("does not show /q/"));
        assert!(judge(&good, &reply(0, "a 1\nq panic"), "q").unwrap_err().to_string().contains("shows /panic/"));
        assert!(judge(&good, &reply(2, "a 1\nq"), "q").unwrap_err().to_string().contains("status 2 instead of 0"));
        let fails = step("command = 'x'\nfails = true");
        assert!(judge(&fails, &reply(3, ""), "").is_ok() && judge(&fails, &reply(0, ""), "").is_err());
    }

    #[test]
    fn a_case_runs_on_each_of_its_machines() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = "[[case]]\nname = 'a'\nprofiles = ['direct', 'uboot']\nsmp = [1, 8]\nmemory_mib = 128\n[[case.step]]\ncommand = 'ps'\n";
        let cases = expand(&root, text).unwrap();
        assert_eq!(
            cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(),
            ["a/direct/smp1", "a/direct/smp8", "a/uboot/smp1", "a/uboot/smp8"]
        );
        assert!(cases.iter().all(|case| case.profile.memory_mib == 128));
        assert!(expand(&root, &text.replace("'ps'", "'ps'\nexpect = ['(']")).is_err());
        assert!(expand(&root, &text.replace("command", "comand")).is_err());
    }

    #[test]
    fn the_files_of_the_repository_load() {
        load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
    }
}
