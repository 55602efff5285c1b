//! The list of a file's trials.

/// Makes `fn trials()` for a file: its functions, each behind what it [needs](crate::Needs), as trials named
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
