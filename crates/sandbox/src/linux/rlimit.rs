pub(crate) fn highest_descriptor(l: &crate::Limits) -> std::io::Result<i32> {
    Ok(l.open_files as i32)
}
pub(crate) fn apply(_l: &crate::Limits, _d: bool, _e: Option<u32>) -> std::io::Result<()> {
    Ok(())
}
