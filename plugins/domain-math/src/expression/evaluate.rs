//! Exact evaluation under limits on work and on the size of numbers.
//!
//! What could take long or become large is charged for before it is done, so the limits bound time and memory whatever
//! the expression says: a step is a node of the tree, or about as much arithmetic.

use num_bigint::BigInt;
use num_traits::{One as _, ToPrimitive as _, Zero as _};

use super::functions::number;
use super::rational::Rational;
use super::tree::{Definition, Expression, Fold, Operator, Relation};
use super::value::Value;

/// Limits on one evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) steps: u64,
    /// Bits of a numerator or a denominator.
    pub(crate) bits: u64,
}

/// What an evaluation took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Work {
    pub(crate) steps: u64,
    /// Bits of the longest number, arguments included.
    pub(crate) bits: u64,
}

/// Why an expression has no value for some arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A division by zero, or an argument for which a function is not defined.
    Undefined,
    /// A boolean or a list where a number is needed, or the like.
    Type,
    /// A limit was reached.
    Limit,
}

pub(super) type Evaluated<T> = Result<T, Fault>;

impl Definition {
    /// The value for `arguments`, one for each parameter.
    pub(crate) fn evaluate(&self, arguments: &[Value], limits: Limits) -> Evaluated<(Value, Work)> {
        if arguments.len() != self.parameters.len() {
            return Err(Fault::Type);
        }
        let mut machine =
            Machine { meter: Meter { limits, work: Work::default() }, scope: arguments.to_vec() };
        for argument in arguments {
            machine.meter.hold(argument.bits())?;
        }
        let value = machine.value(&self.body)?;
        Ok((value, machine.meter.work))
    }
}

/// Counts work, and ends it.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    work: Work,
}

impl Meter {
    pub(super) fn spend(&mut self, steps: u64) -> Evaluated<()> {
        self.work.steps = self.work.steps.saturating_add(steps);
        if self.work.steps > self.limits.steps { Err(Fault::Limit) } else { Ok(()) }
    }

    /// Takes note of a number.
    pub(super) fn hold(&mut self, bits: u64) -> Evaluated<()> {
        self.work.bits = self.work.bits.max(bits);
        if self.work.bits > self.limits.bits { Err(Fault::Limit) } else { Ok(()) }
    }

    /// Charges for products or quotients of numbers of `bits`: a step each, more for long ones.
    pub(super) fn products(&mut self, count: u64, bits: u64) -> Evaluated<()> {
        self.spend(count.saturating_mul(1 + square_words(bits) / 256))
    }

    /// Charges for a greatest common divisor, a root or digits of numbers of `bits`.
    pub(super) fn reduction(&mut self, bits: u64) -> Evaluated<()> {
        self.spend(square_words(bits) / 8)
    }

    /// Charges for one operation with `operands`.
    pub(super) fn arithmetic(&mut self, operands: &[&Rational]) -> Evaluated<()> {
        let bits = operands.iter().map(|operand| operand.bits()).max().unwrap_or(0);
        self.spend(square_words(bits) / 256)?;
        match operands.iter().all(|operand| operand.integer().is_some()) {
            true => Ok(()),
            // Its terms are about twice as long before they are reduced.
            false => self.reduction(bits.saturating_mul(2)),
        }
    }
}

fn square_words(bits: u64) -> u64 {
    (bits / 64).saturating_pow(2)
}

struct Machine {
    meter: Meter,
    /// Values of the variables by their numbers.
    scope: Vec<Value>,
}

impl Machine {
    fn value(&mut self, expression: &Expression) -> Evaluated<Value> {
        self.meter.spend(1)?;
        let value = match expression {
            Expression::Number(number) => Value::Number(number.clone()),
            Expression::Boolean(boolean) => Value::Boolean(*boolean),
            Expression::Variable(level) => {
                let value = self.scope.get(*level).ok_or(Fault::Type)?;
                self.meter.spend(value.len() - 1)?;
                value.clone()
            }
            Expression::List(items) => Value::List(self.values(items)?),
            Expression::Negate(inner) => Value::Number(self.number(inner)?.negate()),
            Expression::Not(inner) => Value::Boolean(!self.boolean(inner)?),
            Expression::Binary(Operator::Or, left, right) => {
                Value::Boolean(self.boolean(left)? || self.boolean(right)?)
            }
            Expression::Binary(Operator::And, left, right) => {
                Value::Boolean(self.boolean(left)? && self.boolean(right)?)
            }
            Expression::Binary(operator, left, right) => {
                let (left, right) = (self.number(left)?, self.number(right)?);
                Value::Number(self.binary(*operator, &left, &right)?)
            }
            Expression::Compare(first, rest) => Value::Boolean(self.compare(first, rest)?),
            Expression::If(parts) => {
                let [condition, yes, no] = &**parts;
                if self.boolean(condition)? { self.value(yes)? } else { self.value(no)? }
            }
            Expression::Call(function, arguments) => {
                let arguments = self.values(arguments)?;
                function.call(&arguments, &mut self.meter)?
            }
            Expression::Fold(fold, _, parts) => Value::Number(self.fold(*fold, parts)?),
        };
        self.meter.hold(value.bits())?;
        Ok(value)
    }

