//! A classic-BPF evaluator: the kernel's reading of a filter, without a kernel. By it the nest init finds the answer to
//! a call that it was asked about, so that it is the filter's own, and tests find every answer.
//!
//! It knows the instructions that the assembler emits and refuses all others, jumps past the end, and
//! scratch memory read before it was written, as the kernel's own checker does.

use libc::sock_filter;

/// What the kernel shows a filter of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) number: u32,
    pub(crate) arch: u32,
    pub(crate) args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> Result<u32, String> {
        match offset {
            0 => Ok(self.number),
            4 => Ok(self.arch),
            16..64 if offset.is_multiple_of(4) => {
                let arg = self.args[(offset as usize - 16) / 8];
                Ok(if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 })
            }
            _ => Err(format!("load at offset {offset}")),
        }
    }
}

/// The filter's return value, and how many instructions it took.
pub(crate) fn evaluate(program: &[sock_filter], call: &Call) -> Result<(u32, usize), String> {
    let (mut a, mut x, mut scratch) = (0_u32, 0_u32, [None; 16]);
    let mut at = 0;
    for steps in 1.. {
        let Some(&sock_filter { code, jt, jf, k }) = program.get(at) else {
            return Err(format!("ran past the end at {at}"));
        };
        at += 1;
        let jump = |taken: bool| usize::from(if taken { jt } else { jf });
        match code {
            0x20 => a = call.word(k)?,
            0x54 => a &= k,
            0x14 => a = a.wrapping_sub(k),
            0x4c => a |= x,
            0x02 => *scratch.get_mut(k as usize).ok_or("scratch slot")? = Some(a),
            0x61 => x = scratch.get(k as usize).copied().flatten().ok_or("scratch read before write")?,
            0x05 => at += k as usize,
            0x15 => at += jump(a == k),
            0x35 => at += jump(a >= k),
            0x06 => return Ok((k, steps)),
            other => return Err(format!("instruction {other:#x} at {}", at - 1)),
        }
    }
    unreachable!("the loop has no end")
}
