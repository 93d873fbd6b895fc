//! Every operation gives the same bits with any number of threads, and with AVX2 as with AVX-512; products with int8
//! weights do so with every instruction set.

use azr_cpu::{Cpu, InstructionSet};
use azr_plugin::{LossSpec, Ratio};
use azr_transformer::{
    AdamStep, AdamTensor, AttentionSequence, AttentionShape, CopyFormat, Device, DeviceResult,
    KeySpan, Moment, SampleSpec, StatePrecision, Tensor, TensorMut, TokenTargets,
};

/// Numbers in [-1, 1) that differ from each other.
fn values(seed: usize, len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| (((i + seed * 7919) * 2_654_435_761) % 20_011) as f32 / 10_005.5 - 1.0)
        .collect()
}

/// A layer's worth of every operation, large enough to be split; the bits of all results.
fn results(cpu: &Cpu) -> DeviceResult<Vec<u32>> {
    const ROWS: usize = 150;
    const WIDTH: usize = 96;
    const HIDDEN: usize = 330;
    let buffer = |seed: usize, len: usize| {
        let mut buffer = cpu.zeros(len)?;
        cpu.write(&mut buffer, 0, &values(seed, len))?;
        DeviceResult::Ok(buffer)
    };
    let matrix = |seed: usize, n_out: usize, n_in: usize| {
        let mut matrix = cpu.matrix_zeros(n_out, n_in)?;
        cpu.matrix_write(&mut matrix, &values(seed, n_out * n_in))?;
        DeviceResult::Ok(matrix)
    };
    let mut buffers = Vec::new();
    let mut matrices = Vec::new();
    let mut numbers = Vec::new();

    let (x, dy, weight) =
        (buffer(1, ROWS * WIDTH)?, buffer(2, ROWS * HIDDEN)?, matrix(3, HIDDEN, WIDTH)?);
    let (mut y, mut dx) = (buffer(4, ROWS * HIDDEN)?, buffer(5, ROWS * WIDTH)?);
    let mut d_weight = matrix(6, HIDDEN, WIDTH)?;
    cpu.linear(&x, ROWS, &weight, Some(&buffer(7, HIDDEN)?), &mut y)?;
    cpu.linear_backward_input(&dy, ROWS, &weight, &mut dx, true)?;
    cpu.linear_backward_weight(&dy, &x, ROWS, &mut d_weight)?;
    let mut d_bias = buffer(8, HIDDEN)?;
    cpu.bias_backward(&dy, ROWS, &mut d_bias)?;

    let gain = buffer(9, WIDTH)?;
    let (mut normal, mut inv_rms, mut d_gain) =
        (buffer(10, ROWS * WIDTH)?, buffer(11, ROWS)?, buffer(12, WIDTH)?);
    cpu.rms_norm(&x, ROWS, &gain, 1e-5, &mut normal, &mut inv_rms)?;
    cpu.rms_norm_backward(&x, ROWS, &gain, &inv_rms, &normal, &mut dx, &mut d_gain)?;
    let positions: Vec<u32> = (0..ROWS as u32).collect();
    cpu.rope(&mut normal, 6, 16, &positions, 1e4, false)?;
    let (mut out, mut d_gate, mut d_up) =
        (buffer(13, 40_000)?, buffer(14, 40_000)?, buffer(15, 40_000)?);
    cpu.swiglu(&dy, &y, 40_000, &mut out)?;
    cpu.swiglu_backward(&dy, &y, &out, 40_000, &mut d_gate, &mut d_up)?;

    let shape = AttentionShape { n_heads: 6, n_kv_heads: 2, head_dim: 16 };
    let sequence = |query_start, n_queries, prefix, own| AttentionSequence {
        query_start,
        n_queries,
        prefix,
        own,
    };
    let prefix = KeySpan { start: 0, len: 60 };
    let sequences = [
        sequence(0, 60, KeySpan::default(), prefix),
        sequence(60, 40, prefix, KeySpan { start: 60, len: 40 }),
        sequence(100, 1, prefix, KeySpan { start: 100, len: 5 }),
        sequence(101, 45, prefix, KeySpan { start: 105, len: 45 }),
    ];
    let (k, v) = (buffer(16, ROWS * 32)?, buffer(17, ROWS * 32)?);
    let (mut attended, mut lse) = (buffer(18, ROWS * WIDTH)?, buffer(19, ROWS * 6)?);
    cpu.attention(shape, &sequences, &x, &k, &v, &mut attended, &mut lse)?;
    let (mut dq, mut dk, mut dv) =
        (buffer(20, ROWS * WIDTH)?, buffer(21, ROWS * 32)?, buffer(22, ROWS * 32)?);
    cpu.attention_backward(
        shape, &sequences, &x, &k, &v, &attended, &lse, &normal, &mut dq, &mut dk, &mut dv,
    )?;

    let (head, mut d_head) = (matrix(23, 1500, WIDTH)?, matrix(24, 1500, WIDTH)?);
    let targets: Vec<u32> = (0..ROWS as u32).map(|i| i * 7 % 1500).collect();
    let (behaviour, advantages, weights) = (vec![-7.0; ROWS], values(25, ROWS), values(26, ROWS));
    let tokens = TokenTargets {
        targets: &targets,
        behaviour_logprobs: &behaviour,
        advantages: &advantages,
        weights: &weights,
    };
    let loss = LossSpec {
        ratio: Ratio::Token,
        clip_low: 0.2,
        clip_high: 0.2,
        dual_clip: Some(3.0),
        entropy_coef: 0.1,
        kl_coef: 0.0,
        temperature: 0.7,
    };
    let mut d_normal = buffer(27, ROWS * WIDTH)?;
    let scores = cpu.head_loss(&normal, &head, tokens, &loss, &mut d_normal, Some(&mut d_head))?;
    numbers.extend(scores.logprobs.into_iter().chain(scores.entropies));
    let specs: Vec<SampleSpec> = values(28, ROWS)
        .iter()
        .map(|value| SampleSpec {
            temperature: 1.0,
            top_p: if *value < 0.0 { 0.8 } else { 1.0 },
            uniform: value.abs(),
        })
        .collect();
    let (ids, logprobs) = cpu.head_sample(&normal, &head, &specs)?;
    numbers.extend(ids.into_iter().map(|id| id as f32).chain(logprobs));

    let mut table = matrix(29, 1500, WIDTH)?;
    cpu.embed_backward(&x, &targets, &mut table)?;
    let step = AdamStep {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        grad_scale: 0.3,
        t: 2,
    };
    for precision in [StatePrecision::F32, StatePrecision::Bf16, StatePrecision::Int8] {
        let mut m = cpu.matrix_state(&table, precision, Moment::First)?;
        let mut second = cpu.matrix_state(&table, precision, Moment::Second)?;
        for t in [1, 2] {
            let step = AdamStep { t, ..step };
            let tensor = AdamTensor {
                p: TensorMut::Matrix(&mut table),
                g: Tensor::Matrix(&d_head),
                m: &mut m,
                v: &mut second,
                weight_decay: 0.1,
                rounding_key: 5,
            };
            cpu.adamw(vec![tensor], step)?;
        }
        for state in [m, second] {
            let mut values = cpu.matrix_zeros(1500, WIDTH)?;
            cpu.matrix_state_read(&state, &mut values)?;
            matrices.push(values);
        }
    }
    let sums =
        [cpu.sum_squares(&[Tensor::Matrix(&d_head)])?, cpu.sum_squares(&[Tensor::Vector(&out)])?];
    matrices.extend([d_weight, d_head, table]);
    buffers.extend([
        y, dx, d_bias, normal, inv_rms, d_gain, out, d_gate, d_up, attended, lse, dq, dk, dv,
        d_normal,
    ]);

    let mut bits: Vec<u32> = numbers.into_iter().map(f32::to_bits).collect();
    bits.extend(sums.iter().flat_map(|sum| [(sum.to_bits() >> 32) as u32, sum.to_bits() as u32]));
    for buffer in &buffers {
        let mut values = vec![0.0; cpu.len(buffer)];
        cpu.read(buffer, 0, &mut values)?;
        bits.extend(values.into_iter().map(f32::to_bits));
    }
    for matrix in &matrices {
        let (n_out, n_in) = cpu.matrix_shape(matrix);
        let mut values = vec![0.0; n_out * n_in];
        cpu.matrix_read(matrix, &mut values)?;
        bits.extend(values.into_iter().map(f32::to_bits));
    }
    Ok(bits)
}

