//! Scan and skip with 512-bit vectors, chosen at run time.
use super::scan::{self, BLOCK, Index, Lanes, Quotes};
use super::{avx2, skip};
use std::arch::x86_64::*;

/// Does this CPU have what the functions here need? Cores with VBMI2 do not lower their clock for wide vectors.
pub(super) fn available() -> bool {
    avx2::available() && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vbmi2")
}

/// Same result as the portable scan.
#[target_feature(enable = "avx512bw,avx512vbmi2,pclmulqdq,popcnt,bmi1,bmi2")]
pub(super) fn scan(text: &[u8], len: usize, index: &mut Index) {
    scan::scan::<Wide>(text, len, index);
}

/// Same result as the portable skip.
#[target_feature(enable = "avx512bw,avx512vbmi2,pclmulqdq,popcnt,bmi1,bmi2")]
pub(super) fn skip(text: &[u8], quotes: Quotes<'_>, at: usize) -> Option<usize> {
    skip::skip::<Wide>(text, quotes, at)
}

/// A vector of 64 bytes. Private, and only made by [`scan`] and [`skip`], which may only be called after the CPU has been
/// asked; all the methods are inlined into them.
#[derive(Clone, Copy)]
struct Wide(__m512i);

impl Wide {
    #[inline(always)]
    fn below_space(self) -> u64 {
        // SAFETY: see the type: AVX-512 is there.
        unsafe { _mm512_cmplt_epu8_mask(self.0, _mm512_set1_epi8(0x20)) }
    }
}

impl Lanes for Wide {
    #[inline(always)]
    fn load(block: &[u8; BLOCK]) -> Self {
        // SAFETY: AVX-512 is there (see the type); the array has the 64 bytes that an unaligned load reads.
        unsafe { Wide(_mm512_loadu_si512(block.as_ptr().cast())) }
    }
    #[inline(always)]
    fn equal(self, byte: u8) -> u64 {
        // SAFETY: see the type: AVX-512 is there.
        unsafe { _mm512_cmpeq_epi8_mask(self.0, _mm512_set1_epi8(byte as i8)) }
    }
    #[inline(always)]
    fn brackets(self) -> (u64, u64) {
        // SAFETY: see the type: AVX-512 is there.
        let folded = unsafe { Wide(_mm512_or_si512(self.0, _mm512_set1_epi8(0x20))) };
        (folded.equal(b'{'), folded.equal(b'}'))
    }
    #[inline(always)]
    fn special(self) -> bool {
        self.equal(b'\\') | self.below_space() != 0
    }
    #[inline(always)]
    fn control(self) -> u64 {
        self.below_space()
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: see the type: AVX-512 is there.
        unsafe { Wide(_mm512_or_si512(self.0, other.0)) }
    }
    #[inline(always)]
    fn high(self) -> bool {
        // SAFETY: see the type: AVX-512 is there.
        unsafe { _mm512_movepi8_mask(self.0) != 0 }
    }
    #[inline(always)]
    fn parity(bits: u64) -> u64 {
        avx2::parity(bits)
    }
    #[inline(always)]
    unsafe fn places(bits: u64, at: u32, out: *mut u32) {
        // SAFETY: see the type: AVX-512 with VBMI2 is there. The caller promises room for 64 places.
        unsafe {
            let mut numbers = _mm512_maskz_compress_epi8(bits, _mm512_loadu_si512(NUMBERS.as_ptr().cast()));
            let at = _mm512_set1_epi32(at as i32);
            let (mut out, mut count) = (out.cast::<__m512i>(), bits.count_ones());
            loop {
                let places = _mm512_cvtepu8_epi32(_mm512_castsi512_si128(numbers));
                _mm512_storeu_si512(out, _mm512_add_epi32(places, at));
                if count <= 16 {
                    return;
                }
                count -= 16;
                out = out.add(1);
                numbers = _mm512_alignr_epi64(numbers, numbers, 2);
            }
        }
    }
}

/// 0 to 63.
const NUMBERS: [u8; BLOCK] = {
    let mut numbers = [0; BLOCK];
    let mut n = 0;
    while n < BLOCK {
        numbers[n] = n as u8;
        n += 1;
    }
    numbers
};
