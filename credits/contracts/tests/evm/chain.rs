//! A chain in this process: an EVM, its accounts and clock, the compiled contracts, and what each call cost.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use revm::context::{BlockEnv, CfgEnv, Context, TxEnv};
use revm::context_interface::ContextTr;
use revm::context_interface::result::ExecutionResult;
use revm::database::{CacheDB, EmptyDB};
use revm::handler::{MainBuilder, MainContext, MainnetContext, MainnetEvm};
use revm::primitives::hardfork::SpecId;
use revm::primitives::{Address, B256, Bytes, Log, TxKind, U256, keccak256};
use revm::{ExecuteCommitEvm, ExecuteEvm};
use serde_json::Value;

/// The rules of the chain, whose gas prices the tables show.
pub(crate) const SPEC: SpecId = SpecId::OSAKA;
pub(crate) const CHAIN_ID: u64 = 31_337;
/// When the chain starts, in Unix seconds.
pub(crate) const START: u64 = 1_800_000_000;
/// What a transaction may use at most since Osaka (EIP-7825).
const TX_GAS: u64 = 1 << 24;

pub(crate) type Word = [u8; 32];

/// The compiled contracts, compiled first where they are not.
fn compiled() -> &'static Value {
    static COMPILED: OnceLock<Value> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(here.join("compile.sh"))
            .arg(here.join("../../target/contracts-solc"))
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "the contracts do not compile");
        let path = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(&std::fs::read_to_string(path.trim_end()).unwrap()).unwrap()
    })
}

/// Bytes that a contract's code has on the chain.
pub(crate) fn runtime_len(contract: &str) -> usize {
    compiled()[contract]["runtime"].as_str().unwrap().len() / 2
}

fn selector(contract: &str, method: &str) -> [u8; 4] {
    let methods = compiled()[contract]["methods"].as_object().unwrap();
    let named = methods.iter().find(|(signature, _)| signature.split('(').next() == Some(method));
    let (_, hex) = named.unwrap_or_else(|| panic!("{contract} has no {method}"));
    hex::decode(hex.as_str().unwrap()).unwrap().try_into().unwrap()
}

pub(crate) fn word(number: u64) -> Word {
    U256::from(number).to_be_bytes()
}

pub(crate) fn number(word: &[u8]) -> u64 {
    U256::from_be_slice(word).try_into().unwrap()
}

/// An account without code.
pub(crate) fn account(number: u8) -> Address {
    Address::repeat_byte(number)
}

/// Why a call changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The contract refused, with these bytes.
    Reverted(Vec<u8>),
    /// The EVM gave up: out of gas, or an instruction that is none.
    Halted(String),
}

impl Failure {
    /// Asserts that the contract refused with an error of this signature.
    #[track_caller]
    pub(crate) fn is(&self, signature: &str) {
        assert_eq!(*self, Self::Reverted(keccak256(signature)[..4].to_vec()), "expected {signature}");
    }
}

/// What a call that succeeded gave.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) output: Vec<u8>,
    pub(crate) logs: Vec<Log>,
    pub(crate) gas: u64,
}

impl Done {
    /// The data of the only event of a signature.
    pub(crate) fn event(&self, signature: &str) -> (Vec<B256>, Vec<u8>) {
        let mut found = self.logs.iter().filter(|log| log.topics().first() == Some(&keccak256(signature)));
        let log = found.next().unwrap_or_else(|| panic!("no {signature}"));
        assert!(found.next().is_none(), "several {signature}");
        (log.topics()[1..].to_vec(), log.data.data.to_vec())
    }
}

/// A contract on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contract {
    pub(crate) name: &'static str,
    pub(crate) address: Address,
}

/// What a chain holds at some time.
pub(crate) struct State(CacheDB<EmptyDB>);

pub(crate) struct Chain {
    evm: MainnetEvm<MainnetContext<CacheDB<EmptyDB>>>,
    pub(crate) now: u64,
    pub(crate) chain_id: u64,
    gas: BTreeMap<String, Vec<u64>>,
}

impl Chain {
    pub(crate) fn new() -> Self {
        let context = Context::mainnet().with_db(CacheDB::new(EmptyDB::new()));
        let mut chain = Self { evm: context.build_mainnet(), now: START, chain_id: CHAIN_ID, gas: BTreeMap::new() };
        chain.fork(CHAIN_ID);
        chain
    }

    /// The same state under another chain id, as after a fork.
    pub(crate) fn fork(&mut self, chain_id: u64) {
        let mut cfg = CfgEnv::new_with_spec(SPEC);
        cfg.chain_id = chain_id;
        // Accounts here keep no count of their transactions.
        cfg.disable_nonce_check = true;
        self.evm.ctx.cfg = cfg;
        self.chain_id = chain_id;
    }

