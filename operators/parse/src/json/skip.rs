//! Containers that hold no wanted path, in structural walks: their end is found by counting brackets, block by block.
use super::scan::{BLOCK, Lanes, Quotes};

/// Position behind the closing bracket of the container whose opening bracket, or a comma of its own, is at `at`. The
/// closing bracket may lie behind the record, in the rest of its last block.
#[inline(always)]
pub(super) fn skip<L: Lanes>(text: &[u8], quotes: Quotes<'_>, at: usize) -> Option<usize> {
    let blocks = text.as_chunks::<BLOCK>().0.iter().zip(quotes.blocks());
    // All ones if the block begins inside a string. For the first it follows from `at` lying outside.
    let mut inside = None;
    let mut depth = 1;
    let mut mask = (!0u64 << (at % BLOCK)) << 1;
    for (number, (block, quotes)) in blocks.enumerate().skip(at / BLOCK) {
        let parity = L::parity(quotes);
        let in_string = parity ^ inside.unwrap_or(0u64.wrapping_sub(parity >> (at % BLOCK) & 1));
        inside = Some(((in_string as i64) >> 63) as u64);
        let (open, close) = L::load(block).brackets();
        let (open, close) = (open & mask & !in_string, close & mask & !in_string);
        mask = !0;
        if close.count_ones() >= depth {
            // The end may be here: the first bracket up to which as many close as were open before and open here.
            let (mut rest, mut closed) = (close, 0);
            while rest != 0 {
                let before = (rest & rest.wrapping_neg()) - 1;
                closed += 1;
                if depth + (open & before).count_ones() == closed {
                    return Some(number * BLOCK + rest.trailing_zeros() as usize + 1);
                }
                rest &= rest - 1;
            }
        }
        depth = depth + open.count_ones() - close.count_ones();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::scan::{Index, Words, scan};
    use super::super::vectors::Vectors;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_like_a_loop(
            before in "([\\[\\]a]|\"[\\[\\]a]{0,9}\"){0,40}",
            behind in "([\\[\\]a]|\"[\\[\\]a]{0,9}\"){0,60}",
        ) {
            let (text, at) = (format!("{before},{behind}"), before.len());
            let (mut depth, mut inside, mut expected) = (1, false, None);
            for (i, c) in text.bytes().enumerate() {
                inside ^= c == b'"';
                if i > at && !inside && expected.is_none() {
                    depth += i32::from(c == b'[') - i32::from(c == b']');
                    expected = (depth == 0).then_some(i + 1);
                }
            }
            let (mut index, len, mut padded) = (Index::default(), text.len(), text.into_bytes());
            padded.resize(len + 64, b' ');
            scan::<Words>(&padded, len, &mut index);
            for vectors in Vectors::of_this_cpu() {
                prop_assert_eq!(vectors.skip(&padded, index.quotes(), at), expected);
            }
        }
    }
}
