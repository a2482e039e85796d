//! A wallet that knows nothing replays a ledger's log: from a ledger in the same process, and over HTTP.
//!
//! The work that cannot be spared is the note tree's own hashes, computed here beside it.

use credits::ledger::{LOG_PAGE_ENTRIES_MAX, REDEEM_OUTPUTS_MAX};
use credits::wallet::{Wallet, WalletSeed};
use credits::{
    Bytes32, Leaf, Ledger, LedgerInfo, LogEntry, LogPage, MintOutput, NotePublicKey, NoteTree, RedeemRequest, Root,
    Voucher,
};
use ledger::{OpenLedger, PublishedKeys, PublishedParams, WitnessedHead};
use ledger_client::{LedgerClient, Pins};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::report::{Report, Times, Work, in_turns, work};
use crate::world::{admin_key, credits, element, identity, info, open_file};

const ROUNDS: usize = 3;
const LEAVES: usize = 100_000;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    report.begin("a wallet scans 100,000 leaves");
    let runtime = Runtime::new()?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("ledger.redb");
    ledger::redb_store::create_database(&path, &identity())?;
    let ledger = open_file(&path);
    runtime.block_on(mint(&ledger, LEAVES));
    let pages = runtime.block_on(pages(&ledger));
    let leaves: Vec<Leaf> = pages.iter().flat_map(|page| &page.entries).filter_map(leaf).collect();
    assert_eq!(leaves.len(), LEAVES);
    let url = runtime.block_on(serve(ledger.clone()))?;
    let client = runtime.block_on(LedgerClient::connect(&url, Pins::from(&info())))?;
    let replay = || replayed(&info(), &pages);
    let in_process: Work<'_> = Box::new(|| Times::of(|| scan(&runtime, &ledger)));
    let over_http: Work<'_> = Box::new(|| Times::of(|| scan(&runtime, &client)));
    let [replay, in_process, over_http, hashes] =
        in_turns(ROUNDS, [work(replay), in_process, over_http, work(|| tree(&leaves))]);
    let peer = "the tree's hashes alone";
    report.compare("replay of pages that are there", &replay, peer, &hashes, None);
    report.compare("from a ledger in the process, on a file", &in_process, peer, &hashes, None);
    report.compare("from the same over HTTP", &over_http, peer, &hashes, None);
    Ok(())
}

fn tree(leaves: &[Leaf]) -> Root {
    let mut tree = NoteTree::new();
    for leaf in leaves {
        tree.append(*leaf).unwrap();
    }
    tree.root()
}

fn leaf(entry: &LogEntry) -> Option<Leaf> {
    match entry {
        LogEntry::Mint(entry) => Some(entry.leaf),
        _ => None,
    }
}

/// Notes of others.
async fn mint<L: Ledger>(ledger: &L, notes: usize) {
    let info = ledger.info().await.unwrap();
    let each = u64::try_from(REDEEM_OUTPUTS_MAX).unwrap();
    let requests = (0..u64::try_from(notes).unwrap() / each).map(|number| {
        let voucher_id = Bytes32(*element(4, number).as_bytes());
        let voucher = Voucher::issue(&admin_key(), info.ledger_id, voucher_id, credits(8 * each)).to_text();
        let output = |note| MintOutput { pk: NotePublicKey(element(5, note)), value: credits(8), b: element(6, note) };
        RedeemRequest { voucher, outputs: (number * each..).map(output).take(REDEEM_OUTPUTS_MAX).collect() }
    });
    let requests: Vec<_> = requests.collect();
    for some in requests.chunks(256) {
        for redeemed in futures::future::join_all(some.iter().map(|request| ledger.redeem(request.clone()))).await {
            redeemed.unwrap();
        }
    }
}

async fn pages<L: Ledger>(ledger: &L) -> Vec<LogPage> {
    let (mut pages, mut next) = (Vec::<LogPage>::new(), 0);
    loop {
        let page = ledger.log(next, LOG_PAGE_ENTRIES_MAX).await.unwrap();
        next += u64::try_from(page.entries.len()).unwrap();
        let last = next == page.checkpoint.log_size;
        pages.push(page);
        if last {
            return pages;
        }
    }
}

fn replayed(info: &LedgerInfo, pages: &[LogPage]) -> Wallet {
    let mut wallet = Wallet::new(WalletSeed::from_bytes([9; 32]), info);
    for page in pages {
        wallet.apply_page(page).unwrap();
    }
    wallet
}

/// As wallets do it: page by page until the wallet is in step.
fn scan<L: Ledger>(runtime: &Runtime, ledger: &L) {
    let mut wallet = Wallet::new(WalletSeed::from_bytes([9; 32]), &info());
    runtime.block_on(async {
        loop {
            let page = ledger.log(wallet.next_entry(), LOG_PAGE_ENTRIES_MAX).await.unwrap();
            if wallet.apply_page(&page).unwrap().remaining == 0 {
                return;
            }
        }
    });
    assert_eq!(usize::try_from(wallet.next_entry()).unwrap(), LEAVES);
}

/// Serves a ledger on the loopback for as long as the runtime lives.
async fn serve(ledger: ledger::DurableLedger) -> anyhow::Result<String> {
    let spend = PublishedKeys { proving_key: "pk".into(), verifying_key: "vk".into() };
    let params = PublishedParams { spend, merge: None };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(ledger::serve(
        listener,
        OpenLedger { ledger, params, witnessed: WitnessedHead::default() },
        std::future::pending(),
    ));
    Ok(url)
}
