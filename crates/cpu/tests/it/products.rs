//! The products of linear layers on shapes that nobody chose.

use std::sync::LazyLock;

use azr_cpu::{Cpu, InstructionSet};
use azr_transformer::reference::Reference;
use azr_transformer::{Device, DeviceResult};
use proptest::prelude::*;

static CPUS: LazyLock<Vec<Cpu>> = LazyLock::new(|| {
    let sets = InstructionSet::available().into_iter();
    sets.filter_map(|set| Cpu::with_instruction_set(Some(2), set).ok()).collect()
});

/// A layer of a given shape with its operands and what the outputs start from.
#[derive(Debug, Clone)]
struct Layer {
    shape: (usize, usize),
    n_rows: usize,
    accumulate: bool,
    values: [Vec<f32>; 5],
}

impl Layer {
    /// The output, the gradient of the input and that of the weights.
    fn run<D: Device>(&self, device: &D) -> DeviceResult<[Vec<f32>; 3]> {
        let [x, weight, bias, y, d_weight] = &self.values;
        let (n_out, n_in) = self.shape;
        let upload = |values: &[f32]| {
            let mut buffer = device.zeros(values.len())?;
            device.write(&mut buffer, 0, values)?;
            DeviceResult::Ok(buffer)
        };
        let matrix = |values: &[f32]| {
            let mut matrix = device.matrix_zeros(n_out, n_in)?;
            device.matrix_write(&mut matrix, values)?;
            DeviceResult::Ok(matrix)
        };
        let (weight, mut d_weight) = (matrix(weight)?, matrix(d_weight)?);
        let (x, mut dx, dy, mut out) = (upload(x)?, upload(x)?, upload(y)?, upload(y)?);
        device.linear(&x, self.n_rows, &weight, Some(&upload(bias)?), &mut out)?;
        device.linear_backward_input(&dy, self.n_rows, &weight, &mut dx, self.accumulate)?;
        device.linear_backward_weight(&dy, &x, self.n_rows, &mut d_weight)?;
        let mut outputs = [
            vec![0.0; self.n_rows * n_out],
            vec![0.0; self.n_rows * n_in],
            vec![0.0; n_out * n_in],
        ];
        device.read(&out, 0, &mut outputs[0])?;
        device.read(&dx, 0, &mut outputs[1])?;
        device.matrix_read(&d_weight, &mut outputs[2])?;
        Ok(outputs)
    }
}

fn layer() -> impl Strategy<Value = Layer> {
    (1..90_usize, 1..90_usize, 1..60_usize, any::<bool>()).prop_flat_map(
        |(n_out, n_in, n_rows, accumulate)| {
            let values = |len: usize| prop::collection::vec(-1.0_f32..1.0, len);
            let values = [
                values(n_rows * n_in),
                values(n_out * n_in),
                values(n_out),
                values(n_rows * n_out),
                values(n_out * n_in),
            ];
            values.prop_map(move |values| Layer {
                shape: (n_out, n_in),
                n_rows,
                accumulate,
                values,
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn products_agree_with_the_reference(layer in layer()) {
        let wanted = layer.run(&Reference).unwrap();
        for cpu in CPUS.iter() {
            for (found, wanted) in layer.run(cpu).unwrap().iter().zip(&wanted) {
                for (found, wanted) in found.iter().zip(wanted) {
                    // Sums of fewer than 100 products of numbers below 1.
                    prop_assert!((found - wanted).abs() < 2e-5, "{}: {found} is not {wanted}", cpu.describe());
                }
            }
        }
    }
}
