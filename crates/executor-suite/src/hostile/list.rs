//! The files in `hostile/`, embedded.

/// A program for each named file.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../hostile/", $name, ".py")))),*]
    };
}

/// Name and text of every hostile program.
pub(super) const FILES: &[(&str, &str)] = files![
    "01_file_write",
    "03_socket",
    "04_fork_bomb",
    "05_kill_host",
    "07_subclasses_os",
    "08_infinite_loop",
    "09_memory_bomb_one",
    "10_memory_creep",
    "11_output_bomb",
    "13_recursion_bomb",
    "14_native_stack",
    "16_pickle_rce",
    "17_proc_self_mem",
    "18_sys_exit",
    "20_repr_raises",
    "21_threads_left",
    "23_huge_int",
    "25_swallow_everything",
    "26_env_secrets",
    "27_atexit_del",
    "30_eq_always_true",
    "32_shadow_repr",
    "34_print_fake",
    "36_frame_peek",
    "37_input_injection",
    "39_output_is_code",
    "40_stateful",
    "42_lax_equality",
    "44_lazy_result",
    "46_settrace_profile",
    "48_long_sleep",
    "50_disk_fill",
];
