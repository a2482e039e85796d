//! What the tests that kill a ledger share: its service as a process, and notes with spends of them that are really proved.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use acceptance::processes::{Process, bin_dir, free_port};
use acceptance::world::run;
use credits::bytes::decode_hex;
use credits::params::ProvingParams;
use credits::spend::{SpendWitness, prove};
use credits::{
    AdminKey, Blind, Bytes32, Credits, Fe, Ledger, LedgerInfo, LogEntry, MintEntry, MintOutput, Note, NoteTree,
    PayeeKey, RedeemRequest, ReserveRequest, SigningKey, SpendContext, SpendKey, Voucher,
};
use ledger_client::{LedgerClient, Pins};

const READY: Duration = Duration::from_secs(60);
/// How long the spends last: shorter than the longest reservation.
const SPEND_SECS: u64 = 3000;

/// A ledger's service as a process.
pub(crate) struct Service {
    home: tempfile::TempDir,
    port: u16,
    process: Option<Process>,
}

impl Service {
    /// A new ledger, without merges: their parameters take some seconds to make.
    pub(crate) fn make(postgres_url: Option<&str>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let service = Self { home, port: free_port().unwrap(), process: None };
        let mut command = service.command("init");
        command.arg("--no-merges");
        if let Some(url) = postgres_url {
            command.args(["--postgres", url]);
        }
        run(&mut command).unwrap();
        service
    }

    fn command(&self, action: &str) -> Command {
        let mut command = Command::new(bin_dir().unwrap().join("cloister-host"));
        command.args(["ledger", action, "--dir"]).arg(self.directory());
        command
    }

    fn directory(&self) -> PathBuf {
        self.home.path().join("ledger")
    }

    /// Starts it and does not wait until it answers.
    pub(crate) fn launch(&mut self) {
        let address = format!("127.0.0.1:{}", self.port);
        let process = Process::start("ledger", self.command("serve").args(["--listen", &address])).unwrap();
        self.process = Some(process);
    }

    pub(crate) fn start(&mut self) {
        self.launch();
        let address = format!("127.0.0.1:{}", self.port);
        let process = self.process.as_mut().unwrap();
        process.wait_until(READY, |_| TcpStream::connect(&address).is_ok()).unwrap();
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill().unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The file of a ledger that is in one.
    pub(crate) fn database(&self) -> PathBuf {
        self.directory().join("ledger.redb")
    }

    /// `cloister ledger audit`, away from the caller's own configuration.
    pub(crate) fn audit(&self) -> Command {
        let mut command = Command::new(bin_dir().unwrap().join("cloister"));
        command.args(["--json", "ledger", "audit", &self.url()]);
        for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env(name, self.home.path());
        }
        command
    }

    fn admin_key(&self) -> AdminKey {
        let text = std::fs::read_to_string(self.directory().join("admin.key")).unwrap();
        AdminKey::from_seed(&decode_hex(text.trim()).unwrap())
    }
}

/// The key that settles the spends.
pub(crate) fn settle_key() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

/// The key of who is paid.
pub(crate) fn payee_key() -> PayeeKey {
    PayeeKey::from_seed(&[6; 32])
}

/// The administrator, and a wallet that knows no caution.
pub(crate) struct Owner {
    pub(crate) info: LedgerInfo,
    proving: ProvingParams,
    admin: AdminKey,
    key: SpendKey,
}

impl Owner {
    /// Of a ledger that is up.
    pub(crate) async fn of(service: &Service) -> Self {
        let info = LedgerClient::discover(&service.url()).await.unwrap();
        let client = LedgerClient::connect(&service.url(), Pins::from(&info)).await.unwrap();
        let proving = ProvingParams::from_bytes(&client.proving_key().await.unwrap(), info.vk_digest).unwrap();
        Self { info, proving, admin: service.admin_key(), key: SpendKey::from_secret(Fe::from(1)) }
    }

    pub(crate) fn pins(&self) -> Pins {
        Pins::from(&self.info)
    }

    /// So many notes of some value, by a voucher with this number.
    pub(crate) fn redemption(&self, voucher: u64, notes: u64, value: u64) -> RedeemRequest {
        let sum = Credits::new(notes * value).unwrap();
        let voucher_text = Voucher::issue(&self.admin, self.info.ledger_id, numbered(voucher), sum).to_text();
        let output = |note| self.output(8 * voucher + note, value);
        RedeemRequest { voucher: voucher_text, outputs: (0..notes).map(output).collect() }
    }

    pub(crate) fn output(&self, number: u64, value: u64) -> MintOutput {
        MintOutput { pk: self.key.public_key(0), value: Credits::new(value).unwrap(), b: Fe::from(number) }
    }

    /// A spend of a minted note, whose number tells it from other spends of the note.
    pub(crate) fn spend(&self, minted: &MintEntry, tree: &NoteTree, number: u64, c_max: u64) -> ReserveRequest {
        let (value, rho, blind) = (minted.value, minted.rho, Blind(minted.b));
        let note = Note { lane: 0, value, rho, blind, refund: Credits::ZERO };
        let (c_max, now) = (Credits::new(c_max).unwrap(), attestation::Clock::now(&acceptance::clock::WallClock).0);
        let context = SpendContext {
            ledger_id: self.info.ledger_id,
            vk_digest: self.info.vk_digest,
            keyset_digest: Bytes32([5; 32]),
            settle_key: settle_key().public(),
            payee: payee_key().public(),
            price_sheet_digest: Bytes32([7; 32]),
            not_after: now + SPEND_SECS,
            tab_key: numbered(number),
        };
        let path = tree.path(minted.leaf_index).unwrap();
        let witness = SpendWitness { spend_key: self.key.clone(), note, path, blind_next: Blind(Fe::from(number)) };
        let public = witness.public(c_max, context.digest(c_max)).unwrap();
        let proof = prove(&self.proving, &public, &witness, &mut rand_core::OsRng).unwrap();
        let (root, nullifier, inner_next) = (public.root, public.nullifier, public.inner_next);
        ReserveRequest { root, nullifier, inner_next, c_max, context, proof }
    }
}

fn numbered(number: u64) -> Bytes32 {
    let mut bytes = Bytes32([4; 32]);
    bytes.0[..8].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// All of a ledger's log from a position on, while nobody writes to it.
pub(crate) async fn log_from(client: &LedgerClient, mut from: u64) -> Vec<LogEntry> {
    let mut entries = Vec::new();
    loop {
        let page = client.log(from, 1000).await.unwrap();
        from += u64::try_from(page.entries.len()).unwrap();
        entries.extend(page.entries);
        if from == page.checkpoint.log_size {
            return entries;
        }
    }
}
