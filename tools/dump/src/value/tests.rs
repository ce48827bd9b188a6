//! The subject is this very test program: what its own debug information says of its own statics, read from its own file.
#![cfg(target_os = "linux")]

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use object::read::elf::ElfFile64;

use super::*;
use crate::Program;

enum State {
    Idle,
    Waiting { until: u64, whom: u16 },
    Gone(Wrapper),
}

#[derive(Clone, Copy)]
struct Wrapper(u64);

struct Sample {
    small: u8,
    truth: bool,
    wrapped: Wrapper,
    atomic: AtomicU64,
    pair: (u16, u64),
    words: [u32; 5],
    states: [State; 3],
    nothing: Option<NonZeroU32>,
    something: Option<NonZeroU32>,
}

#[used]
static SAMPLE: Sample = Sample {
    small: 200,
    truth: true,
    wrapped: Wrapper(0x1234_5678_9abc_def0),
    atomic: AtomicU64::new(77),
    pair: (3, 4),
    words: [10, 11, 12, 13, 14],
    states: [State::Idle, State::Waiting { until: 99, whom: 5 }, State::Gone(Wrapper(1 << 40))],
    nothing: None,
    something: NonZeroU32::new(6),
};

/// The bytes that the file puts at each address.
impl Memory for Program {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Error> {
        let segment = self.segments().iter().find(|segment| address >= segment.address && address - segment.address < segment.size);
        let segment = segment.ok_or(Error::Unmapped(address))?;
        let from = (address - segment.address) as usize;
        let bytes = segment.bytes.get(from..from + into.len()).ok_or(Error::Unmapped(address))?;
        into.copy_from_slice(bytes);
        Ok(())
    }
}

fn own_program() -> Program {
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    Program::load(&ElfFile64::parse(&*bytes).unwrap()).unwrap()
}

fn sample(program: &Program) -> Value<'_> {
    Value::of_static(program, program.types(), "aios_dump::value::tests::SAMPLE").unwrap()
}

#[test]
fn numbers_are_found_by_name() {
    let program = own_program();
    let sample = sample(&program);
    assert_eq!(sample.number_of("small").unwrap(), SAMPLE.small.into());
    assert_eq!(sample.number_of("truth").unwrap(), SAMPLE.truth.into());
    assert_eq!(sample.number_of("wrapped").unwrap(), SAMPLE.wrapped.0);
    assert_eq!(sample.number_of("atomic").unwrap(), SAMPLE.atomic.load(Ordering::Relaxed));
    assert_eq!(sample.field("pair").unwrap().number_of("__1").unwrap(), SAMPLE.pair.1);
    let words = sample.field("words").unwrap();
    assert_eq!(words.elements().unwrap().map(|word| word.number().unwrap() as u32).collect::<Vec<_>>(), SAMPLE.words);
    assert_eq!((words.count().unwrap(), words.at(4).unwrap().number().unwrap()), (5, SAMPLE.words[4].into()));
}

#[test]
fn variants_are_told_apart() {
    let program = own_program();
    let sample = sample(&program);
    let states = sample.field("states").unwrap();
    for (index, state) in SAMPLE.states.iter().enumerate() {
        let (name, data) = states.at(index as u64).unwrap().variant().unwrap();
        match state {
            State::Idle => assert_eq!(name, "Idle"),
            State::Waiting { until, whom } => {
                assert_eq!((name, data.number_of("until").unwrap(), data.number_of("whom").unwrap()), ("Waiting", *until, (*whom).into()));
            }
            State::Gone(wrapper) => assert_eq!((name, data.number_of("__0").unwrap()), ("Gone", wrapper.0)),
        }
    }
    // Here the value itself is the discriminant.
    assert!(SAMPLE.nothing.is_none() && sample.field("nothing").unwrap().option().unwrap().is_none());
    let something = sample.field("something").unwrap().option().unwrap().unwrap();
    assert_eq!(Some(something.number().unwrap()), SAMPLE.something.map(|number| number.get().into()));
}

#[test]
fn what_is_not_there_is_named() {
    let program = own_program();
    let sample = sample(&program);
    let text = |outcome: Result<Value<'_>, Error>| outcome.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(text(sample.field("height")).contains("`Sample` has no field `height`"));
    assert!(text(sample.field("words").unwrap().field("x")).contains("is not a structure"));
    assert!(text(sample.field("words").unwrap().at(5)).contains("element 5 of 5"));
    assert!(text(Value::of_static(&program, program.types(), "aios_dump::NOBODY")).contains("no static"));
    assert!(text(Value::of_type(&program, program.types(), "aios_dump::Nothing", 0)).contains("no type"));
    assert!(sample.number().unwrap_err().to_string().contains("is not a number"));
    let nowhere = Value::of_type(&program, program.types(), "aios_dump::value::tests::Wrapper", 1 << 60).unwrap();
    assert!(matches!(nowhere.number(), Err(Error::Unmapped(address)) if address == 1 << 60));
}

#[test]
fn a_program_for_another_machine_is_no_kernel() {
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(matches!(Program::parse(&bytes), Err(Error::NotKernel(_))));
    assert!(matches!(Program::parse(b"text"), Err(Error::NotKernel(_))));
}
