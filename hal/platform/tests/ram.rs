//! `usable_ram` against a map with one bit for each small block of memory.

mod support;

use aios_platform::{PAGE_SIZE, Platform, Range, total_ram, usable_ram};
use support::{Tree, cells, pairs, small, text};

/// The size of the memory that the random machines live in, and the block that all addresses are multiples of: smaller than
/// a page, so that banks and holes begin and end within pages.
const SPAN: u64 = 256 * PAGE_SIZE;
const BLOCK: u64 = PAGE_SIZE / 4;

fn random_range(random: &mut fastrand::Rng, longest: u64) -> (u64, u64) {
    let start = random.u64(..SPAN / BLOCK) * BLOCK;
    (start, (random.u64(..=longest / BLOCK) * BLOCK).min(SPAN - start))
}

fn set(map: &mut [bool], (start, size): (u64, u64), value: bool) {
    map[(start / BLOCK) as usize..((start + size) / BLOCK) as usize].fill(value);
}

#[test]
fn matches_a_map_of_blocks() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..3000 {
        let banks: Vec<_> = (0..random.usize(1..8)).map(|_| random_range(&mut random, SPAN / 3)).collect();
        let mut map = vec![false; (SPAN / BLOCK) as usize];
        banks.iter().for_each(|&bank| set(&mut map, bank, true));
        let ram = map.iter().filter(|&&block| block).count() as u64 * BLOCK;
        if ram == 0 {
            continue;
        }
        let mut holes = |count| (0..random.usize(..count)).map(|_| random_range(&mut random, SPAN / 16)).collect::<Vec<_>>();
        let (reserved, children, taken) = (holes(8), holes(8), holes(8));
        let initrd = holes(2).first().copied();
        [&reserved[..], &children, &taken, initrd.as_slice()].concat().iter().for_each(|&hole| set(&mut map, hole, false));

        let mut tree = small();
        tree.at("memory").set("reg", pairs(&banks));
        if let Some((start, size)) = initrd {
            tree.at("chosen").set("linux,initrd-start", start.to_be_bytes().to_vec());
            tree.at("chosen").set("linux,initrd-end", cells(&[(start + size) as u32]));
        }
        let node = Tree::new("reserved-memory").with("#address-cells", cells(&[2])).with("#size-cells", cells(&[2]));
        let child = Tree::new("range").with("reg", pairs(&children)).with("compatible", text("any"));
        tree.children.push(node.with("ranges", vec![]).child(child));
        // A pair of zeros would end the reservation block.
        let reserved: Vec<_> = reserved.into_iter().filter(|&hole| hole != (0, 0)).collect();
        let blob = tree.write(&reserved);
        let platform = Platform::read(&blob).expect("a good tree");
        assert_eq!(total_ram(&platform), ram, "round {round}");
        let taken: Vec<_> = taken.iter().map(|&(start, size)| Range::new(start, size).expect("a range")).collect();
        let usable = usable_ram(&platform, &taken).expect("few ranges");

        let per_page = (PAGE_SIZE / BLOCK) as usize;
        let free_page = |page: u64| map[page as usize * per_page..][..per_page].iter().all(|&free| free);
        for page in 0..SPAN / PAGE_SIZE {
            let in_list = usable.iter().any(|range| range.contains(page * PAGE_SIZE));
            assert_eq!(in_list, free_page(page), "round {round}: page {page}");
        }
        for range in &usable {
            assert!(!range.is_empty() && range.start() % PAGE_SIZE == 0 && range.end() % PAGE_SIZE == 0 && range.end() <= SPAN);
        }
        assert!(usable.windows(2).all(|pair| pair[0].end() < pair[1].start()), "round {round}: ascending and as few as possible");
    }
}

#[test]
fn too_many_ranges_are_an_error() {
    let blob = small().write(&[]);
    let platform = Platform::read(&blob).expect("a good tree");
    let taken: Vec<_> = (0..64).map(|n| Range::new(0x4000_1000 + n * 0x2000, 0x1000).expect("a range")).collect();
    let error = usable_ram(&platform, &taken).expect_err("65 ranges");
    assert_eq!(error.to_string(), "device tree: more than 64 ranges of usable memory");
}

#[test]
fn the_end_of_the_address_space_is_no_page() {
    let mut tree = small();
    tree.at("memory").set("reg", pairs(&[(u64::MAX - 0x1fff, 0x1fff), (0x1000, 0x1000)]));
    let blob = tree.write(&[]);
    let platform = Platform::read(&blob).expect("a good tree");
    let usable = usable_ram(&platform, &[Range::new(u64::MAX - 0x1000, 0x1000).expect("a range")]).expect("few ranges");
    assert_eq!(usable, [(0x1000, 0x1000)].map(|(start, size)| Range::new(start, size).expect("a range")));
}
