//! Where events are durable: what was intended before each effect, and what came of it after.

mod event;

pub use event::{Event, EventBody, OutputRef};

/// An append-only record of runs.
#[derive(Debug)]
pub struct Journal {}
