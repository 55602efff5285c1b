//! How a quantity grows with the size.

/// The exponent `e` of the power `c * size^e` that fits the points best: the slope of a least-squares line on logarithms.
/// `None` if fewer than two points are above zero.
pub(super) fn exponent(points: impl Iterator<Item = (u64, f64)>) -> Option<f64> {
    let points: Vec<_> =
        points.filter(|(_, value)| *value > 0.0).map(|(size, value)| ((size as f64).ln(), value.ln())).collect();
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let variance: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    (points.len() > 1 && variance > 0.0).then(|| covariance / variance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_of_a_power_is_found() {
        let of = |power: i32| exponent([10, 100, 1000].into_iter().map(|size| (size, 7.0 * (size as f64).powi(power))));
        assert!((of(0).unwrap()).abs() < 1e-9);
        assert!((of(2).unwrap() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn one_point_has_no_growth() {
        assert_eq!(exponent([(10, 5.0), (100, 0.0)].into_iter()), None);
        assert_eq!(exponent([(10, 5.0), (10, 6.0)].into_iter()), None);
        assert_eq!(exponent(std::iter::empty()), None);
    }
}