/// Values of copies and products with them, of odd sizes, which are split, summed in parts and left with half a pair.
fn copy_results(cpu: &Cpu, format: CopyFormat) -> DeviceResult<Vec<u32>> {
    let mut bits = Vec::new();
    for (n_out, n_in, rows) in [(330, 97, 150), (1500, 96, 1), (75, 9001, 20)] {
        let buffer = |seed: usize, len: usize| {
            let mut buffer = cpu.zeros(len)?;
            cpu.write(&mut buffer, 0, &values(seed, len))?;
            DeviceResult::Ok(buffer)
        };
        let mut matrix = cpu.matrix_zeros(n_out, n_in)?;
        cpu.matrix_write(&mut matrix, &values(3, n_out * n_in))?;
        let mut copy = cpu.copy_zeros(n_out, n_in, format)?;
        cpu.copy_write(&mut copy, &matrix)?;
        let mut of_copy = vec![0.0; n_out * n_in];
        cpu.copy_read(&copy, &mut of_copy)?;
        let (x, mut y) = (buffer(1, rows * n_in)?, buffer(2, rows * n_out)?);
        cpu.copy_linear(&x, rows, &copy, Some(&buffer(4, n_out)?), &mut y)?;
        let mut products = vec![0.0; rows * n_out];
        cpu.read(&y, 0, &mut products)?;
        if format == CopyFormat::Bf16 {
            // Tall enough for several tiles and deep enough for cut chains, and still the bits of the float32 product.
            cpu.matrix_write(&mut matrix, &of_copy)?;
            cpu.linear(&x, rows, &matrix, Some(&buffer(4, n_out)?), &mut y)?;
            let mut of_matrix = vec![0.0; rows * n_out];
            cpu.read(&y, 0, &mut of_matrix)?;
            assert!(of_matrix == products, "{rows} rows of {n_out} by {n_in}");
        }
        bits.extend(of_copy.into_iter().chain(products).map(f32::to_bits));
    }
    Ok(bits)
}

