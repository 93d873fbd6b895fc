//! The rows that operations work on.

use azr_transformer::DeviceResult;
use azr_transformer::checks::{area, too_short};

/// The first `rows` rows of `width` numbers.
pub(crate) fn first<'a>(
    name: &str,
    values: &'a [f32],
    rows: usize,
    width: usize,
) -> DeviceResult<&'a [f32]> {
    let len = area(rows, width)?;
    values.get(..len).ok_or_else(|| too_short(name, values.len(), rows, width))
}

/// As [`first`], mutable.
pub(crate) fn first_mut<'a>(
    name: &str,
    values: &'a mut [f32],
    rows: usize,
    width: usize,
) -> DeviceResult<&'a mut [f32]> {
    let (len, found) = (area(rows, width)?, values.len());
    values.get_mut(..len).ok_or_else(|| too_short(name, found, rows, width))
}
