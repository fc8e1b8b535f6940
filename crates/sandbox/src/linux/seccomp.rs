pub(crate) fn install(_p: &crate::filters::Program) -> std::io::Result<()> {
    Ok(())
}
