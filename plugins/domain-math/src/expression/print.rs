//! From a syntax tree to its canonical text: one line, single spaces, no needless parentheses. Parsing it gives the
//! same tree again.

use num_bigint::BigInt;

use super::rational::Rational;
use super::tree::{Definition, Expression, Fold, Operator};

/// How tightly an expression holds together; operands that hold less tightly stand in parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tightness {
    Expression,
    Disjunction,
    Conjunction,
    Negation,
    Comparison,
    Sum,
    Product,
    Unary,
    Power,
    Primary,
}

use Tightness as T;

/// How variables are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// As in the definition.
    Own,
    /// By their numbers.
    Numbered,
}

impl Definition {
    /// Canonical text: `f(x, y) = x^2 + y`.
    pub(crate) fn text(&self) -> String {
        self.print(Names::Own)
    }

    /// Canonical text with numbered variables: equal for definitions that differ in names only.
    pub(crate) fn shape(&self) -> String {
        self.print(Names::Numbered)
    }

    fn print(&self, names: Names) -> String {
        let mut printer = Printer { text: "f(".to_owned(), names, scope: Vec::new() };
        for (index, parameter) in self.parameters.iter().enumerate() {
            printer.text.push_str(if index == 0 { "" } else { ", " });
            printer.declare(parameter);
            printer.variable(index);
        }
        printer.text.push_str(") = ");
        printer.expression(&self.body, T::Expression);
        printer.text
    }
}

struct Printer<'a> {
    text: String,
    names: Names,
    scope: Vec<&'a str>,
}

impl<'a> Printer<'a> {
    fn declare(&mut self, name: &'a str) {
        self.scope.push(name);
    }

    fn variable(&mut self, level: usize) {
        match (self.names, self.scope.get(level)) {
            (Names::Own, Some(name)) => self.text.push_str(name),
            _ => self.text.push_str(&format!("v{level}")),
        }
    }

    /// Writes `expression`, in parentheses if it holds less tightly than `least`.
    fn expression(&mut self, expression: &'a Expression, least: T) {
        let is_loose = tightness(expression) < least;
        if is_loose {
            self.text.push('(');
        }
        match expression {
            Expression::Number(number) => self.text.push_str(&decimal(number)),
            Expression::Boolean(boolean) => self.text.push_str(&boolean.to_string()),
            Expression::Variable(level) => self.variable(*level),
            Expression::List(items) => {
                self.text.push('[');
                self.separated(items);
                self.text.push(']');
            }
            Expression::Negate(inner) => {
                self.text.push('-');
                self.expression(inner, T::Unary);
            }
            Expression::Not(inner) => {
                self.text.push_str("not ");
                self.expression(inner, T::Negation);
            }
            Expression::Binary(operator, left, right) => {
                let (left_least, space, right_least) = sides(*operator);
                self.expression(left, left_least);
                self.text.push_str(&format!("{space}{}{space}", operator.as_str()));
                self.expression(right, right_least);
            }
            Expression::Compare(first, rest) => {
                self.expression(first, T::Sum);
                for (relation, operand) in rest {
                    self.text.push_str(&format!(" {} ", relation.as_str()));
                    self.expression(operand, T::Sum);
                }
            }
            Expression::If(parts) => {
                for (keyword, part) in ["if ", " then ", " else "].into_iter().zip(parts.iter()) {
                    self.text.push_str(keyword);
                    self.expression(part, T::Expression);
                }
            }
            Expression::Call(function, arguments) => {
                self.text.push_str(function.as_str());
                self.text.push('(');
                self.separated(arguments);
                self.text.push(')');
            }
            Expression::Fold(fold, variable, parts) => self.fold(*fold, variable, parts),
        }
        if is_loose {
            self.text.push(')');
        }
    }

    fn fold(&mut self, fold: Fold, variable: &'a str, [first, last, body]: &'a [Expression; 3]) {
        self.text.push_str(fold.as_str());
        self.text.push('(');
        let level = self.scope.len();
        self.declare(variable);
        self.variable(level);
        self.scope.pop();
        for part in [first, last] {
            self.text.push_str(", ");
            self.expression(part, T::Expression);
        }
        self.text.push_str(", ");
        self.declare(variable);
        self.expression(body, T::Expression);
        self.scope.pop();
        self.text.push(')');
    }

    fn separated(&mut self, items: &'a [Expression]) {
        for (index, item) in items.iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { ", " });
            self.expression(item, T::Expression);
        }
    }
}

fn tightness(expression: &Expression) -> T {
    match expression {
        Expression::If(_) => T::Expression,
        Expression::Not(_) => T::Negation,
        Expression::Compare(..) => T::Comparison,
        Expression::Negate(_) => T::Unary,
        Expression::Binary(operator, ..) => match operator {
            Operator::Or => T::Disjunction,
            Operator::And => T::Conjunction,
            Operator::Add | Operator::Subtract => T::Sum,
            Operator::Multiply | Operator::Divide | Operator::FloorDivide | Operator::Modulo => {
                T::Product
            }
            Operator::Power => T::Power,
        },
        _ => T::Primary,
    }
}

/// What the left operand needs, what stands around the sign, what the right operand needs.
fn sides(operator: Operator) -> (T, &'static str, T) {
    match operator {
        Operator::Or => (T::Disjunction, " ", T::Conjunction),
        Operator::And => (T::Conjunction, " ", T::Negation),
        Operator::Add | Operator::Subtract => (T::Sum, " ", T::Product),
        Operator::Multiply | Operator::Divide | Operator::FloorDivide | Operator::Modulo => {
            (T::Product, " ", T::Unary)
        }
        Operator::Power => (T::Primary, "", T::Unary),
    }
}

/// A literal as it is written: every one is a decimal fraction.
fn decimal(number: &Rational) -> String {
    if number.integer().is_some() {
        return number.to_string();
    }
    // A denominator of n bits has fewer than n factors, so it divides 10^n if it divides any power of ten.
    let n_digits = (1..=number.denominator().bits() as u32)
        .find(|&n_digits| (BigInt::from(10).pow(n_digits) % number.denominator()).bits() == 0);
    let Some(n_digits) = n_digits else { return number.to_string() };
    let scaled = number.numerator() * BigInt::from(10).pow(n_digits) / number.denominator();
    let digits = format!("{scaled:0>width$}", width = n_digits as usize + 1);
    let (whole, part) = digits.split_at(digits.len() - n_digits as usize);
    format!("{whole}.{part}")
}
