pub(crate) fn apply(_l: &crate::Limits, _d: bool) -> std::io::Result<()> {
    Ok(())
}
