//! snarkjs as it is, in a process of its own, and files for it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
// Each test program uses a part of it.
#![allow(dead_code, reason = "shared between test programs")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ark_bn254::Fr;
use ceremony::{Ptau, Zkey, contribute, start};
use ceremony_testing::{Highest, Secrets, SmallCircuit, ptau};
use credits::circuit::Relation;
use rand_core::OsRng;

/// The small circuit has eight rows.
pub(crate) const SMALL_POWER: u32 = 3;

pub(crate) fn small() -> Relation {
    Relation::of(SmallCircuit::example()).unwrap()
}

/// The value of every variable of the small circuit, in the order of the relation.
pub(crate) fn small_values() -> Vec<Fr> {
    use ark_relations::gr1cs::{ConstraintSynthesizer, ConstraintSystem, SynthesisMode};
    let system = ConstraintSystem::new_ref();
    system.set_mode(SynthesisMode::Prove { construct_matrices: false, generate_lc_assignments: false });
    SmallCircuit::example().generate_constraints(system.clone()).unwrap();
    let mut values = system.instance_assignment().unwrap();
    values.extend(system.witness_assignment().unwrap());
    values
}

pub(crate) fn small_ptau() -> &'static [u8] {
    static PTAU: OnceLock<Vec<u8>> = OnceLock::new();
    PTAU.get_or_init(|| ptau(SMALL_POWER, &Secrets::from_seed(1), Highest::Missing))
}

/// The small circuit's first key.
pub(crate) fn small_start() -> Zkey {
    let circuit = small();
    start(&circuit, &Ptau::read(small_ptau(), &circuit, &mut OsRng).unwrap()).unwrap()
}

pub(crate) fn contributed(zkey: &Zkey, name: &str) -> Zkey {
    let mut next = zkey.clone();
    contribute(&mut next, name, b"", &mut OsRng).unwrap();
    next
}

/// snarkjs in a directory of a test's own.
pub(crate) struct Snarkjs {
    pub(crate) directory: tempfile::TempDir,
}

/// What one run printed, and whether it said that all is well.
pub(crate) struct Run {
    pub(crate) succeeded: bool,
    pub(crate) output: String,
}

impl Snarkjs {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Runs a command; words without spaces.
    pub(crate) fn run(&self, command: &str) -> Run {
        let arguments = command.split(' ');
        let run = Command::new("node").arg(program()).args(arguments).current_dir(self.directory.path()).output();
        let run = run.expect("node starts");
        let output = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        Run { succeeded: run.status.success(), output }
    }

    /// Runs a command that must succeed.
    pub(crate) fn succeed(&self, command: &str) -> String {
        let Run { succeeded, output } = self.run(command);
        assert!(succeeded, "snarkjs {command}: {output}");
        output
    }
}

/// snarkjs's program, installed by its hash beside the other clients.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let installed = Command::new(root.join("tests/clients/node_env.sh"))
            .arg(root.join("target/clients"))
            .arg("node_modules/snarkjs/build/cli.cjs")
            .output()
            .unwrap();
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        PathBuf::from(String::from_utf8(installed.stdout).unwrap().trim())
    })
}