#[test]
fn int8_products_do_not_depend_on_threads_or_the_instruction_set() {
    let run = |threads, set| {
        let cpu = Cpu::with_instruction_set(Some(threads), set).unwrap();
        copy_results(&cpu, CopyFormat::Int8).unwrap()
    };
    let expected = run(1, InstructionSet::Portable);
    for set in InstructionSet::available() {
        for threads in [1, 2, 5] {
            assert!(run(threads, set) == expected, "{set:?} with {threads} threads");
        }
    }
}

#[test]
fn bf16_products_do_not_depend_on_threads() {
    let run = |threads, set| {
        let cpu = Cpu::with_instruction_set(Some(threads), set).unwrap();
        copy_results(&cpu, CopyFormat::Bf16).unwrap()
    };
    let mut of_fused = None;
    for set in InstructionSet::available() {
        let expected = run(1, set);
        for threads in [2, 5] {
            assert!(run(threads, set) == expected, "{set:?} with {threads} threads");
        }
        if set != InstructionSet::Portable {
            assert!(*of_fused.get_or_insert_with(|| expected.clone()) == expected, "{set:?}");
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    for set in InstructionSet::available() {
        let run =
            |threads| results(&Cpu::with_instruction_set(Some(threads), set).unwrap()).unwrap();
        let one = run(1);
        for threads in [2, 3, 5] {
            assert!(run(threads) == one, "{set:?} with {threads} threads");
        }
    }
}

/// A batch's rows are computed in tiles, which cut long sums; the first row must not notice how many follow it.
#[test]
fn a_row_of_a_long_product_does_not_depend_on_the_batch() {
    const DEPTH: usize = 700;
    const WIDTH: usize = 90;
    let first_rows = |cpu: &Cpu, rows: usize| {
        let buffer = |seed: usize, len: usize| {
            let mut buffer = cpu.zeros(len)?;
            cpu.write(&mut buffer, 0, &values(seed, len))?;
            DeviceResult::Ok(buffer)
        };
        let matrix = |n_out: usize, n_in: usize| {
            let mut matrix = cpu.matrix_zeros(n_out, n_in)?;
            cpu.matrix_write(&mut matrix, &values(3, n_out * n_in))?;
            DeviceResult::Ok(matrix)
        };
        let first_row = |buffer: &_| {
            let mut row = vec![0.0; WIDTH];
            cpu.read(buffer, 0, &mut row)?;
            DeviceResult::Ok(row.into_iter().map(f32::to_bits).collect::<Vec<u32>>())
        };
        let x = buffer(1, rows * DEPTH)?;
        let (mut y, mut dx) = (buffer(2, rows * WIDTH)?, buffer(2, rows * WIDTH)?);
        cpu.linear(&x, rows, &matrix(WIDTH, DEPTH)?, Some(&buffer(4, WIDTH)?), &mut y)?;
        cpu.linear_backward_input(&x, rows, &matrix(DEPTH, WIDTH)?, &mut dx, true)?;
        DeviceResult::Ok((first_row(&y)?, first_row(&dx)?))
    };
    for set in InstructionSet::available() {
        let run = |threads, rows| {
            first_rows(&Cpu::with_instruction_set(Some(threads), set).unwrap(), rows).unwrap()
        };
        let (y, dx) = run(1, 1);
        for threads in [1, 2, 5] {
            for rows in [1, 2, 7, 64, 300] {
                let (y_of_batch, dx_of_batch) = run(threads, rows);
                assert!(y_of_batch == y, "linear: {set:?}, {threads} threads, {rows} rows");
                assert!(dx_of_batch == dx, "backward: {set:?}, {threads} threads, {rows} rows");
            }
        }
    }
}

#[test]
fn avx2_and_avx512_give_the_same_bits() {
    let run = |set| results(&Cpu::with_instruction_set(Some(1), set).unwrap()).unwrap();
    let sets = InstructionSet::available();
    if sets.contains(&InstructionSet::Avx2) && sets.contains(&InstructionSet::Avx512) {
        assert!(run(InstructionSet::Avx2) == run(InstructionSet::Avx512));
    } else {
        println!("skipped: this machine has {sets:?} only");
    }
}

#[test]
fn a_device_describes_itself() {
    let cpu = Cpu::with_instruction_set(Some(3), InstructionSet::Portable).unwrap();
    assert_eq!(cpu.describe(), "cpu (portable, 3 threads)");
    assert!(Cpu::new(None).unwrap().describe().starts_with("cpu ("));
}
