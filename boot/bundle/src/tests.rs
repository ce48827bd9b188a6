use super::*;

fn sample() -> Vec<u8> {
    let mut writer = BundleWriter::new();
    writer.add("manifest", Kind::Manifest, b"the manifest".to_vec()).unwrap();
    writer.add("init", Kind::Program, vec![0x5a; 4097]).unwrap();
    writer.add("empty", Kind::Data, vec![]).unwrap();
    writer.add("last.bin", Kind::Data, vec![7; 4096]).unwrap();
    writer.finish().unwrap()
}

#[test]
fn round_trip() {
    let bytes = sample();
    assert_eq!(bytes.len(), 5 * 4096);
    assert_eq!(bytes, sample(), "writing is deterministic");
    let bundle = Bundle::parse(&bytes).unwrap();
    assert_eq!(bundle.bytes(), bytes);
    let names: Vec<_> = bundle.entries().map(|entry| entry.name).collect();
    assert_eq!(names, ["manifest", "init", "empty", "last.bin"]);
    let init = bundle.find(INIT).unwrap();
    assert_eq!(init.kind, Kind::Program);
    assert_eq!(init.data, [0x5a; 4097]);
    assert_eq!(init.offset % PAGE_SIZE, 0);
    assert!(bundle.entries().all(|entry| entry.verify().is_ok()));
    assert_eq!(bundle.find("nosuch"), None);
    // What follows the bundle is ignored.
    let longer = [&bytes[..], &[1, 2, 3]].concat();
    assert_eq!(Bundle::parse(&longer).unwrap().bytes(), bytes);
}

#[test]
fn changed_content_fails_its_digest() {
    let mut bytes = sample();
    *bytes.last_mut().unwrap() ^= 1;
    let bundle = Bundle::parse(&bytes).unwrap();
    assert_eq!(bundle.find("last.bin").unwrap().verify(), Err(BundleError::Digest));
}

#[test]
fn each_defect_has_its_error() {
    let patched = |at: usize, patch: &[u8]| {
        let mut bytes = sample();
        bytes[at..at + patch.len()].copy_from_slice(patch);
        bytes
    };
    let entry = |index: usize| HEADER_LEN + index * ENTRY_LEN;
    let cases = [
        (vec![], BundleError::Truncated),
        (sample()[..30].to_vec(), BundleError::Truncated),
        (sample()[..5 * 4096 - 1].to_vec(), BundleError::Truncated),
        (patched(0, b"B"), BundleError::Magic),
        (patched(8, &[2]), BundleError::Version(2)),
        (patched(12, &[0]), BundleError::Count(0)),
        (patched(12, &[0xff; 4]), BundleError::Count(u32::MAX)),
        (patched(16, &[1]), BundleError::Length(5 * 4096 + 1)),
        (patched(17, &[0]), BundleError::Truncated),
        (patched(16, &[0xff; 8]), BundleError::Length(u64::MAX)),
        (patched(16, &(!4095u64).to_le_bytes()), BundleError::Truncated),
        (patched(63, &[1]), BundleError::Reserved),
        (patched(entry(0), &[0]), BundleError::Name(0)),
        (patched(entry(1), b"in it"), BundleError::Name(1)),
        (patched(entry(1), &[b'a'; 32]), BundleError::Name(1)),
        (patched(entry(1) + 31, b"x"), BundleError::Name(1)),
        (patched(entry(2) + 32, &[9]), BundleError::Kind(2)),
        (patched(entry(2) + 36, &[9]), BundleError::Reserved),
        (patched(entry(3) + 40, &[1]), BundleError::Offset(3)),
        (patched(entry(3) + 48, &[0xff; 8]), BundleError::Offset(3)),
        (patched(entry(0) + 40, &[0; 8]), BundleError::Overlap(0)),
        (patched(entry(1) + 40, &[0, 0x10]), BundleError::Overlap(1)),
        (patched(entry(2), b"init\0"), BundleError::Duplicate(2)),
    ];
    for (index, (bytes, expected)) in cases.iter().enumerate() {
        assert_eq!(Bundle::parse(bytes).err(), Some(*expected), "case {index}");
        assert!(!expected.to_string().is_empty());
    }
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let mut writer = BundleWriter::new();
    assert_eq!(writer.finish().err(), Some(BundleError::Count(0)));
    assert_eq!(writer.add("", Kind::Data, vec![]), Err(BundleError::Name(0)));
    assert_eq!(writer.add(&"x".repeat(32), Kind::Data, vec![]), Err(BundleError::Name(0)));
    for index in 0..MAX_ENTRIES {
        writer.add(&format!("n{index}"), Kind::Data, vec![]).unwrap();
    }
    assert_eq!(writer.add("n0", Kind::Data, vec![]), Err(BundleError::Count(MAX_ENTRIES + 1)));
    assert_eq!(Bundle::parse(&writer.finish().unwrap()).unwrap().entries().count(), MAX_ENTRIES as usize);
    let mut writer = BundleWriter::new();
    writer.add("twice", Kind::Data, vec![]).unwrap();
    assert_eq!(writer.add("twice", Kind::Data, vec![]), Err(BundleError::Duplicate(1)));
}

/// Whatever happens to header and table: no panic, and what is accepted keeps the promises.
#[test]
fn mutations_never_panic() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let good = sample();
    let table_end = HEADER_LEN + 4 * ENTRY_LEN;
    for _ in 0..50_000 {
        let mut bytes = good.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..table_end);
            let any = random.u8(..);
            bytes[at] = random.choice([0, 1, 0x10, 0x7f, 0x80, 0xff, any]).unwrap();
        }
        if random.u8(..4) == 0 {
            bytes.truncate(random.usize(..=bytes.len()));
        }
        let Ok(bundle) = Bundle::parse(&bytes) else { continue };
        let mut end = 0;
        let mut count = 0;
        for entry in bundle.entries() {
            assert!(is_name(entry.name.as_bytes()));
            assert!(entry.offset >= end && entry.offset % PAGE_SIZE == 0);
            end = (entry.offset + entry.data.len() as u64).next_multiple_of(PAGE_SIZE);
            assert!(end <= bundle.bytes().len() as u64);
            assert_eq!(bundle.find(entry.name), Some(entry));
            count += 1;
        }
        assert!(count > 0);
    }
}
