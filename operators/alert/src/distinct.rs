//! How many different values `unique()` returned in a window, in bounded memory.
//!
//! Up to [`EXACT`] values are counted exactly (their hashes are kept); beyond that a HyperLogLog sketch of 2^12
//! registers takes over, with a standard error of about 1.6 %. The estimate is the improved one of O. Ertl ("New
//! cardinality estimation algorithms for HyperLogLog sketches", 2017), which needs no correction tables. Hashes are
//! xxh3 without a seed and only `+ * / sqrt` are used, so every machine gets the same number.
use model::Result;
use model::codec::{Reader, Writer};
use xxhash_rust::xxh3::xxh3_64;

/// Values counted exactly.
pub const EXACT: usize = 64;
const P: u32 = 12;
const M: usize = 1 << P;
const Q: usize = 64 - P as usize;

/// Distinct counter.
#[derive(Clone, Debug, PartialEq)]
pub enum Distinct {
    /// Sorted hashes of the values seen.
    Exact(Vec<u64>),
    /// Registers: highest rank seen per bucket.
    Sketch(Box<[u8; M]>),
}

impl Default for Distinct {
    fn default() -> Self {
        Distinct::Exact(Vec::new())
    }
}

impl Distinct {
    /// Adds a value; true if the estimate may have changed.
    pub fn add(&mut self, value: &str) -> bool {
        let hash = xxh3_64(value.as_bytes());
        match self {
            Distinct::Exact(seen) => match seen.binary_search(&hash) {
                Ok(_) => false,
                Err(i) if seen.len() < EXACT => {
                    seen.insert(i, hash);
                    true
                }
                Err(_) => {
                    let mut registers = Box::new([0u8; M]);
                    seen.iter().for_each(|h| _ = raise(&mut registers, *h));
                    raise(&mut registers, hash);
                    *self = Distinct::Sketch(registers);
                    true
                }
            },
            Distinct::Sketch(registers) => raise(registers, hash),
        }
    }

    /// Estimated number of different values, rounded.
    pub fn estimate(&self) -> u64 {
        match self {
            Distinct::Exact(seen) => seen.len() as u64,
            Distinct::Sketch(registers) => {
                let mut histogram = [0u32; Q + 2];
                registers.iter().for_each(|r| histogram[*r as usize] += 1);
                ertl(&histogram).round() as u64
            }
        }
    }

    /// Appends the state.
    pub fn save(&self, w: &mut Writer) {
        match self {
            Distinct::Exact(seen) => {
                w.byte(0);
                w.uint(seen.len() as u64);
                seen.iter().for_each(|h| w.uint(*h));
            }
            Distinct::Sketch(registers) => {
                w.byte(1);
                w.bytes(&registers[..]);
            }
        }
    }

    /// Reads the state.
    pub fn load(r: &mut Reader) -> Result<Distinct> {
        match r.byte()? {
            0 => {
                let n = r.uint()?;
                if n > EXACT as u64 {
                    return Err(format!("dedup state: {n} exact values where {EXACT} is the limit").into());
                }
                let mut seen = (0..n).map(|_| r.uint()).collect::<Result<Vec<_>>>()?;
                seen.sort_unstable();
                Ok(Distinct::Exact(seen))
            }
            1 => match <[u8; M]>::try_from(r.bytes()?) {
                Ok(registers) if registers.iter().all(|r| *r as usize <= Q + 1) => {
                    Ok(Distinct::Sketch(Box::new(registers)))
                }
                _ => Err("dedup state: a distinct counter has impossible registers".into()),
            },
            other => Err(format!("dedup state: unknown kind {other} of distinct counter").into()),
        }
    }
}

/// Raises the hash's register; true if it changed.
fn raise(registers: &mut [u8; M], hash: u64) -> bool {
    let bucket = &mut registers[(hash >> (64 - P)) as usize];
    // The lowest set bit behind the bucket index bounds the rank at Q + 1.
    let rank = ((hash << P) | (1 << (P - 1))).leading_zeros() as u8 + 1;
    let higher = rank > *bucket;
    if higher {
        *bucket = rank;
    }
    higher
}

fn ertl(histogram: &[u32; Q + 2]) -> f64 {
    let m = M as f64;
    let mut z = m * tau(1.0 - histogram[Q + 1] as f64 / m);
    for k in (1..=Q).rev() {
        z = 0.5 * (z + histogram[k] as f64);
    }
    z += m * sigma(histogram[0] as f64 / m);
    m * m / (2.0 * std::f64::consts::LN_2 * z)
}

/// `x + Σ x^(2^k) 2^(k-1)`: what the empty registers say.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// `1/3 (1 - x - Σ (1 - x^(2^-k))^2 2^-k)`: what the saturated registers say.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_exact_up_to_the_limit_and_close_beyond() {
        let mut d = Distinct::default();
        for n in 1..=200_000u64 {
            d.add(&format!("value-{n}"));
            assert!(!d.add(&format!("value-{n}")), "a value counts once");
            if n <= EXACT as u64 {
                assert_eq!(d.estimate(), n);
            } else if n % 9_973 == 0 || [65, 100, 1_000, 5_000, 10_000].contains(&n) {
                let off = d.estimate() as f64 / n as f64 - 1.0;
                assert!(off.abs() < 0.05, "{n}: {}", d.estimate());
            }
        }
    }

    #[test]
    fn survives_save_and_load() {
        for n in [0, 1, 64, 65, 5_000] {
            let mut d = Distinct::default();
            (0..n).for_each(|i| _ = d.add(&i.to_string()));
            let mut w = Writer::new(1);
            d.save(&mut w);
            let b = w.finish();
            let mut r = Reader::open(&b, 1, "dedup").unwrap();
            assert_eq!(Distinct::load(&mut r).unwrap(), d);
            r.end().unwrap();
        }
    }
}
