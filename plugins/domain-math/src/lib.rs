//! The math domain: deduction, abduction and induction over exact mathematical expressions.

mod expression;
