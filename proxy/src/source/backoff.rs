//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// Most of the first pause: the other replica of the control plane is there already. Spread, since all proxies lose it at once.
const FIRST: Duration = Duration::from_millis(50);
/// Most of the second; it doubles from there.
const SECOND: Duration = Duration::from_millis(100);
/// Most of any.
const LONGEST: Duration = Duration::from_secs(5);

/// Counts failures.
#[derive(Debug, Default)]
pub(super) struct Backoff(u32);

impl Backoff {
    pub(super) fn reset(&mut self) {
        self.0 = 0;
    }

    /// The next pause; `draw` is uniform in `0..1`.
    pub(super) fn next(&mut self, draw: f64) -> Duration {
        let failures = self.0;
        self.0 = failures.saturating_add(1);
        match failures.checked_sub(1) {
            None => FIRST.mul_f64(draw),
            Some(doublings) => (SECOND * 2_u32.pow(doublings.min(6))).min(LONGEST).mul_f64(0.5 + draw / 2.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_again_at_once_and_then_ever_more_rarely() {
        let mut backoff = Backoff::default();
        let most: Vec<_> = (0..9).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(most, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.next(0.0), LONGEST / 2);
        backoff.reset();
        assert!(backoff.next(0.99) < FIRST);
    }
}
