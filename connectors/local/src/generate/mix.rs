//! Which log types there are, how often each comes, and where in its sequence the attack story is told.
use super::{noise, story};

/// One log type of the mix: a partition of its own, so that the classifier sees one type per split.
pub(crate) struct Kind {
    /// Log type; the partition's name.
    pub(crate) log_type: &'static str,
    /// Events of this type in every thousand.
    pub(crate) share: u64,
    /// Header line, for formats that need one.
    pub(crate) header: Option<&'static str>,
    /// When in the cycle the story is told, in thousandths, and in how many events.
    pub(crate) scene: (u64, u64, u64),
    /// Writes an ordinary event.
    pub(crate) noise: fn(&mut super::random::Random, i64, &mut String),
    /// Writes a step of the story.
    pub(crate) story: fn(&story::Cast, u64, i64, &mut String),
}

/// Events between two stories.
pub(crate) const CYCLE: u64 = 20_000;
/// The mix repeats after so many events.
pub(crate) const ROUND: u64 = 1_000;

/// The mix. The order is the partition number: append, never reorder.
pub(crate) static KINDS: [Kind; 7] = [
    Kind {
        log_type: "AWS.CloudTrail",
        share: 300,
        header: None,
        scene: (400, 550, story::CLOUDTRAIL_STEPS),
        noise: noise::cloudtrail,
        story: story::cloudtrail,
    },
    Kind {
        log_type: "Okta.SystemLog",
        share: 110,
        header: None,
        scene: (150, 220, story::OKTA_STEPS),
        noise: noise::okta,
        story: story::okta,
    },
    Kind {
        log_type: "GitHub.Audit",
        share: 80,
        header: None,
        scene: (250, 320, story::GITHUB_STEPS),
        noise: noise::github,
        story: story::github,
    },
    Kind {
        log_type: "AWS.VPCFlow",
        share: 210,
        header: Some(
            "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status",
        ),
        scene: (600, 750, story::FLOW_STEPS),
        noise: noise::flow,
        story: story::flow,
    },
    Kind {
        log_type: "Nginx.Access",
        share: 180,
        header: None,
        scene: (50, 120, story::NGINX_STEPS),
        noise: noise::nginx,
        story: story::nginx,
    },
    Kind {
        log_type: "Syslog.RFC3164",
        share: 70,
        header: None,
        scene: (100, 200, story::SYSLOG_STEPS),
        noise: noise::syslog,
        story: story::syslog,
    },
    Kind {
        log_type: "Zeek.DNS",
        share: 50,
        header: None,
        scene: (700, 900, story::DNS_STEPS),
        noise: noise::dns,
        story: story::dns,
    },
];

/// Step of the story at a place in a kind's sequence: `(cycle, step)`.
pub(crate) fn scene_at(kind: &Kind, n: u64) -> Option<(u64, u64)> {
    let length = CYCLE / ROUND * kind.share;
    let (cycle, at) = (n / length, n % length);
    let (from, to, steps) = (kind.scene.0 * length / 1000, kind.scene.1 * length / 1000, kind.scene.2);
    if at < from || at >= to {
        return None;
    }
    // Step k is told at `from + k * (to - from) / steps`.
    let k = ((at - from) * steps).div_ceil(to - from);
    (k < steps && from + k * (to - from) / steps == at).then_some((cycle, k))
}

/// The types of one round in order, each spread evenly, and how many of each came before every place.
pub(crate) struct Round(Vec<[u16; KINDS.len()]>);

impl Round {
    pub(crate) fn new() -> Round {
        let (mut before, mut count) = (Vec::with_capacity(ROUND as usize), [0u16; KINDS.len()]);
        for i in 0..ROUND {
            before.push(count);
            // The type that is furthest behind its share.
            let behind = |k: usize| ((i + 1) * KINDS[k].share) as i64 - count[k] as i64 * ROUND as i64;
            let next = (0..KINDS.len()).max_by_key(|&k| (behind(k), KINDS.len() - k)).unwrap_or(0);
            count[next] += 1;
        }
        Round(before)
    }
    /// How many of the first `total` events are of a kind.
    pub(crate) fn of_kind(&self, kind: usize, total: u64) -> u64 {
        total / ROUND * KINDS[kind].share + self.0[(total % ROUND) as usize][kind] as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_at_every_place() {
        assert_eq!(KINDS.iter().map(|k| k.share).sum::<u64>(), ROUND);
        let r = Round::new();
        for total in (0..3000).chain([999_999, 12_345_678]) {
            let n: Vec<u64> = (0..KINDS.len()).map(|k| r.of_kind(k, total)).collect();
            assert_eq!(n.iter().sum::<u64>(), total);
            for (k, n) in n.iter().enumerate() {
                assert!(n.abs_diff(total * KINDS[k].share / ROUND) <= 2, "{total} {k} {n}");
                assert!(*n <= r.of_kind(k, total + 1));
            }
        }
    }

    #[test]
    fn every_step_is_told_once_per_cycle() {
        let mut told = 0;
        for k in &KINDS {
            let length = CYCLE / ROUND * k.share;
            for cycle in [0, 1, 77] {
                let steps: Vec<u64> = (cycle * length..(cycle + 1) * length)
                    .filter_map(|n| scene_at(k, n))
                    .map(|(c, s)| {
                        assert_eq!(c, cycle);
                        s
                    })
                    .collect();
                assert_eq!(steps, (0..k.scene.2).collect::<Vec<_>>(), "{}", k.log_type);
            }
            told += k.scene.2;
        }
        assert!((300..=500).contains(&told), "about 2 % of {CYCLE}: {told}");
    }
}
