//! Series of launches that come again and again, as CUDA graphs: one call of the driver in place of hundreds.
//!
//! What is compared is all that a launch consists of, so that a graph is exactly the launches it stands for, whatever
//! happened to the buffers in between.

use azr_transformer::DeviceResult;

use crate::blas::Product;
use crate::driver::{Driver, Graph, Launch};

/// Graphs that are kept: the steps of decoding for as many numbers of rows.
const MAX_KEPT: usize = 32;

/// Work for the GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Launch(Launch),
    Product(Product),
    FillZero { pointer: u64, bytes: usize },
    Copy { from: u64, to: u64, bytes: usize },
}

#[derive(Default)]
pub(crate) struct Graphs {
    /// The least recently used first.
    kept: Vec<Entry>,
    /// How often a graph was run.
    pub(crate) n_replays: u64,
}

struct Entry {
    commands: Vec<Command>,
    /// None until the commands come a second time: most series that are not repeated come once.
    graph: Option<Graph>,
}

impl Graphs {
    /// Runs `commands`, each by `run`, or all as the graph that was made of them.
    pub(crate) fn run(
        &mut self,
        driver: &Driver,
        commands: Vec<Command>,
        run: impl Fn(&Command) -> DeviceResult<()>,
    ) -> DeviceResult<()> {
        let run_all = |commands: &[Command]| commands.iter().try_for_each(&run);
        // The series that comes again is mostly the last one, and others differ in their first command.
        let Some(index) = self.kept.iter().rposition(|entry| entry.commands == commands) else {
            run_all(&commands)?;
            if self.kept.len() == MAX_KEPT {
                self.kept.remove(0);
            }
            self.kept.push(Entry { commands, graph: None });
            return Ok(());
        };
        let mut entry = self.kept.remove(index);
        if entry.graph.is_none() {
            entry.graph = Some(driver.capture(|| run_all(&entry.commands))?);
        }
        let result = entry.graph.as_ref().map_or(Ok(()), |graph| driver.replay(graph));
        self.n_replays += 1;
        self.kept.push(entry);
        result
    }
}

impl std::fmt::Debug for Graphs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graphs").field("n_kept", &self.kept.len()).finish()
    }
}
