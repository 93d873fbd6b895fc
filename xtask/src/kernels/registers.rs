//! `cargo xtask kernels check`: what ptxas says of kernels, held against the committed table of their registers. More
//! registers are fewer blocks at once, and what is spilled goes through memory: neither shows in a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result, bail, ensure};

use super::build::Usages;
use super::recipe::ARCHITECTURES;

/// What a kernel takes on one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) kernel: String,
    /// As in [`ARCHITECTURES`].
    pub(super) architecture: String,
    /// Registers of a thread.
    pub(super) registers: u32,
    /// Bytes of a thread that are stored and loaded for want of registers.
    pub(super) spilled: u32,
    /// Bytes of a thread in local memory, those spilled among them.
    pub(super) stack: u32,
    /// Static shared memory of a block, in bytes.
    pub(super) shared: u32,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, architecture, registers, spilled, stack, shared } = self;
        write!(f, "{kernel} {architecture} {registers} {spilled} {stack} {shared}")
    }
}

/// The usages that [`Usage`] has displayed, one a line.
pub(super) fn from_report(text: &str) -> Result<Vec<Usage>> {
    text.lines()
        .map(|line| {
            let parts: Vec<_> = line.split(' ').collect();
            let [kernel, architecture, numbers @ ..] = &parts[..] else {
                bail!("`{line}` is no line of a report")
            };
            let numbers =
                numbers.iter().map(|number| number.parse()).collect::<Result<Vec<u32>, _>>();
            let Ok([registers, spilled, stack, shared]) = numbers.as_deref() else {
                bail!("`{line}` is no line of a report")
            };
            Ok(Usage {
                kernel: (*kernel).to_owned(),
                architecture: (*architecture).to_owned(),
                registers: *registers,
                spilled: *spilled,
                stack: *stack,
                shared: *shared,
            })
        })
        .collect()
}

/// The usages in what `ptxas -v` says. Functions that are called and not inlined follow their kernel, and what they
/// spill is the kernel's.
pub(super) fn from_ptxas(text: &str) -> Result<Vec<Usage>> {
    let mut usages: Vec<Usage> = Vec::new();
    for line in text.lines() {
        if let Some(entry) = line.split("Compiling entry function ").nth(1) {
            let names: Vec<_> = entry.split('\'').collect();
            let [_, kernel, _, architecture, ..] = names[..] else {
                bail!("`{line}` names no kernel and architecture")
            };
            let architecture =
                architecture.strip_prefix("sm_").context("an architecture is an `sm_…`")?;
            usages.push(Usage {
                kernel: kernel.to_owned(),
                architecture: architecture.to_owned(),
                registers: 0,
                spilled: 0,
                stack: 0,
                shared: 0,
            });
        } else if let Some(usage) = usages.last_mut() {
            usage.stack = usage.stack.max(before(line, " bytes stack frame").unwrap_or(0));
            usage.spilled += before(line, " bytes spill stores").unwrap_or(0);
            usage.spilled += before(line, " bytes spill loads").unwrap_or(0);
            usage.registers = before(line, " registers").unwrap_or(usage.registers);
            usage.shared = before(line, " bytes smem").unwrap_or(usage.shared);
        }
    }
    for usage in &usages {
        ensure!(usage.registers > 0, "it does not tell the registers of `{}`", usage.kernel);
    }
    ensure!(!usages.is_empty(), "it names no kernel");
    Ok(usages)
}

/// The number before `unit` in a line.
fn before(line: &str, unit: &str) -> Option<u32> {
    let (before, _) = line.split_once(unit)?;
    before.rsplit(' ').next()?.parse().ok()
}

/// Registers by kernel, in the order of [`ARCHITECTURES`].
pub(super) type Table = BTreeMap<String, Vec<u32>>;

/// The first line of the table.
fn heading() -> String {
    format!("kernel{}", ARCHITECTURES.map(|name| format!(" sm_{name}")).concat())
}

