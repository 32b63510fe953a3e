//! What is made of samples.

/// The value below which `share` of the samples lie, between two of them by proportion.
pub fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = share * last as f64;
    let (low, high) = (
        sorted[place as usize],
        sorted[(place as usize + 1).min(last)],
    );
    low + (high - low) * place.fract()
}

/// The middle one.
pub fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// Where the middle half lies.
pub fn middle_half(samples: &[f64]) -> [f64; 2] {
    [quantile(samples, 0.25), quantile(samples, 0.75)]
}

/// How much less of something `ours` takes than `theirs`, sample by sample of the same rounds: the ratio of the tenth
/// percentiles, which disturbances by others do not reach, and where the middle half of the pairs' ratios lies.
pub fn ratio(theirs: &[f64], ours: &[f64]) -> (f64, [f64; 2]) {
    let low = |samples| quantile(samples, 0.1);
    let pairs: Vec<f64> = theirs.iter().zip(ours).map(|(a, b)| a / b).collect();
    (low(theirs) / low(ours), middle_half(&pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_samples() {
        let samples = [4.0, 1.0, 3.0, 2.0, 5.0];
        assert_eq!(median(&samples), 3.0);
        assert_eq!(quantile(&samples, 0.0), 1.0);
        assert_eq!(quantile(&samples, 1.0), 5.0);
        assert_eq!(quantile(&samples, 0.1), 1.4);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_ratio_says_how_much_faster_ours_is() {
        let (ratio, spread) = ratio(&[20.0, 22.0, 90.0], &[10.0, 11.0, 12.0]);
        assert!((ratio - 2.0).abs() < 0.02, "{ratio}");
        assert!(spread[0] >= 2.0 && spread[1] <= 7.5);
    }
}
