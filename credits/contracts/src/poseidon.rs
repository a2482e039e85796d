//! circom's Poseidon (x^5, 8 full rounds) with its partial rounds rearranged so that an EVM computes it with few and the same
//! constants, and the Solidity that does.
//!
//! In a partial round only lane 0 passes the S-box; the others are linear. So all constants but lane 0's can be added later
//! (carried through the mix to the next round), and the other lanes can be kept in a basis of one's choice. In the basis of the observer
//! canonical form the mix of every partial round is `s0' = m·x + z1`, `zi' = z(i+1) + αi·z1 + βi·x` with `x = (s0 + k)^5`: `2t − 1`
//! products instead of `t²`, and the same constants in every round but for `k`. The result is equal, not similar: tests compare it with `credits::hash`.

use std::fmt::Write;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, BigInteger, PrimeField};
use light_poseidon::parameters::bn254_x5::get_poseidon_parameters;

use crate::matrix::{Matrix, Vector, dot};

/// The widths that the contracts need, one more than the number of hashed elements: leaves, nodes, hidden parts.
pub const WIDTHS: [u8; 3] = [4, 5, 6];
/// So many elements below r can be added in a word without a carry: `5·r < 2^256`.
const SUM_MAX: usize = 5;
/// Levels of the note tree above the leaves, `credits::tree::DEPTH`.
const TREE_DEPTH: usize = 16;
/// Children of a node of the note tree, `credits::tree::ARITY`.
const TREE_ARITY: usize = 4;
/// The width that hashes nodes of the note tree.
const TREE_WIDTH: usize = TREE_ARITY + 1;

/// A permutation of one width, rearranged.
#[derive(Clone, Debug)]
pub struct Rearranged {
    /// Constants of the full rounds, in order; those after the partial rounds have taken up what was carried.
    full: Vec<Vector>,
    /// The constant of lane 0 in each partial round.
    partial: Vector,
    /// The mix of a full round.
    mix: Matrix,
    /// The mix of the full round before the partial ones, which also changes the basis.
    entry: Matrix,
    /// What lane 0 of a partial round keeps of itself.
    kept: Fr,
    /// `α`: what each lane takes from the first of the others.
    from_first: Vector,
    /// `β`: what each lane takes from lane 0.
    from_zero: Vector,
    /// Back to the basis of the full rounds.
    exit: Matrix,
}

impl Rearranged {
    /// The permutation of a width; nothing for widths without parameters, or whose mix has no such basis.
    #[must_use]
    pub fn new(width: u8) -> Option<Self> {
        let parameters = get_poseidon_parameters::<Fr>(width).ok()?;
        let mix = Matrix(parameters.mds);
        let mut constants = parameters.ark.chunks(parameters.width).map(<[Fr]>::to_vec);
        let half = parameters.full_rounds.checked_div(2)?;
        let mut full: Vec<Vector> = constants.by_ref().take(half).collect();

        let mut carried = vec![Fr::ZERO; parameters.width];
        let mut partial = Vector::new();
        for constants in constants.by_ref().take(parameters.partial_rounds) {
            let mut sum = add(&constants, &carried);
            partial.push(std::mem::take(sum.first_mut()?));
            carried = mix.apply(&sum);
        }
        for constants in constants {
            full.push(add(&constants, &std::mem::replace(&mut carried, vec![Fr::ZERO; parameters.width])));
        }

        let (kept, seen) = mix.0.first()?.split_first()?;
        let linear = mix.minor();
        let coefficients = linear.characteristic();
        let mut row = seen.to_vec();
        let mut basis = Vec::new();
        for coefficient in &coefficients {
            basis.push(row.clone());
            let shifted = linear.apply_left(&row);
            row = shifted.iter().zip(seen).map(|(cell, first)| *cell + *coefficient * first).collect();
        }
        let basis = Matrix(basis);
        let column: Vector = mix.column(0).into_iter().skip(1).collect();
        Some(Self {
            full,
            partial,
            entry: basis.under_one().times(&mix),
            kept: *kept,
            from_first: coefficients.into_iter().map(|coefficient| -coefficient).collect(),
            from_zero: basis.apply(&column),
            exit: basis.inverse()?.under_one(),
            mix,
        })
    }

    /// The number of lanes.
    #[must_use]
    pub fn width(&self) -> usize {
        self.mix.size()
    }