/// Reads the committed table.
pub(super) fn parse(text: &str) -> Result<Table> {
    let mut lines = text.lines();
    let wanted = heading();
    ensure!(lines.next() == Some(wanted.as_str()), "its first line is not `{wanted}`");
    let mut table = Table::new();
    let mut last = "";
    for line in lines {
        let (kernel, numbers) = line.split_once(' ').unwrap_or((line, ""));
        let registers = numbers.split(' ').map(str::parse).collect::<Result<Vec<u32>, _>>();
        let registers = registers.ok().filter(|registers| registers.len() == ARCHITECTURES.len());
        let registers = registers.with_context(|| {
            format!("`{line}` is not a kernel and {} numbers", ARCHITECTURES.len())
        })?;
        ensure!(last < kernel, "`{kernel}` does not come after `{last}` in alphabetical order");
        last = kernel;
        table.insert(kernel.to_owned(), registers);
    }
    Ok(table)
}

/// The table as it is committed.
pub(super) fn display(table: &Table) -> String {
    let mut text = heading() + "\n";
    for (kernel, registers) in table {
        let numbers: String = registers.iter().map(|number| format!(" {number}")).collect();
        text += &format!("{kernel}{numbers}\n");
    }
    text
}

/// The table that these usages would have.
pub(super) fn tabulate(usages: &Usages) -> Result<Table> {
    let mut table = Table::new();
    let mut files: BTreeMap<&str, &str> = BTreeMap::new();
    for (file, usages) in usages {
        let kernels: BTreeSet<_> = usages.iter().map(|usage| &usage.kernel).collect();
        for kernel in kernels {
            if let Some(other) = files.insert(kernel, file) {
                bail!("`{kernel}` is a kernel of {other}.cu and of {file}.cu; rename one of them");
            }
            let of = |name: &&str| {
                let mut usages = usages.iter();
                usages.find(|usage| usage.kernel == *kernel && usage.architecture == **name)
            };
            let registers = ARCHITECTURES.iter().map(|name| of(name).map(|usage| usage.registers));
            let registers: Option<Vec<_>> = registers.collect();
            let registers = registers
                .with_context(|| format!("`{kernel}` is not compiled for every architecture"))?;
            table.insert(kernel.clone(), registers);
        }
    }
    Ok(table)
}

/// What is spilled, a line for each kernel and architecture.
pub(super) fn spills(usages: &Usages) -> Vec<String> {
    let of_file = |(file, usages): (&String, &Vec<Usage>)| {
        let bad = usages.iter().filter(|usage| usage.spilled > 0 || usage.stack > 0);
        bad.map(|usage| {
            let Usage { kernel, architecture, spilled, stack, .. } = usage;
            format!(
                "{file}.cu: `{kernel}` spills {spilled} bytes and has a stack frame of {stack} on sm_{architecture}: \
                 take registers back, address arrays by constants, or ask for fewer blocks in __launch_bounds__"
            )
        })
        .collect::<Vec<_>>()
    };
    usages.iter().flat_map(of_file).collect()
}

