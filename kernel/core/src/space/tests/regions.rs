//! Regions against a set of used pages.

use std::collections::BTreeMap;

use aios_abi::limits::{AGENT_MEM_BASE, AGENT_MEM_END, AGENT_MEMORY, REGIONS};

use super::super::table::PAGE;
use super::super::{Region, RegionError, Regions};
use super::{any, rng};

const ALL: u64 = AGENT_MEMORY / PAGE;

/// The lowest address that fits, found by trying every address behind a region.
fn naive_place(model: &BTreeMap<u64, Region>, pages: u64) -> u64 {
    let mut candidates: Vec<u64> = model.values().map(|region| region.end() + PAGE).collect();
    candidates.push(AGENT_MEM_BASE);
    candidates.sort_unstable();
    let fits = |va: u64| model.values().all(|region| va + (pages + 1) * PAGE <= region.va || region.end() + PAGE <= va);
    candidates.into_iter().find(|&va| fits(va)).expect("the window is large")
}

#[test]
fn random_regions_equal_the_naive_ones() {
    let mut rng = rng();
    for _ in 0..50 {
        let (mut regions, mut model) = (Regions::EMPTY, BTreeMap::<u64, Region>::new());
        for _ in 0..300 {
            if rng.u32(..5) < 3 {
                let pages = match rng.u32(..8) {
                    0 => rng.u64(..=ALL),
                    1 => any(&mut rng, [0, ALL, ALL + 1, u64::from(u32::MAX) + 1, u64::MAX]),
                    _ => rng.u64(..20),
                };
                let demand = rng.bool();
                let used: u64 = model.values().map(|region| u64::from(region.pages)).sum();
                let expected = if pages == 0 {
                    Err(RegionError::Empty)
                } else if pages > ALL - used {
                    Err(RegionError::OverLimit)
                } else if model.len() == REGIONS {
                    Err(RegionError::Full)
                } else {
                    Ok(Region { va: naive_place(&model, pages), pages: pages as u32, demand })
                };
                assert_eq!(regions.allocate(pages, demand), expected);
                if let Ok(region) = expected {
                    assert!(region.va >= AGENT_MEM_BASE && region.end() <= AGENT_MEM_END);
                    model.insert(region.va, region);
                }
            } else if let Some(&va) = rng.choice(model.keys()) {
                // Only a region's first address names it.
                if !model.contains_key(&(va + PAGE)) {
                    assert_eq!(regions.remove(va + PAGE), None);
                }
                assert_eq!(regions.remove(va), model.remove(&va));
            }
            assert!(regions.as_slice().iter().eq(model.values()), "sorted and the same");
            assert_eq!(u64::from(regions.pages()), model.values().map(|region| u64::from(region.pages)).sum::<u64>());
            for region in model.values() {
                assert_eq!([region.va, region.end() - 1].map(|va| regions.find(va)), [Some(*region); 2]);
                assert_eq!([region.va - 1, region.end(), region.end() + PAGE - 1].map(|va| regions.find(va)), [None; 3], "guard pages");
            }
        }
        assert_eq!([0, AGENT_MEM_BASE - 1, AGENT_MEM_END, u64::MAX].map(|va| regions.find(va)), [None; 4]);
        for va in model.keys() {
            assert!(regions.remove(*va).is_some() && regions.remove(*va).is_none());
        }
        assert_eq!(regions, Regions::EMPTY);
    }
}

#[test]
fn a_gap_is_taken_when_it_fits_with_its_guard() {
    let mut regions = Regions::EMPTY;
    let [first, second, third] = [3, 4, 5].map(|pages| regions.allocate(pages, false).expect("there is room").va);
    assert_eq!([first, second, third], [AGENT_MEM_BASE, AGENT_MEM_BASE + 4 * PAGE, AGENT_MEM_BASE + 9 * PAGE]);
    regions.remove(second);
    assert_eq!(regions.allocate(5, true).map(|region| region.va), Ok(third + 6 * PAGE));
    assert_eq!(regions.allocate(4, true).map(|region| region.va), Ok(second));
}

#[test]
fn the_table_and_the_limit_can_be_used_up() {
    let mut regions = Regions::EMPTY;
    for _ in 0..REGIONS {
        regions.allocate(ALL / REGIONS as u64, false).expect("there is room");
    }
    assert_eq!(regions.allocate(1, false), Err(RegionError::OverLimit));
    let mut regions = Regions::EMPTY;
    for _ in 0..REGIONS {
        regions.allocate(1, false).expect("there is room");
    }
    assert_eq!(regions.allocate(1, false), Err(RegionError::Full));
}