    fn values(&mut self, expressions: &[Expression]) -> Evaluated<Vec<Value>> {
        expressions.iter().map(|expression| self.value(expression)).collect()
    }

    fn number(&mut self, expression: &Expression) -> Evaluated<Rational> {
        match self.value(expression)? {
            Value::Number(number) => Ok(number),
            Value::Boolean(_) | Value::List(_) => Err(Fault::Type),
        }
    }

    fn boolean(&mut self, expression: &Expression) -> Evaluated<bool> {
        match self.value(expression)? {
            Value::Boolean(boolean) => Ok(boolean),
            Value::Number(_) | Value::List(_) => Err(Fault::Type),
        }
    }

    fn integer(&mut self, expression: &Expression) -> Evaluated<BigInt> {
        self.number(expression)?.integer().cloned().ok_or(Fault::Undefined)
    }

    fn binary(
        &mut self,
        operator: Operator,
        left: &Rational,
        right: &Rational,
    ) -> Evaluated<Rational> {
        if operator == Operator::Power {
            return self.power(left, right);
        }
        self.meter.arithmetic(&[left, right])?;
        match operator {
            Operator::Add => Some(left.add(right)),
            Operator::Subtract => Some(left.subtract(right)),
            Operator::Multiply => Some(left.multiply(right)),
            Operator::Divide => {
                self.meter.reduction(left.bits().max(right.bits()))?;
                left.divide(right)
            }
            Operator::FloorDivide => left.floor_divide(right).map(Rational::from),
            Operator::Modulo => left.modulo(right),
            Operator::Or | Operator::And | Operator::Power => return Err(Fault::Type),
        }
        .ok_or(Fault::Undefined)
    }

    fn power(&mut self, base: &Rational, exponent: &Rational) -> Evaluated<Rational> {
        let exponent = exponent.integer().ok_or(Fault::Undefined)?;
        if base.bits() <= 1 {
            // 0, 1 and -1 have small powers, whatever the exponent; its parity is all that matters.
            let parity = i32::from(exponent.bit(0));
            let exponent = match (exponent.is_zero(), exponent.sign()) {
                (true, _) => 0,
                (false, num_bigint::Sign::Minus) => parity - 2,
                (false, _) => 2 - parity,
            };
            return base.power(exponent).ok_or(Fault::Undefined);
        }
        let exponent = exponent.to_i32().ok_or(Fault::Limit)?;
        let n_factors = u64::from(exponent.unsigned_abs());
        // The power has at least so many bits, and at most twice as many.
        let bits = (base.bits() - 1).saturating_mul(n_factors);
        self.meter.hold(bits)?;
        self.meter.products(1, bits)?;
        base.power(exponent).ok_or(Fault::Undefined)
    }

    fn compare(&mut self, first: &Expression, rest: &[(Relation, Expression)]) -> Evaluated<bool> {
        let mut left = self.value(first)?;
        for (relation, expression) in rest {
            let right = self.value(expression)?;
            if !self.holds(*relation, &left, &right)? {
                return Ok(false);
            }
            left = right;
        }
        Ok(true)
    }

    fn holds(&mut self, relation: Relation, left: &Value, right: &Value) -> Evaluated<bool> {
        let same_type = std::mem::discriminant(left) == std::mem::discriminant(right);
        match relation {
            _ if !same_type => return Err(Fault::Type),
            Relation::Equal => return Ok(left == right),
            Relation::Unequal => return Ok(left != right),
            _ => {}
        }
        let (left, right) = (number(left)?, number(right)?);
        self.meter.products(1, left.bits().max(right.bits()))?;
        Ok(match relation {
            Relation::Less => left < right,
            Relation::LessOrEqual => left <= right,
            Relation::Greater => left > right,
            Relation::GreaterOrEqual => left >= right,
            Relation::Equal | Relation::Unequal => false,
        })
    }

    fn fold(&mut self, fold: Fold, [first, last, body]: &[Expression; 3]) -> Evaluated<Rational> {
        let (mut at, last) = (self.integer(first)?, self.integer(last)?);
        let mut result = Rational::from(match fold {
            Fold::Sum => BigInt::zero(),
            Fold::Product => BigInt::one(),
        });
        while at <= last {
            self.scope.push(Value::Number(at.clone().into()));
            let value = self.number(body);
            self.scope.pop();
            let value = value?;
            self.meter.arithmetic(&[&result, &value])?;
            result = match fold {
                Fold::Sum => result.add(&value),
                Fold::Product => result.multiply(&value),
            };
            self.meter.hold(result.bits())?;
            at += 1;
        }
        Ok(result)
    }
}