    /// circom's hash: lane 0 of the permutation of zero and the inputs. As the contract computes it.
    #[must_use]
    pub fn hash(&self, inputs: &[Fr]) -> Fr {
        let mut lanes: Vector = std::iter::once(Fr::ZERO).chain(inputs.iter().copied()).collect();
        let half = self.half();
        for (number, constants) in self.full.iter().enumerate() {
            if number == half {
                lanes = self.partial_rounds(lanes);
            }
            let boxed: Vector = add(&lanes, constants).into_iter().map(fifth).collect();
            let last_before = number.checked_add(1) == Some(half);
            lanes = if last_before { self.entry.apply(&boxed) } else { self.mix.apply(&boxed) };
        }
        lanes.first().copied().unwrap_or_default()
    }

    fn partial_rounds(&self, mut lanes: Vector) -> Vector {
        for constant in &self.partial {
            let x = fifth(lanes.first().copied().unwrap_or_default() + constant);
            let first = lanes.get(1).copied().unwrap_or_default();
            let next = lanes.iter().copied().skip(2).chain([Fr::ZERO]);
            let others = next.zip(&self.from_first).zip(&self.from_zero);
            let others = others.map(|((next, alpha), beta)| next + dot(&[*alpha, *beta], &[first, x]));
            lanes = std::iter::once(self.kept * x + first).chain(others).collect();
        }
        self.exit.apply(&lanes)
    }

    fn half(&self) -> usize {
        self.full.len().checked_div(2).unwrap_or_default()
    }

    /// The library of this width, as Solidity.
    #[must_use]
    pub fn solidity(&self) -> String {
        let mut code = Code::default();
        self.emit(&mut code).expect("invariant: a string takes any text");
        code.0
    }

    fn emit(&self, code: &mut Code) -> std::fmt::Result {
        let width = self.width();
        let words: Vec<Fr> = self.full.concat().into_iter().chain(self.partial.iter().copied()).collect();
        let (inputs, lanes) = (width.saturating_sub(1), words.len());
        let names: Vec<String> = (1..width).map(|number| format!("a{number}")).collect();
        let arguments: Vec<String> = names.iter().map(|name| format!("uint256 {name}")).collect();
        code.line(0, "")?;
        code.line(0, &format!("/// Poseidon of {inputs} elements, each below r: what is not must not come here."))?;
        code.line(0, &format!("library PoseidonT{width} {{"))?;
        code.line(
            1,
            "/// Puts the round constants into memory, and room for the lanes behind them; `hash` wants their address.",
        )?;
        code.line(1, "function load() internal pure returns (uint256 table) {")?;
        code.line(2, "bytes memory constants =")?;
        for (number, word) in words.iter().enumerate() {
            let end = if number.saturating_add(1) == words.len() { ";" } else { "" };
            code.line(3, &format!("hex\"{}\"{end}", hex(*word)))?;
        }
        code.line(2, "assembly (\"memory-safe\") {")?;
        code.line(3, "table := add(constants, 32)")?;
        code.line(3, &format!("mstore(0x40, add(mload(0x40), {}))", bytes(width)))?;
        code.line(2, "}")?;
        code.line(1, "}")?;
        code.line(0, "")?;
        code.line(1, "/// The hash, below r.")?;
        let arguments = arguments.join(", ");
        code.line(1, &format!("function hash(uint256 table, {arguments}) internal pure returns (uint256 digest) {{"))?;
        code.line(2, "assembly (\"memory-safe\") {")?;
        // One more is added in the next round, its constant; the partial rounds want lanes below r to begin with.
        self.emit_full_round(code, "full", &self.mix, SUM_MAX.saturating_sub(1))?;
        self.emit_full_round(code, "last", &self.entry, 1)?;
        code.line(3, &format!("let lanes := add(table, {})", bytes(lanes)))?;
        code.line(3, "mstore(lanes, 0)")?;
        for (number, name) in names.iter().enumerate() {
            code.line(3, &format!("mstore(add(lanes, {}), {name})", bytes(number.saturating_add(1))))?;
        }
        let (row, half) = (bytes(width), self.half());
        code.line(3, "let ptr := table")?;
        let before = bytes(width.saturating_mul(half.saturating_sub(1)));
        code.line(3, &format!("for {{ let end := add(table, {before}) }} lt(ptr, end) {{ ptr := add(ptr, {row}) }} {{ full(ptr, lanes) }}"))?;
        code.line(3, "last(ptr, lanes)")?;
        self.emit_partial_rounds(code)?;
        code.line(3, &format!("ptr := add(table, {})", bytes(width.saturating_mul(half))))?;
        let all = bytes(width.saturating_mul(self.full.len()));
        code.line(3, &format!("for {{ let end := add(table, {all}) }} lt(ptr, end) {{ ptr := add(ptr, {row}) }} {{ full(ptr, lanes) }}"))?;
        code.line(3, &format!("digest := mod(mload(lanes), {MODULUS})"))?;
        code.line(2, "}")?;
        code.line(1, "}")?;
        code.line(0, "}")
    }