/// Where `found` is worse than the committed table or another set of kernels, a line for each; each names the way out.
pub(super) fn differences(found: &Table, committed: &Table) -> Vec<String> {
    const UPDATE: &str = "`cargo xtask kernels check --update`";
    let mut lines = Vec::new();
    for (kernel, registers) in found {
        let Some(limits) = committed.get(kernel) else {
            lines.push(format!("`{kernel}` is not in the table: {UPDATE} adds it"));
            continue;
        };
        for ((name, limit), registers) in ARCHITECTURES.iter().zip(limits).zip(registers) {
            if registers > limit {
                lines.push(format!(
                    "`{kernel}` takes {registers} registers on sm_{name}, and the table allows {limit}: take some \
                     back, or let {UPDATE} allow them"
                ));
            }
        }
    }
    for kernel in committed.keys().filter(|kernel| !found.contains_key(*kernel)) {
        lines.push(format!("`{kernel}` is in the table and no kernel: {UPDATE} removes it"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'sum' for 'sm_80'
ptxas info    : Function properties for sum
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 2048 bytes smem, 376 bytes cmem[0]
ptxas info    : Compile time = 11.032 ms
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'sum' for 'sm_90a'
ptxas info    : Function properties for sum
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers, 8 bytes cumulative stack size
ptxas info    : Function properties for called
    40 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
";

    fn usage(kernel: &str, architecture: &str, numbers: [u32; 4]) -> Usage {
        let [registers, spilled, stack, shared] = numbers;
        let (kernel, architecture) = (kernel.to_owned(), architecture.to_owned());
        Usage { kernel, architecture, registers, spilled, stack, shared }
    }

    fn on_all(kernel: &str, registers: u32) -> Vec<Usage> {
        ARCHITECTURES.map(|name| usage(kernel, name, [registers, 0, 0, 0])).to_vec()
    }

    #[test]
    fn ptxas_tells_what_a_kernel_and_its_functions_take() {
        let wanted = [usage("sum", "80", [32, 0, 0, 2048]), usage("sum", "90a", [40, 16, 40, 0])];
        assert_eq!(from_ptxas(LOG).unwrap(), wanted);
        let report: String = wanted.iter().map(|usage| format!("{usage}\n")).collect();
        assert_eq!(from_report(&report).unwrap(), wanted);
    }

    #[test]
    fn a_log_without_kernels_or_registers_is_refused() {
        let without = LOG.replace("Used 40 registers", "Used some");
        assert!(from_ptxas(&without).unwrap_err().to_string().contains("registers of `sum`"));
        assert!(from_ptxas("ptxas info    : 0 bytes gmem\n").is_err());
        assert!(from_report("sum 80 1 2 3\n").is_err());
        assert!(from_report("sum 80 1 2 3 x\n").is_err());
    }

    #[test]
    fn spills_and_stack_frames_are_found() {
        let usages = Usages::from([("sums".to_owned(), from_ptxas(LOG).unwrap())]);
        let found = spills(&usages);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with(
                "sums.cu: `sum` spills 16 bytes and has a stack frame of 40 on sm_90a"
            )
        );
    }

    #[test]
    fn the_table_is_read_as_it_is_written() {
        let table =
            Table::from([("a".to_owned(), vec![1, 2, 3, 4]), ("b_c".to_owned(), vec![5; 4])]);
        let text = display(&table);
        assert_eq!(text, "kernel sm_80 sm_90a sm_100a sm_120\na 1 2 3 4\nb_c 5 5 5 5\n");
        assert_eq!(parse(&text).unwrap(), table);
        for bad in ["b 1 2 3\n", "b 1 2 3 4 5\n", "b\n", "b 1 2 3 x\n", "b 1 2 3 4\na 1 2 3 4\n"] {
            assert!(parse(&(heading() + "\n" + bad)).is_err(), "{bad:?}");
        }
        assert!(parse("kernel sm_80\n").is_err());
    }

    #[test]
    fn more_registers_and_other_kernels_are_differences() {
        let usages = Usages::from([("f".to_owned(), [on_all("a", 10), on_all("b", 20)].concat())]);
        let found = tabulate(&usages).unwrap();
        assert_eq!(differences(&found, &found), Vec::<String>::new());
        let mut committed = found.clone();
        committed.insert("a".to_owned(), vec![11, 10, 9, 10]);
        committed.remove("b");
        committed.insert("c".to_owned(), vec![1; 4]);
        let lines = differences(&found, &committed);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains("`a` takes 10 registers on sm_100a, and the table allows 9"));
        assert!(lines[1].contains("`b` is not in the table"));
        assert!(lines[2].contains("`c` is in the table and no kernel"));
    }

    #[test]
    fn names_are_unique_and_architectures_complete() {
        let twice =
            Usages::from([("f".to_owned(), on_all("a", 1)), ("g".to_owned(), on_all("a", 1))]);
        assert!(tabulate(&twice).unwrap_err().to_string().contains("f.cu and of g.cu"));
        let partly = Usages::from([("f".to_owned(), on_all("a", 1)[1..].to_vec())]);
        assert!(tabulate(&partly).is_err());
    }
}
