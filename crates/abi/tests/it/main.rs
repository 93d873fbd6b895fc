//! What a compiler made of every type that crosses the boundary. A change here is a change of the ABI: within a major
//! version only what `lib.rs` allows may be added (`docs/plugin-abi.md`).

#![cfg(target_pointer_width = "64")]
#![expect(clippy::unwrap_used, reason = "helpers are test code outside of test functions")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use azr_abi::abi_stable::StableAbi;
use azr_abi::abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use azr_abi::abi_stable::type_layout::{TLData, TLFields, TypeLayout};
use azr_abi::{CallContextApi_TO, CompletionSinkApi_TO, PluginModuleRef};

/// The types of this crate that a plugin and a host exchange, by name.
fn types() -> BTreeMap<String, &'static TypeLayout> {
    let mut pending = vec![<PluginModuleRef as StableAbi>::LAYOUT];
    let (mut seen, mut found) = (BTreeSet::new(), BTreeMap::new());
    while let Some(layout) = pending.pop() {
        // By what the compiler knows: the name of a generic type leaves out its parameters.
        if !seen.insert(format!("{:?}", layout.get_utypeid())) {
            continue;
        }
        pending.extend(layout.shared_vars().type_layouts().iter().map(|layout| layout()));
        if layout.package().as_str() == "azr-abi" {
            // Tables of methods have one name in all modules that the macro makes.
            let module = layout.mod_path().to_string();
            let module = module.rsplit("::").next().unwrap_or_default().to_owned();
            found.insert(format!("{module} {}", layout.full_type()), layout);
        }
    }
    found
}

fn describe(layout: &TypeLayout) -> String {
    let mut text = format!("{} bytes, aligned to {}", layout.size(), layout.alignment());
    match layout.data() {
        TLData::Struct { fields } => {
            text.push('\n');
            write_fields(&mut text, fields, usize::MAX);
        }
        TLData::PrefixType(prefix) => {
            text.push('\n');
            write_fields(&mut text, prefix.fields, usize::from(prefix.first_suffix_field));
        }
        _ => writeln!(text, "\n  {:?}", layout.data_discriminant()).unwrap(),
    }
    text
}

/// One field a line: offset as `repr(C)` gives it, name, type. Fields from number `first_suffix` on were added later.
fn write_fields(text: &mut String, fields: TLFields, first_suffix: usize) {
    let mut offset = 0_usize;
    for (index, field) in fields.iter().enumerate() {
        let layout = field.layout();
        offset = offset.next_multiple_of(layout.alignment());
        let function = field.function_range().iter().next();
        let type_text =
            function.map_or_else(|| field.full_type().to_string(), |function| function.to_string());
        let later = if index >= first_suffix { " (added)" } else { "" };
        let type_text = type_text.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(text, "  {offset:>4} {}: {type_text}{later}", field.name()).unwrap();
        offset += layout.size();
    }
}

#[test]
fn layouts_are_as_published() {
    let mut text = String::new();
    for (name, layout) in types() {
        write!(text, "{name}: {}", describe(layout)).unwrap();
    }
    insta::assert_snapshot!("layout", text);
}

#[test]
fn the_snapshot_reaches_everything() {
    let names: Vec<String> = types().into_keys().collect();
    let has = |wanted: &str| names.iter().any(|name| name.contains(wanted));
    for wanted in [
        "PluginModule",
        "Services",
        "EngineInfo",
        "AbiError",
        "TokenizerApi_TO",
        "BackendApi_TO",
        "PolicyApi_TO",
        "ExecutorApi_TO",
        "ExecutorSourceApi_TO",
        "DomainApi_TO",
        "OptimizerApi_TO",
        "CallContextApi_TO",
        "CompletionSinkApi_TO",
        "KnownAnswers",
        "UpdateReport",
        "StepPlan",
        "Outcome",
        "Protection",
        "Code",
    ] {
        assert!(has(wanted), "{wanted} is not in {names:#?}");
    }
}

#[test]
fn a_layout_fits_itself_and_no_other() {
    let module = <PluginModuleRef as StableAbi>::LAYOUT;
    assert!(check_layout_compatibility(module, module).is_ok());
    type Context = CallContextApi_TO<'static, azr_abi::abi_stable::std_types::RBox<()>>;
    type Sink = CompletionSinkApi_TO<'static, azr_abi::abi_stable::std_types::RBox<()>>;
    let (context, sink) = (<Context as StableAbi>::LAYOUT, <Sink as StableAbi>::LAYOUT);
    assert!(check_layout_compatibility(context, sink).is_err());
}
