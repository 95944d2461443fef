//! Scan and skip with 256-bit vectors, chosen at run time.
use super::scan::{self, BLOCK, Index, Lanes, Quotes};
use super::skip;
use std::arch::x86_64::*;

/// Does this CPU have what the functions here need?
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
}

/// Same result as the portable scan.
#[target_feature(enable = "avx2,pclmulqdq,popcnt,bmi1,bmi2")]
pub(super) fn scan(text: &[u8], len: usize, index: &mut Index) {
    scan::scan::<Vectors>(text, len, index);
}

/// Same result as the portable skip.
#[target_feature(enable = "avx2,pclmulqdq,popcnt,bmi1,bmi2")]
pub(super) fn skip(text: &[u8], quotes: Quotes<'_>, at: usize) -> Option<usize> {
    skip::skip::<Vectors>(text, quotes, at)
}

/// Two vectors of 32 bytes. Private, and only made by [`scan`] and [`skip`], which may only be called after the CPU has
/// been asked; all the methods are inlined into them.
#[derive(Clone, Copy)]
struct Vectors(__m256i, __m256i);

impl Vectors {
    #[inline(always)]
    fn mask(low: __m256i, high: __m256i) -> u64 {
        // SAFETY: see the type: AVX2 is there.
        let (low, high) = unsafe { (_mm256_movemask_epi8(low), _mm256_movemask_epi8(high)) };
        u64::from(low as u32) | u64::from(high as u32) << 32
    }
}

impl Lanes for Vectors {
    #[inline(always)]
    fn load(block: &[u8; BLOCK]) -> Self {
        let at = block.as_ptr().cast::<__m256i>();
        // SAFETY: AVX2 is there (see the type); the array has the 64 bytes that two unaligned loads read.
        unsafe { Vectors(_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))) }
    }
    #[inline(always)]
    fn equal(self, byte: u8) -> u64 {
        // SAFETY: see the type: AVX2 is there.
        unsafe {
            let want = _mm256_set1_epi8(byte as i8);
            Self::mask(_mm256_cmpeq_epi8(self.0, want), _mm256_cmpeq_epi8(self.1, want))
        }
    }
    #[inline(always)]
    fn brackets(self) -> (u64, u64) {
        // SAFETY: see the type: AVX2 is there.
        let folded = unsafe {
            let bit = _mm256_set1_epi8(0x20);
            Vectors(_mm256_or_si256(self.0, bit), _mm256_or_si256(self.1, bit))
        };
        (folded.equal(b'{'), folded.equal(b'}'))
    }
    #[inline(always)]
    fn special(self) -> bool {
        // SAFETY: see the type: AVX2 is there.
        unsafe {
            let backslash = _mm256_set1_epi8(b'\\' as i8);
            let found = _mm256_or_si256(_mm256_cmpeq_epi8(self.0, backslash), _mm256_cmpeq_epi8(self.1, backslash));
            // A control character is one that the minimum with 0x1F leaves alone; so is the lesser of two bytes.
            let least = _mm256_min_epu8(self.0, self.1);
            let control = _mm256_cmpeq_epi8(_mm256_min_epu8(least, _mm256_set1_epi8(0x1F)), least);
            _mm256_movemask_epi8(_mm256_or_si256(found, control)) != 0
        }
    }
    #[inline(always)]
    fn control(self) -> u64 {
        // SAFETY: see the type: AVX2 is there.
        unsafe {
            let last = _mm256_set1_epi8(0x1F);
            let (low, high) = (_mm256_min_epu8(self.0, last), _mm256_min_epu8(self.1, last));
            Self::mask(_mm256_cmpeq_epi8(low, self.0), _mm256_cmpeq_epi8(high, self.1))
        }
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: see the type: AVX2 is there.
        unsafe { Vectors(_mm256_or_si256(self.0, other.0), _mm256_or_si256(self.1, other.1)) }
    }
    #[inline(always)]
    fn high(self) -> bool {
        Self::mask(self.0, self.1) != 0
    }
    #[inline(always)]
    fn parity(bits: u64) -> u64 {
        parity(bits)
    }
}

/// Only called where [`available`] said yes.
#[inline(always)]
pub(super) fn parity(bits: u64) -> u64 {
    // SAFETY: PCLMULQDQ is there. Carry-less multiplication by all ones is the prefix sum modulo 2.
    unsafe {
        let product = _mm_clmulepi64_si128(_mm_set_epi64x(0, bits as i64), _mm_set1_epi8(-1), 0);
        _mm_cvtsi128_si64(product) as u64
    }
}
