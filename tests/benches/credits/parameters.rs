//! Parameters of a ceremony, so that snarkjs has the same key, and one spend to prove.

use ark_bn254::{Bn254, Fr};
use ark_groth16::{Groth16, ProvingKey};
use ark_relations::gr1cs::{ConstraintSynthesizer, ConstraintSystem, SynthesisMode};
use ceremony::{Ptau, Verified, contribute, start, verify};
use ceremony_testing::{Highest, Secrets, ptau};
use credits::circuit::{Relation, Statement};
use credits::params::ProvingParams;
use credits::spend::SpendWitness;
use credits::{Blind, Credits, Fe, Note, NoteTree, SpendKey, SpendPublic};
use rand_core::OsRng;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Rows of the spend circuit, as a power of two.
const SPEND_POWER: u32 = 13;

/// All that is needed to prove one spend, with our code, with the library alone, and with snarkjs.
pub(crate) struct Spending {
    pub(crate) verified: Verified,
    pub(crate) params: ProvingParams,
    /// A key of the library's own, made for its own reduction: what who calls it and nothing else has.
    pub(crate) bare_key: ProvingKey<Bn254>,
    pub(crate) witness: SpendWitness,
    pub(crate) public: SpendPublic,
    /// The value of every variable, in the order of the relation.
    pub(crate) values: Vec<Fr>,
}

impl Spending {
    pub(crate) fn new() -> Self {
        let circuit = Relation::of(Statement::Spend).unwrap();
        let powers = ptau(SPEND_POWER, &Secrets::from_seed(3), Highest::Missing);
        let first = start(&circuit, &Ptau::read(&powers, &circuit, &mut OsRng).unwrap()).unwrap();
        let mut zkey = first.clone();
        contribute(&mut zkey, "bench", b"", &mut OsRng).unwrap();
        let verified = verify(&first, zkey, &mut OsRng).unwrap();
        let (witness, public) = spend();
        let statement = witness.circuit(&public).unwrap();
        let bare_key =
            Groth16::<Bn254>::generate_random_parameters_with_reduction(statement.clone(), &mut OsRng).unwrap();
        let system = ConstraintSystem::new_ref();
        system.set_mode(SynthesisMode::Prove { construct_matrices: false, generate_lc_assignments: false });
        statement.generate_constraints(system.clone()).unwrap();
        let mut values = system.instance_assignment().unwrap();
        values.extend(system.witness_assignment().unwrap());
        Self { params: verified.proving_params().unwrap(), verified, bare_key, witness, public, values }
    }

    /// The public inputs as the library takes them.
    pub(crate) fn inputs(&self) -> [Fr; 5] {
        let SpendPublic { root, nullifier, inner_next, c_max, ctx } = self.public;
        [root.0, nullifier.0, inner_next.0, c_max.into(), ctx].map(Fe::to_fr)
    }
}

fn spend() -> (SpendWitness, SpendPublic) {
    let spend_key = SpendKey::from_secret(Fe::from(0x5eed));
    let credits = |value| Credits::new(value).unwrap();
    // Random numbers: short ones would make parts of the witness cheaper than they are.
    let wide = |number: u8| Fe::from_uniform(&[number; 64]);
    let note = Note { lane: 3, value: credits(4000), rho: wide(33), blind: Blind(wide(44)), refund: credits(96) };
    let mut tree = NoteTree::new();
    for number in 0..100 {
        tree.append(credits::Leaf(wide(number))).unwrap();
    }
    let index = tree.append(note.leaf(&spend_key)).unwrap();
    let path = tree.path(index).unwrap();
    let witness = SpendWitness { spend_key, note, path, blind_next: Blind(wide(55)) };
    let public = witness.public(credits(1024), wide(99)).unwrap();
    (witness, public)
}

/// So many threads for what is run in it.
pub(crate) fn threads(count: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(count).build().unwrap()
}
