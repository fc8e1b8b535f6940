//! The one door to host paths: everything resolves beneath a folder held by descriptor (`openat2`).

/// A folder held by descriptor; paths resolve beneath it and nowhere else.
#[derive(Debug)]
pub struct Dir {}
