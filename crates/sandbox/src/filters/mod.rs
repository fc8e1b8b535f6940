pub(crate) struct Program;
impl Program {
    pub(crate) fn build(_p: crate::Profile, _e: Option<u32>) -> Self {
        Self
    }
}
