//! Preconditions of operations, which a [`crate::Device`] checks before any kernel runs.

use crate::device::{AttentionSequence, AttentionShape, DeviceError, DeviceResult};

/// Fails with `message` unless `condition` holds.
///
/// # Errors
/// [`DeviceError::Failed`] with the message.
pub fn ensure(condition: bool, message: impl FnOnce() -> String) -> DeviceResult<()> {
    if condition { Ok(()) } else { Err(DeviceError::Failed(message())) }
}

/// `rows * width`.
///
/// # Errors
/// [`DeviceError::Failed`] where that overflows.
pub fn area(rows: usize, width: usize) -> DeviceResult<usize> {
    rows.checked_mul(width)
        .ok_or_else(|| DeviceError::Failed(format!("{rows} rows of {width} numbers are too many")))
}

/// Every index is below `n`.
///
/// # Errors
/// [`DeviceError::Failed`] with the first that is not.
pub fn indices(name: &str, indices: &[u32], n: usize) -> DeviceResult<()> {
    match indices.iter().find(|&&index| index as usize >= n) {
        None => Ok(()),
        Some(index) => {
            Err(DeviceError::Failed(format!("`{name}` has index {index} where there are {n}")))
        }
    }
}

/// Both are equal.
///
/// # Errors
/// [`DeviceError::Failed`] if they are not.
pub fn equal<T: PartialEq + std::fmt::Debug>(
    name: &str,
    found: T,
    expected: T,
) -> DeviceResult<()> {
    ensure(found == expected, || format!("`{name}` is {found:?}, not {expected:?}"))
}

/// Rows of queries and of keys that the sequences of an attention call reach.
///
/// # Errors
/// [`DeviceError::Failed`] for heads or sequences that make no sense.
pub fn attention(
    shape: AttentionShape,
    sequences: &[AttentionSequence],
) -> DeviceResult<(usize, usize)> {
    let AttentionShape { n_heads, n_kv_heads, head_dim } = shape;
    ensure(
        n_kv_heads > 0 && n_heads > 0 && n_heads.is_multiple_of(n_kv_heads) && head_dim > 0,
        || format!("{n_heads} heads of width {head_dim} cannot share {n_kv_heads} key-value heads"),
    )?;
    let overflow = || DeviceError::Failed("a span of rows is out of range".to_owned());
    let (mut n_key_rows, mut queries) = (0, Vec::with_capacity(sequences.len()));
    for sequence in sequences {
        ensure(sequence.n_queries <= sequence.own.len, || {
            format!(
                "a sequence has {} queries but {} own keys",
                sequence.n_queries, sequence.own.len
            )
        })?;
        for span in [sequence.prefix, sequence.own] {
            let end = span.start.checked_add(span.len).ok_or_else(overflow)?;
            n_key_rows = n_key_rows.max(if span.len > 0 { end } else { 0 });
        }
        if sequence.n_queries > 0 {
            let end = sequence.query_start.checked_add(sequence.n_queries).ok_or_else(overflow)?;
            queries.push((sequence.query_start, end));
        }
    }
    queries.sort_unstable();
    ensure(queries.windows(2).all(|pair| pair[0].1 <= pair[1].0), || {
        "two sequences of an attention call have a query row in common".to_owned()
    })?;
    Ok((queries.last().map_or(0, |(_, end)| *end), n_key_rows))
}

/// What is said of a buffer that has fewer than `rows` rows of `width` numbers.
pub fn too_short(name: &str, found: usize, rows: usize, width: usize) -> DeviceError {
    DeviceError::Failed(format!("`{name}` has {found} numbers, fewer than {rows} rows of {width}"))
}
