//! What calls do with what they are given.

use ruff_python_ast::{Comprehension, Expr, ExprCall};

use super::edits::{POWER, SUM, SUM_UNORDERED};
use super::lazy::{self, is_lazy};
use super::name;
use super::walk::{Checked, REFLECTION, Use, Walk, is_searched};

/// Methods of sets that take and give no order.
const SET_METHODS: [&str; 14] = [
    "add",
    "clear",
    "copy",
    "difference",
    "difference_update",
    "discard",
    "intersection",
    "intersection_update",
    "isdisjoint",
    "issubset",
    "issuperset",
    "symmetric_difference",
    "symmetric_difference_update",
    "union",
];

impl Walk<'_> {
    pub(super) fn call(&mut self, call: &ExprCall, expression: &Expr, use_: Use) -> Checked {
        for keyword in &call.arguments.keywords {
            self.expression(&keyword.value, Use::Escape)?;
        }
        let arguments = &call.arguments.args;
        match &*call.func {
            Expr::Name(function) if self.facts.is_builtin(&function.id) => {
                self.builtin(call, function.id.as_str(), expression, use_)
            }
            Expr::Name(function) => {
                let is_imported = self.facts.imported.contains(function.id.as_str());
                if is_imported {
                    self.imported(call, expression, use_)
                } else {
                    self.all(arguments, Use::Escape)
                }
            }
            Expr::Attribute(method) => {
                let is_set = self.facts.is_set(&method.value);
                match method.attr.as_str() {
                    method_name if is_set && SET_METHODS.contains(&method_name) => {
                        self.expression(&method.value, Use::Ask)?;
                        self.all(arguments, Use::Unordered)
                    }
                    "update" if is_set => {
                        for argument in arguments {
                            self.received(&method.value, argument)?;
                        }
                        self.expression(&method.value, Use::Ask)?;
                        self.all(arguments, Use::Unordered)
                    }
                    "remove" if is_set => {
                        self.expression(&method.value, Use::Ask)?;
                        self.all(arguments, Use::Escape)
                    }
                    "nan" => Err("nan"),
                    // An odd place goes to the other side.
                    "center" => Err("center"),
                    "join" | "extend" | "extendleft" | "update" | "fromkeys" => {
                        for argument in arguments {
                            self.received(&method.value, argument)?;
                        }
                        self.expression(&method.value, Use::Escape)?;
                        self.all(arguments, Use::Ordered)
                    }
                    _ => {
                        self.expression(&method.value, Use::Escape)?;
                        let is_module = name(&method.value)
                            .is_some_and(|name| self.facts.imported.contains(name));
                        if is_module {
                            self.imported(call, expression, use_)
                        } else {
                            self.all(arguments, Use::Escape)
                        }
                    }
                }
            }
            other => {
                self.expression(other, Use::Escape)?;
                self.all(arguments, Use::Escape)
            }
        }
    }

    /// A call of a function of another module. Those of `itertools` are lists in Monty.
    fn imported(&mut self, call: &ExprCall, expression: &Expr, use_: Use) -> Checked {
        if is_lazy(expression, self.facts) {
            lazy::check_use(expression, use_, self.facts)?;
            lazy::check_pure([expression], self.facts)?;
        }
        let arguments = &call.arguments.args;
        if arguments.iter().any(|argument| is_lazy(argument, self.facts)) {
            lazy::check_pure(arguments, self.facts)?;
        }
        self.all(arguments, Use::Partial)
    }

    fn builtin(
        &mut self,
        call: &ExprCall,
        function: &str,
        expression: &Expr,
        use_: Use,
    ) -> Checked {
        let arguments = &call.arguments.args;
        let all = || arguments.iter().chain(call.arguments.keywords.iter().map(|each| &each.value));
        // What is lazy meets what else happens for each element.
        if all().count() > 1 && arguments.iter().any(|argument| is_lazy(argument, self.facts)) {
            lazy::check_pure(all(), self.facts)?;
        }
        let has_key = call.arguments.keywords.iter().any(|keyword| {
            keyword.arg.as_ref().is_none_or(|name| !matches!(name.as_str(), "reverse" | "default"))
        });
        match function {
            "isinstance" => self.all(arguments.first(), Use::Ask),
            "len" | "bool" | "print" => self.all(arguments, Use::Ask),
            // What a type is called with escapes the rules for what it is.
            "type" if use_ == Use::Ask => self.all(arguments, Use::Ask),
            "type" => Err("reflection"),
            "set" | "frozenset" => self.all(arguments, Use::Unordered),
            "any" | "all" => self.all(arguments, Use::Search),
            "sorted" | "min" | "max" if arguments.len() == 1 => {
                self.all(arguments, if has_key { Use::Ordered } else { Use::Unordered })
            }
            "sum" => {
                let is_unordered = arguments.first().is_some_and(|items| self.iterates_set(items));
                self.replace_name(&call.func, if is_unordered { SUM_UNORDERED } else { SUM });
                self.all(arguments, if is_unordered { Use::Unordered } else { Use::Ordered })
            }
            // What is made of a set only to be sorted or counted.
            "list" | "tuple" if is_searched(use_) => self.all(arguments, use_),
            "list" | "tuple" | "dict" | "bytes" => self.all(arguments, Use::Ordered),
            // An iterator that is kept can be used twice, or while what it reads is changed.
            "iter" => match use_ {
                Use::Next => self.all(arguments, Use::Partial),
                _ => Err("lazy iterator"),
            },
            "next" => {
                self.all(arguments.first(), Use::Next)?;
                self.all(arguments.iter().skip(1), Use::Escape)
            }
            "map" | "filter" | "zip" | "enumerate" | "reversed" => {
                lazy::check_use(expression, use_, self.facts)?;
                let passes_on = matches!(function, "map" | "filter");
                let iterated = match use_ {
                    Use::Unordered | Use::Search if passes_on => use_,
                    Use::Ordered if function != "zip" => Use::Ordered,
                    _ => Use::Partial,
                };
                let skipped = usize::from(passes_on);
                if passes_on && arguments.iter().skip(1).any(|items| self.iterates_set(items)) {
                    let check =
                        if iterated == Use::Search { lazy::check_total } else { lazy::check_all };
                    let functions: Vec<&Expr> = arguments.first().into_iter().collect();
                    check(&functions, self.facts).map_err(|_| "set order")?;
                }
                self.all(arguments.iter().take(skipped), Use::Escape)?;
                self.all(arguments.iter().skip(skipped), iterated)
            }
            "pow" if arguments.len() == 2 && call.arguments.keywords.is_empty() => {
                self.replace_name(&call.func, POWER);
                self.all(arguments, Use::Escape)
            }
            "pow" => self.all(arguments, Use::Escape),
            "round" if arguments.len() == 1 && call.arguments.keywords.is_empty() => {
                self.all(arguments, Use::Escape)
            }
            "round" | "divmod" | "chr" => {
                self.value_name(function, &call.func)?;
                self.all(arguments, Use::Escape)
            }
            _ if REFLECTION.contains(&function) => Err("reflection"),
            _ => self.all(arguments, Use::Escape),
        }
    }

    /// Whether the elements come out of a set.
    pub(super) fn iterates_set(&self, items: &Expr) -> bool {
        let parts =
            |parts: &[Comprehension]| parts.iter().any(|part| self.iterates_set(&part.iter));
        match items {
            Expr::ListComp(each) => parts(&each.generators),
            Expr::Generator(each) => parts(&each.generators),
            Expr::Call(call)
                if matches!(name(&call.func), Some("map" | "filter" | "list" | "tuple")) =>
            {
                call.arguments.args.iter().any(|argument| self.iterates_set(argument))
            }
            other => self.facts.is_set(other),
        }
    }
}
