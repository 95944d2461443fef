//! Which instructions scan and skip use, chosen once for a walker.
use super::scan::{self, Index, Quotes, Words};
use super::skip;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

/// What this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vectors {
    /// Words of eight bytes: any machine.
    Portable,
    /// 32 bytes. Only made by [`Vectors::of_this_cpu`], as the next one: that they are there is what makes them safe to use.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 64 bytes.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Vectors {
    /// All that work here, the widest last.
    pub fn of_this_cpu() -> Vec<Vectors> {
        let mut all = vec![Vectors::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(avx2::available().then_some(Vectors::Avx2));
            all.extend(avx512::available().then_some(Vectors::Avx512));
        }
        all
    }

    /// See [`scan::scan`].
    #[inline]
    pub fn scan(self, text: &[u8], len: usize, index: &mut Index) {
        match self {
            Vectors::Portable => scan::scan::<Words>(text, len, index),
            // SAFETY: see the variants.
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx2 => unsafe { avx2::scan(text, len, index) },
            // SAFETY: see the variants.
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx512 => unsafe { avx512::scan(text, len, index) },
        }
    }

    /// See [`skip::skip`].
    #[inline]
    pub fn skip(self, text: &[u8], quotes: Quotes<'_>, at: usize) -> Option<usize> {
        match self {
            Vectors::Portable => skip::skip::<Words>(text, quotes, at),
            // SAFETY: see the variants.
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx2 => unsafe { avx2::skip(text, quotes, at) },
            // SAFETY: see the variants.
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx512 => unsafe { avx512::skip(text, quotes, at) },
        }
    }
}
