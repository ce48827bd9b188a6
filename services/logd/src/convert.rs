//! Between the words of the interface and those of the log. Numbers of records begin with 1 there and with 0 here.

use aios_abi::AgentId;
use aios_logd_core::{Body, Filter, Level, Record};
use aios_proto::log::{self, Entry, Message, Target};
use aios_proto::types;

pub(crate) const fn level(level: types::Level) -> Level {
    match level {
        types::Level::Error => Level::Error,
        types::Level::Warn => Level::Warn,
        types::Level::Info => Level::Info,
        types::Level::Debug => Level::Debug,
        types::Level::Trace => Level::Trace,
    }
}

const fn level_back(level: Level) -> types::Level {
    match level {
        Level::Error => types::Level::Error,
        Level::Warn => types::Level::Warn,
        Level::Info => types::Level::Info,
        Level::Debug => types::Level::Debug,
        Level::Trace => types::Level::Trace,
    }
}

pub(crate) fn filter(wanted: &log::Filter) -> Filter {
    Filter { level: level(wanted.level), agent: wanted.agent.map(AgentId) }
}

pub(crate) fn entry(record: &Record) -> Entry<'_> {
    let (image, message) = match &record.body {
        Body::Text(text) => (None, text.as_bytes()),
        Body::Defmt { image_digest_tag, frame } => (Some(*image_digest_tag), frame.as_slice()),
    };
    Entry {
        sequence: record.sequence + 1,
        time: record.time_ns,
        agent: record.agent.0,
        level: level_back(record.level),
        image,
        target: Target::truncated(&record.target),
        message: Message::truncated(message),
    }
}
