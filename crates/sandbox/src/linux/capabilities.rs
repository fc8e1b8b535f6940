//! temporary
use rustix::thread as t;
pub(crate) fn drop_all() -> std::io::Result<()> {
    for n in 0..64u32 {
        let _ = t::remove_capability_from_bounding_set(t::CapabilitySet::from_bits_retain(1u64 << n));
    }
    t::clear_ambient_capability_set()?;
    let e = t::CapabilitySet::empty();
    t::set_capabilities(None, t::CapabilitySets { effective: e, permitted: e, inheritable: e })?;
    Ok(())
}
