//! Tests that are a run each.

/// The runs that both faces go through.
macro_rules! runs {
    ($($name:ident: $threads:literal $with:literal [$($var:literal = $value:literal)*];)*) => {
        $(
            #[test]
            fn $name() {
                let _ = $crate::parent::run($threads, $with, &[$(($var, $value)),*]);
            }
        )*
    };
}
pub(crate) use runs;
