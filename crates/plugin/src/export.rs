//! `export!`: what turns implementations of the plain traits into a plugin.

/// Makes the enclosing crate a plugin.
///
/// ```
/// use azr_plugin::{
///     Engine, LossSpec, NoOptions, OptimizerKind, OptimizerSpec, Result, RlOptimizer, RolloutSummary, Services,
///     StepPlan,
/// };
///
/// /// Plain REINFORCE: every token's advantage is its response's reward.
/// pub struct Reinforce;
///
/// impl Engine for Reinforce {
///     const NAME: &'static str = "reinforce";
///     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
///     const SUMMARY: &'static str = "rewards as advantages";
///     type Options = NoOptions;
///
///     fn create(_options: NoOptions, _services: Services) -> Result<Self> {
///         Ok(Self)
///     }
/// }
///
/// impl RlOptimizer for Reinforce {
///     fn plan(&self, _step: u64, rollouts: &[RolloutSummary]) -> Result<StepPlan> {
///         let tokens = |value: &dyn Fn(&RolloutSummary) -> f32| {
///             rollouts.iter().map(|r| vec![value(r); r.n_tokens as usize]).collect()
///         };
///         Ok(StepPlan {
///             advantages: tokens(&|r| r.reward),
///             weights: tokens(&|r| 1.0 / (rollouts.len() as f32 * r.n_tokens as f32)),
///             loss: LossSpec::default(),
///             optimizer: OptimizerSpec {
///                 kind: OptimizerKind::Adamw,
///                 learning_rate: 1e-6, beta1: 0.9, beta2: 0.999, epsilon: 1e-8,
///                 weight_decay: 0.0, max_grad_norm: 1.0,
///             },
///             groups: Vec::new(),
///         })
///     }
/// }
///
/// azr_plugin::export! {
///     entry: azr_optimizer_reinforce,
///     optimizers: [Reinforce],
/// }
/// fn main() {
///     // What a program does that links the plugin instead of loading its file.
///     let module = azr_plugin::bridge::Module::new(plugin_module(), "reinforce");
///     assert!(module.manifest_json().contains("reinforce"));
/// }
/// ```
///
/// `entry` is the name of the exported symbol; it must be unique among all plugins, because several may be linked
/// into one program. Then come, in this order and each optional, the lists `tokenizers`, `backends`, `executors`,
/// `domains` and `optimizers` of types that implement [`Engine`](crate::Engine) and the trait of their kind.
///
/// Call it once, at the root of a crate with `crate-type = ["cdylib", "rlib"]`. It generates
/// - `plugin_module()`, through which a program that links the crate registers it as a built-in plugin,
/// - the entry symbol of the loaded plugin,
/// - the manifest that a host reads from the file before it loads it.
#[macro_export]
macro_rules! export {
    (
        entry: $entry:ident
        $(, tokenizers: [$($tokenizer:ty),* $(,)?])?
        $(, backends: [$($backend:ty),* $(,)?])?
        $(, executors: [$($executor:ty),* $(,)?])?
        $(, domains: [$($domain:ty),* $(,)?])?
        $(, optimizers: [$($optimizer:ty),* $(,)?])?
        $(,)?
    ) => {
        #[doc(hidden)]
        #[derive(Debug)]
        pub struct AzrPluginExport;

        const _: () = {
            const FACTS: $crate::__private::Facts = $crate::__private::Facts {
                id: ::core::env!("CARGO_PKG_NAME"),
                version: ::core::env!("CARGO_PKG_VERSION"),
                entry: ::core::stringify!($entry),
                unwinds: ::core::cfg!(panic = "unwind"),
                engines: &[
                    $($(($crate::EngineKind::Tokenizer, <$tokenizer as $crate::Engine>::NAME),)*)?
                    $($(($crate::EngineKind::Backend, <$backend as $crate::Engine>::NAME),)*)?
                    $($(($crate::EngineKind::Executor, <$executor as $crate::Engine>::NAME),)*)?
                    $($(($crate::EngineKind::Domain, <$domain as $crate::Engine>::NAME),)*)?
                    $($(($crate::EngineKind::Optimizer, <$optimizer as $crate::Engine>::NAME),)*)?
                ],
            };

            #[used]
            #[allow(unsafe_code, reason = "the manifest has a section of its own")]
            #[unsafe(link_section = ".azr.plugin")]
            static MANIFEST: [u8; FACTS.section_bytes()] = FACTS.section();

            impl $crate::__private::Export for AzrPluginExport {
                fn exported() -> $crate::__private::Exported {
                    $crate::__private::Exported {
                        id: FACTS.id,
                        manifest: &MANIFEST,
                        tokenizers: const { &[$($($crate::__private::tokenizer::<$tokenizer>()),*)?] },
                        backends: const { &[$($($crate::__private::backend::<$backend>()),*)?] },
                        executors: const { &[$($($crate::__private::executor::<$executor>()),*)?] },
                        domains: const { &[$($($crate::__private::domain::<$domain>()),*)?] },
                        optimizers: const { &[$($($crate::__private::optimizer::<$optimizer>()),*)?] },
                    }
                }
            }
        };

        /// The module of this plugin, for a host that links it.
        pub fn plugin_module() -> $crate::__private::PluginModuleRef {
            $crate::__private::module::<AzrPluginExport>()
        }

        /// The entry symbol of this plugin, for a host that loads it.
        #[allow(non_upper_case_globals, reason = "the symbol's name is the author's")]
        #[allow(unsafe_code, reason = "the symbol's name is unique among plugins")]
        #[unsafe(no_mangle)]
        pub static $entry: $crate::__private::LibHeader = $crate::__private::header::<AzrPluginExport>();
    };
}
