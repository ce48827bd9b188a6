//! Boot manifests that differ from the target's own in one thing.

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

/// The manifest, changed; an edit that changes nothing is an error of the test.
pub fn edited(manifest: &str, edit: impl FnOnce(&mut Table) -> Result<()>) -> Result<String> {
    let mut table: Table = manifest.parse().context("the manifest is no TOML")?;
    let before = table.clone();
    edit(&mut table)?;
    if table == before {
        bail!("the manifest does not have what the test changes in it");
    }
    Ok(toml::to_string(&table)?)
}

/// An entry of the manifest, server or program.
pub fn entry<'t>(manifest: &'t mut Table, name: &str) -> Result<&'t mut Table> {
    let is_it = |entry: &&mut Table| entry.get("name").and_then(Value::as_str) == Some(name);
    let entries = manifest.iter_mut().filter(|(key, _)| matches!(key.as_str(), "server" | "program"));
    let found = entries.filter_map(|(_, list)| list.as_array_mut()).flatten().filter_map(Value::as_table_mut).find(is_it);
    found.with_context(|| format!("the manifest has no {name}"))
}

/// Adds an entry behind the others of its kind, `server` or `program`.
pub fn add(manifest: &mut Table, kind: &str, entry: &str) -> Result<()> {
    let entry: Table = entry.parse().context("the new entry is no TOML")?;
    let list = manifest.get_mut(kind).and_then(Value::as_array_mut).with_context(|| format!("the manifest has no {kind}"))?;
    list.push(Value::Table(entry));
    Ok(())
}

/// A list of an entry, or of a table in it.
pub fn list<'t>(table: &'t mut Table, key: &str) -> Result<&'t mut Vec<Value>> {
    table.get_mut(key).and_then(Value::as_array_mut).with_context(|| format!("no list `{key}`"))
}

/// Takes one item out of a list; rights behind a colon are no part of its name.
pub fn take_out(table: &mut Table, key: &str, item: &str) -> Result<()> {
    list(table, key)?.retain(|value| value.as_str().and_then(|text| text.split(':').next()) != Some(item));
    Ok(())
}

/// Writes one item of a list anew.
pub fn put(table: &mut Table, key: &str, item: &str) -> Result<()> {
    let name = item.split(':').next().unwrap_or(item);
    take_out(table, key, name)?;
    list(table, key)?.push(item.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[system]\nname = 'x'\n[[server]]\nname = 'logd'\nspecial = ['power']\n[[server]]\nname = 'shell'\nspecial = ['observe', 'power']\n";

    #[test]
    fn only_the_entry_that_is_meant_changes() {
        let changed = edited(MANIFEST, |table| take_out(entry(table, "shell")?, "special", "power")).unwrap();
        let manifest: Table = changed.parse().unwrap();
        let special = |index: usize| manifest["server"][index]["special"].to_string();
        assert_eq!((special(0).as_str(), special(1).as_str()), ("[\"power\"]", "[\"observe\"]"));
    }

    #[test]
    fn an_edit_without_effect_is_noticed() {
        assert!(edited(MANIFEST, |table| take_out(entry(table, "shell")?, "special", "seed")).is_err());
        assert!(edited(MANIFEST, |table| take_out(entry(table, "nosuch")?, "special", "seed")).is_err());
        assert!(edited(MANIFEST, |table| add(table, "program", "name = 'y'")).is_err());
        assert!(edited(MANIFEST, |table| add(table, "server", "name = 'y'")).unwrap().contains("\"y\""));
    }
}
