//! The products of linear layers on shapes that nobody chose.

use std::sync::LazyLock;

use azr_cpu::{Cpu, InstructionSet};
use azr_transformer::packing::{Rounding, pack_bf16, unpack_bf16};
use azr_transformer::quantise::{ACTIVATION_CODES, WEIGHT_CODES, quantise};
use azr_transformer::reference::Reference;
use azr_transformer::{CopyFormat, Device, DeviceResult, SampleSpec};
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

/// Rows, weights and a bias to multiply, as they are or with copies of the weights.
#[derive(Debug, Clone)]
struct CopiedLayer {
    shape: (usize, usize),
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl CopiedLayer {
    fn n_rows(&self) -> usize {
        self.x.len() / self.shape.1
    }

    /// The products of a copy in `format`, or else of the weights; then the samples and log-probs of a head of them.
    fn run(&self, cpu: &Cpu, format: Option<CopyFormat>) -> DeviceResult<[Vec<f32>; 2]> {
        let (n_out, n_in) = self.shape;
        let n_rows = self.n_rows();
        let upload = |values: &[f32]| {
            let mut buffer = cpu.zeros(values.len())?;
            cpu.write(&mut buffer, 0, values)?;
            DeviceResult::Ok(buffer)
        };
        let mut matrix = cpu.matrix_zeros(n_out, n_in)?;
        cpu.matrix_write(&mut matrix, &self.weight)?;
        let (x, bias, mut y) = (upload(&self.x)?, upload(&self.bias)?, cpu.zeros(n_rows * n_out)?);
        let specs = vec![SampleSpec { temperature: 1.0, top_p: 1.0, uniform: 0.4 }; n_rows];
        let (tokens, mut samples) = match format {
            Some(format) => {
                let mut copy = cpu.copy_zeros(n_out, n_in, format)?;
                cpu.copy_write(&mut copy, &matrix)?;
                cpu.copy_linear(&x, n_rows, &copy, Some(&bias), &mut y)?;
                cpu.copy_head_sample(&x, &copy, &specs)?
            }
            None => {
                cpu.linear(&x, n_rows, &matrix, Some(&bias), &mut y)?;
                cpu.head_sample(&x, &matrix, &specs)?
            }
        };
        samples.extend(tokens.into_iter().map(|token| token as f32));
        let mut out = vec![0.0; n_rows * n_out];
        cpu.read(&y, 0, &mut out)?;
        Ok([out, samples])
    }

    /// Int8 products in plain loops: one exact sum, then a multiplication by each scale and an addition, each rounded.
    fn by_definition(&self) -> Vec<f32> {
        let n_in = self.shape.1;
        let quantised = |values: &[f32], n_codes| {
            let mut codes = vec![0; values.len()];
            let scale = quantise(values, n_codes, &mut codes);
            (codes, scale)
        };
        let weights: Vec<_> =
            self.weight.chunks_exact(n_in).map(|row| quantised(row, WEIGHT_CODES)).collect();
        let mut out = Vec::new();
        for x in self.x.chunks_exact(n_in) {
            let (x, x_scale) = quantised(x, ACTIVATION_CODES);
            for ((codes, scale), bias) in weights.iter().zip(&self.bias) {
                let sum: i32 =
                    codes.iter().zip(&x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
                out.push(sum as f32 * x_scale * scale + bias);
            }
        }
        out
    }
}

/// Numbers of ordinary size, with zeros and rarely what is huge, tiny or not a number among them.
fn number() -> impl Strategy<Value = f32> {
    prop_oneof![
        200 => -1.0_f32..1.0,
        40 => Just(0.0),
        2 => Just(-3e4_f32),
        2 => Just(1e-40_f32),
        1 => prop_oneof![Just(1e30_f32), Just(f32::NAN), Just(f32::INFINITY)],
    ]
}

fn copied_layer() -> impl Strategy<Value = CopiedLayer> {
    (1..60_usize, 1..70_usize, 1..41_usize).prop_flat_map(|(n_out, n_in, n_rows)| {
        let row = |len| {
            prop_oneof![
                6 => prop::collection::vec(number(), len),
                1 => Just(vec![0.0; len]),
                1 => prop::collection::vec(-1e-38_f32..1e-38, len),
            ]
        };
        let rows = |n| prop::collection::vec(row(n_in), n).prop_map(|rows| rows.concat());
        let bias = prop::collection::vec(-1.0_f32..1.0, n_out);
        (rows(n_rows), rows(n_out), bias).prop_map(move |(x, weight, bias)| CopiedLayer {
            shape: (n_out, n_in),
            x,
            weight,
            bias,
        })
    })
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

/// Bits of which one NaN has as good ones as another.
fn bits(values: &[f32]) -> Vec<Option<u32>> {
    values.iter().map(|value| (!value.is_nan()).then(|| value.to_bits())).collect()
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

    #[test]
    fn int8_products_are_what_their_definition_says_to_the_bit(layer in copied_layer()) {
        let wanted = bits(&layer.by_definition());
        for cpu in CPUS.iter() {
            let [found, _] = layer.run(cpu, Some(CopyFormat::Int8)).unwrap();
            prop_assert!(bits(&found) == wanted, "{}", cpu.describe());
        }
    }

    #[test]
    fn bf16_products_are_those_of_rounded_weights_to_the_bit(layer in copied_layer()) {
        let round = |value: &f32| unpack_bf16(pack_bf16(*value, Rounding::Nearest, 0));
        let rounded = CopiedLayer { weight: layer.weight.iter().map(round).collect(), ..layer.clone() };
        for cpu in CPUS.iter() {
            let wanted = rounded.run(cpu, None).unwrap();
            let found = layer.run(cpu, Some(CopyFormat::Bf16)).unwrap();
            prop_assert!(found.map(|values| bits(&values)) == wanted.map(|values| bits(&values)), "{}", cpu.describe());
        }
    }
}