    /// A full round as a function of the address of its constants and of the lanes.
    fn emit_full_round(&self, code: &mut Code, name: &str, mix: &Matrix, limit: usize) -> std::fmt::Result {
        let width = self.width();
        code.line(3, &format!("function {name}(ptr, lanes) {{"))?;
        code.line(4, &format!("let r := {MODULUS}"))?;
        code.line(4, "let q")?;
        for lane in 0..width {
            let offset = bytes(lane);
            code.line(4, &format!("let x{lane} := add(mload(add(lanes, {offset})), mload(add(ptr, {offset})))"))?;
            code.fifth(4, &format!("x{lane}"))?;
        }
        for (lane, row) in mix.0.iter().enumerate() {
            let products = row.iter().enumerate().map(|(from, cell)| product(*cell, &format!("x{from}"))).collect();
            code.line(4, &format!("mstore(add(lanes, {}), {})", bytes(lane), sum(products, limit)))?;
        }
        code.line(3, "}")
    }

    fn emit_partial_rounds(&self, code: &mut Code) -> std::fmt::Result {
        let width = self.width();
        code.line(3, "{")?;
        code.line(4, &format!("let r := {MODULUS}"))?;
        code.line(4, "let q")?;
        code.line(4, "let s0 := mload(lanes)")?;
        for lane in 1..width {
            code.line(4, &format!("let z{lane} := mload(add(lanes, {}))", bytes(lane)))?;
        }
        code.line(4, &format!("ptr := add(table, {})", bytes(width.saturating_mul(self.full.len()))))?;
        code.line(4, "for { } lt(ptr, lanes) { ptr := add(ptr, 32) } {")?;
        code.line(5, "let x := add(s0, mload(ptr))")?;
        code.fifth(5, "x")?;
        code.line(5, &format!("s0 := add({}, z1)", product(self.kept, "x")))?;
        code.line(5, "let first := z1")?;
        // How many elements below r each lane is the sum of: the last lane takes from two, each other from the lane after it too.
        let mut bounds = vec![0usize; width.saturating_add(1)];
        for lane in (1..width).rev() {
            let after = bounds.get(lane.saturating_add(1)).copied().unwrap_or_default();
            // z1 meets the product of x in s0 and then a constant, so it must leave room for two.
            let limit = if lane == 1 { SUM_MAX.saturating_sub(2) } else { SUM_MAX };
            let bound = after.saturating_add(2);
            bounds.iter_mut().skip(lane).take(1).for_each(|slot| *slot = if bound > limit { 1 } else { bound });
        }
        for (lane, (alpha, beta)) in (1..width).zip(self.from_first.iter().zip(&self.from_zero)) {
            let two = [product(*alpha, "first"), product(*beta, "x")];
            let after = lane.saturating_add(1);
            let reduced = bounds.get(lane).is_some_and(|bound| *bound == 1);
            let [alpha, beta] = two;
            let sum = match (after < width, reduced) {
                (false, _) => format!("add({alpha},{BREAK}{beta})"),
                (true, false) => format!("add(z{after}, add({alpha},{BREAK}{beta}))"),
                (true, true) => format!("addmod(z{after}, add({alpha},{BREAK}{beta}), r)"),
            };
            code.line(5, &format!("z{lane} := {sum}"))?;
        }
        code.line(4, "}")?;
        code.line(4, "mstore(lanes, s0)")?;
        for (lane, row) in self.exit.0.iter().enumerate().skip(1) {
            let cells = row.iter().enumerate().skip(1);
            let products = cells.map(|(from, cell)| product(*cell, &format!("z{from}"))).collect();
            let sum = sum(products, SUM_MAX.saturating_sub(1));
            code.line(4, &format!("mstore(add(lanes, {}), {sum})", bytes(lane)))?;
        }
        code.line(3, "}")
    }
}

/// Between the terms of a sum, for lines that can be read.
const BREAK: &str = "\n                        ";
/// The modulus r of the scalar field, as Solidity writes it.
const MODULUS: &str = "0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001";

/// The first lines of every file.
const HEAD: [&str; 3] = [
    "// SPDX-License-Identifier: MIT OR Apache-2.0",
    "// Written by `credits/contracts/src/poseidon.rs`, which explains it; `cargo run --bin poseidon` writes it again.",
    "pragma solidity 0.8.37;",
];

