//! The list of a file's trials.

/// Makes `fn trials()` for a file: its functions, each listed after what it [needs](crate::Needs), as trials named
/// `prefix::function`.
macro_rules! trials {
    ($prefix:literal $($needs:ident: $($function:ident),* ;)*) => {
        pub(crate) fn trials() -> Vec<$crate::Trial> {
            vec![$($($crate::Trial::new(
                concat!($prefix, "::", stringify!($function)), $crate::Needs::$needs, $function
            )),*),*]
        }
    };
}

/// As `trials!`, for trials of the driver contract: each is listed after the number of the rule that it checks, as in the
/// documentation of `tooz_core::driver`. None needs anything.
macro_rules! rule_trials {
    ($($rule:ident: $($function:ident),* ;)*) => {
        pub(crate) fn trials() -> Vec<$crate::Trial> {
            vec![$($($crate::Trial::new(
                concat!("driver::", stringify!($function)), $crate::Needs::NOTHING, $function
            ).of_rule(stringify!($rule))),*),*]
        }
    };
}
