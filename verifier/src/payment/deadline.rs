//! When tabs end.

/// Longest tab this side asks for.
const TAB_SECS_MAX: u64 = 3600;
/// Kept below the limits, so that clocks that differ a little do not make a tab too long.
const SKEW_SECS: u64 = 60;
/// How many moments at which tabs end there are in the time of the longest tab.
const ENDS_PER_TAB: u64 = 8;

/// When a tab that is opened now ends: one of a few moments that all wallets of a node share. The log shows it to everybody; to the
/// second it would tell this machine's clock from others', and when a spend was prepared, and so what was prepared together. And a proof
/// that is made ahead of time would be good for one second only.
/// `now` in Unix seconds, `allowed` the seconds that node and ledger allow a tab at most.
pub(super) fn tab_end(now: u64, allowed: u64) -> u64 {
    let longest = allowed.min(TAB_SECS_MAX);
    shared_end(latest_end(now, longest), longest)
}

/// In how many seconds [`tab_end`] is another moment.
pub(super) fn secs_to_next_end(now: u64, allowed: u64) -> u64 {
    let longest = allowed.min(TAB_SECS_MAX);
    let step = longest / ENDS_PER_TAB;
    step.saturating_sub(latest_end(now, longest).checked_rem(step).unwrap_or(0))
}

/// The last moment before `latest` at which spends end that may last for `longest` seconds.
pub(crate) fn shared_end(latest: u64, longest: u64) -> u64 {
    latest.saturating_sub(latest.checked_rem(longest / ENDS_PER_TAB).unwrap_or(0))
}

const fn latest_end(now: u64, longest: u64) -> u64 {
    let skew = if SKEW_SECS < longest / 4 { SKEW_SECS } else { longest / 4 };
    now.saturating_add(longest.saturating_sub(skew))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const NOW: u64 = 1_800_000_123;

    #[test]
    fn tabs_of_all_wallets_end_at_a_few_moments() {
        for (allowed, moments) in [(3600, 450), (86_400, 450), (600, 75), (60, 7)] {
            let ends: BTreeSet<u64> = (NOW..NOW + 10 * moments).map(|now| tab_end(now, allowed)).collect();
            assert!((10..=11).contains(&ends.len()), "{allowed}: {ends:?}");
            assert!(ends.iter().all(|end| end % moments == 0), "{allowed}: {ends:?}");
        }
    }

    #[test]
    fn tabs_are_as_long_as_is_allowed_or_little_less() {
        for allowed in 1..5000 {
            for now in (NOW..NOW + 500).step_by(7) {
                let end = tab_end(now, allowed);
                let longest = allowed.min(TAB_SECS_MAX);
                assert!(end <= now + longest, "{allowed}");
                assert!(end >= now + longest / 2, "{allowed}: {}", end - now);
            }
        }
        for now in NOW..NOW + 1000 {
            let (end, next) = (tab_end(now, 3600), now + secs_to_next_end(now, 3600));
            assert_eq!((tab_end(next - 1, 3600), tab_end(next, 3600)), (end, end + 450));
        }
        assert_eq!(secs_to_next_end(NOW, 0), 0);
        assert_eq!(tab_end(NOW, 0), NOW, "no time is no tab");
        assert_eq!(tab_end(u64::MAX, 3600), u64::MAX / 450 * 450, "no clock overflows it");
    }
}