/// The files by name: a library of each width, and the roots of empty subtrees of the note tree.
#[must_use]
pub fn solidity_files() -> Option<Vec<(String, String)>> {
    let mut files = vec![("EmptyNodes.sol".to_owned(), empty_nodes()?)];
    for width in WIDTHS {
        let mut code = Code::default();
        code.head().ok()?;
        code.0.push_str(&Rearranged::new(width)?.solidity());
        files.push((format!("PoseidonT{width}.sol"), code.0));
    }
    Some(files)
}

fn empty_nodes() -> Option<String> {
    let mut code = Code::default();
    code.head().ok()?;
    let lines = [
        "",
        "// Roots of empty subtrees of the note tree, level 0 first, 32 bytes each. An empty leaf is 0.",
        "bytes constant EMPTY_NODES =",
    ];
    for line in lines {
        code.line(0, line).ok()?;
    }
    let nodes = Rearranged::new(u8::try_from(TREE_WIDTH).ok()?)?;
    let mut empty = Fr::ZERO;
    for level in 0..=TREE_DEPTH {
        let end = if level == TREE_DEPTH { ";" } else { "" };
        code.line(1, &format!("hex\"{}\"{end}", hex(empty))).ok()?;
        empty = nodes.hash(&[empty; TREE_ARITY]);
    }
    Some(code.0)
}

#[derive(Default)]
struct Code(String);

impl Code {
    fn head(&mut self) -> std::fmt::Result {
        HEAD.iter().try_for_each(|line| self.line(0, line))
    }

    fn line(&mut self, depth: usize, text: &str) -> std::fmt::Result {
        let indent = if text.is_empty() { 0 } else { depth.saturating_mul(4) };
        writeln!(self.0, "{:indent$}{text}", "")
    }

    /// Raises a variable to its fifth power.
    fn fifth(&mut self, depth: usize, name: &str) -> std::fmt::Result {
        self.line(depth, &format!("q := mulmod({name}, {name}, r)"))?;
        self.line(depth, &format!("{name} := mulmod(mulmod(q, q, r), {name}, r)"))
    }
}

/// The sum of terms below r, which is itself below `limit · r`.
fn sum(terms: Vec<String>, limit: usize) -> String {
    let mut terms = terms.into_iter();
    let mut text = terms.next().unwrap_or_default();
    let mut bound = 1usize;
    let mut rest = terms.peekable();
    while let Some(term) = rest.next() {
        let last = rest.peek().is_none();
        bound = bound.saturating_add(1);
        // Before the last term a sum may use the whole word, since the last addition can reduce.
        if bound > if last { limit } else { SUM_MAX } {
            text = format!("addmod({text},{BREAK}{term}, r)");
            bound = 1;
        } else {
            text = format!("add({text},{BREAK}{term})");
        }
    }
    text
}

fn product(factor: Fr, name: &str) -> String {
    format!("mulmod({name}, 0x{}, r)", hex(factor))
}

/// Bytes of so many words.
fn bytes(words: usize) -> usize {
    words.saturating_mul(32)
}

fn hex(element: Fr) -> String {
    element.into_bigint().to_bytes_be().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn add(left: &[Fr], right: &[Fr]) -> Vector {
    left.iter().zip(right).map(|(left, right)| *left + right).collect()
}

fn fifth(element: Fr) -> Fr {
    let square = element * element;
    square * square * element
}

#[cfg(test)]
mod tests {
    use super::*;
    use light_poseidon::{Poseidon, PoseidonHasher};

    #[test]
    fn the_rearranged_permutation_is_the_permutation() {
        for width in WIDTHS {
            let rearranged = Rearranged::new(width).unwrap();
            let inputs = usize::from(width) - 1;
            let mut theirs = Poseidon::<Fr>::new_circom(inputs).unwrap();
            let mut values: Vector = (0..inputs).map(|number| Fr::from(u64::try_from(number).unwrap())).collect();
            for _ in 0..20 {
                let hash = theirs.hash(&values).unwrap();
                assert_eq!(rearranged.hash(&values), hash, "width {width}");
                values.rotate_left(1);
                values[0] = hash;
            }
        }
    }

    #[test]
    fn sums_stay_in_a_word() {
        // 5·r fits 256 bits and 6·r does not: the top bytes say so.
        let top = u32::from_str_radix(&MODULUS[2..6], 16).unwrap();
        assert!((top + 1) * 5 < 1 << 16 && top * 6 > 1 << 16);
        assert_eq!(
            format!("{}", Fr::MODULUS.to_bytes_be().iter().fold("0x".to_owned(), |t, b| t + &format!("{b:02x}"))),
            MODULUS
        );
    }
}