    /// The state as it is, to go back to.
    pub(crate) fn state(&self) -> State {
        State(self.evm.ctx.db().clone())
    }

    /// Goes back to a state, as a reorganisation of the chain does: what came after it did not happen.
    pub(crate) fn reorganise(&mut self, to: &State) {
        self.evm.ctx.db_mut().clone_from(&to.0);
    }

    /// Writes a word of a contract's storage, for states that no test can reach by calls.
    pub(crate) fn store(&mut self, contract: Contract, slot: Word, value: Word) {
        let (slot, value) = (U256::from_be_bytes(slot), U256::from_be_bytes(value));
        self.evm.ctx.db_mut().insert_account_storage(contract.address, slot, value).unwrap();
    }

    fn transact(&mut self, from: Address, kind: TxKind, data: Vec<u8>, gas: u64) -> ExecutionResult {
        let block = BlockEnv { timestamp: U256::from(self.now), gas_limit: TX_GAS * 2, ..BlockEnv::default() };
        self.evm.set_block(block);
        let tx = TxEnv::builder()
            .caller(from)
            .kind(kind)
            .data(Bytes::from(data))
            .gas_limit(gas)
            .gas_price(0)
            .chain_id(Some(self.chain_id))
            .build()
            .unwrap();
        self.evm.transact_commit(tx).unwrap()
    }

    /// Puts a contract onto the chain.
    pub(crate) fn deploy(&mut self, name: &'static str, arguments: &[Word]) -> Result<Contract, Failure> {
        let mut data = hex::decode(compiled()[name]["creation"].as_str().unwrap()).unwrap();
        data.extend(arguments.concat());
        let result = self.transact(account(1), TxKind::Create, data, TX_GAS);
        if let Some(address) = result.created_address().filter(|_| result.is_success()) {
            self.gas.entry(format!("{name}: creation")).or_default().push(result.tx_gas_used());
            return Ok(Contract { name, address });
        }
        Err(outcome(result).unwrap_err())
    }

    pub(crate) fn call(
        &mut self,
        from: Address,
        to: Contract,
        method: &str,
        arguments: &[Word],
    ) -> Result<Done, Failure> {
        self.call_with_gas(from, to, method, arguments, TX_GAS)
    }

    pub(crate) fn call_with_gas(
        &mut self,
        from: Address,
        to: Contract,
        method: &str,
        arguments: &[Word],
        gas: u64,
    ) -> Result<Done, Failure> {
        let mut data = selector(to.name, method).to_vec();
        data.extend(arguments.concat());
        let done = outcome(self.transact(from, TxKind::Call(to.address), data, gas))?;
        self.gas.entry(format!("{}: {method}", to.name)).or_default().push(done.gas);
        Ok(done)
    }

    /// The first word of the answer of a call that changes nothing.
    pub(crate) fn read(&mut self, to: Contract, method: &str, arguments: &[Word]) -> Word {
        let done = self.call(account(1), to, method, arguments).unwrap();
        done.output[..32].try_into().unwrap()
    }

    /// The median of what calls of a method cost.
    pub(crate) fn gas_median(&self, method: &str) -> u64 {
        let mut used = self.gas[method].clone();
        used.sort_unstable();
        used[used.len() / 2]
    }

    /// What calls cost, as a transaction each: the least, the median and the most.
    pub(crate) fn gas_table(&self, title: &str, methods: &[&str]) -> String {
        let mut table = format!(
            "gas, {title}, {SPEC:?}\n{:32} {:>6} {:>9} {:>9} {:>9}\n",
            "call", "calls", "least", "median", "most"
        );
        for method in methods {
            let mut used = self.gas[*method].clone();
            used.sort_unstable();
            let (least, median, most) = (used[0], used[used.len() / 2], used[used.len() - 1]);
            table += &format!("{method:32} {:>6} {least:>9} {median:>9} {most:>9}\n", used.len());
        }
        table
    }
}

fn outcome(result: ExecutionResult) -> Result<Done, Failure> {
    let gas = result.tx_gas_used();
    match result {
        ExecutionResult::Success { logs, output, .. } => Ok(Done { output: output.into_data().to_vec(), logs, gas }),
        ExecutionResult::Revert { output, .. } => Err(Failure::Reverted(output.to_vec())),
        ExecutionResult::Halt { reason, .. } => Err(Failure::Halted(format!("{reason:?}"))),
    }
}
