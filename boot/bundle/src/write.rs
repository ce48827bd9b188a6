//! Writing a bundle.

use crate::{BundleError, ENTRY_LEN, HEADER_LEN, Kind, MAGIC, MAX_ENTRIES, PAGE_SIZE, VERSION, is_name, sha256};

/// Collects entries and writes them as a bundle. The same entries in the same order give the same bytes.
#[derive(Clone, Debug, Default)]
pub struct BundleWriter {
    entries: Vec<(String, Kind, Vec<u8>)>,
}

impl BundleWriter {
    /// A bundle without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry behind the earlier ones.
    ///
    /// # Errors
    /// [`BundleError::Name`] or [`BundleError::Duplicate`], with the number that the entry would have, or [`BundleError::Count`].
    pub fn add(&mut self, name: &str, kind: Kind, data: Vec<u8>) -> Result<(), BundleError> {
        let index = self.entries.len() as u32;
        if index == MAX_ENTRIES {
            return Err(BundleError::Count(index + 1));
        }
        if !is_name(name.as_bytes()) {
            return Err(BundleError::Name(index));
        }
        if self.entries.iter().any(|(other, ..)| other == name) {
            return Err(BundleError::Duplicate(index));
        }
        self.entries.push((name.to_owned(), kind, data));
        Ok(())
    }

    /// The bundle's bytes.
    ///
    /// # Errors
    /// [`BundleError::Count`] when there are no entries.
    pub fn finish(&self) -> Result<Vec<u8>, BundleError> {
        if self.entries.is_empty() {
            return Err(BundleError::Count(0));
        }
        let page = |len: usize| len.next_multiple_of(PAGE_SIZE as usize);
        let table_end = HEADER_LEN + self.entries.len() * ENTRY_LEN;
        let total = page(table_end) + self.entries.iter().map(|(_, _, data)| page(data.len())).sum::<usize>();

        let mut out = Vec::with_capacity(total);
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend((self.entries.len() as u32).to_le_bytes());
        out.extend((total as u64).to_le_bytes());
        out.resize(HEADER_LEN, 0);

        let mut offset = page(table_end);
        for (name, kind, data) in &self.entries {
            let mut field = [0; 32];
            field[..name.len()].copy_from_slice(name.as_bytes());
            out.extend(field);
            out.extend((*kind as u32).to_le_bytes());
            out.extend([0; 4]);
            out.extend((offset as u64).to_le_bytes());
            out.extend((data.len() as u64).to_le_bytes());
            out.extend(sha256(data));
            offset += page(data.len());
        }
        for (_, _, data) in &self.entries {
            out.resize(page(out.len()), 0);
            out.extend(data);
        }
        out.resize(total, 0);
        Ok(out)
    }
}
