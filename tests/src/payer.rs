//! A payer without manners: it can do with notes, proofs and tabs what `cloister` never would.

use anyhow::Context;
use attestation::{AttestationDocument, Clock, Nonce, Signed};
use credits::params::ProvingParams;
use credits::spend::prove;
use credits::wallet::{PreparedSpend, Wallet, WalletSeed};
use credits::{
    Bytes32, Credits, Ledger, LedgerInfo, LogEntry, Nullifier, Offer, OpenTabRequest, RedeemRequest,
    SpendContextInputs, TabKey, sign_request,
};
use ledger_client::{LedgerClient, Pins};
use rand_core::OsRng;
use serde_json::{Value, json};

use crate::clock::WallClock;
use crate::raw::{self, Answer};
use crate::world::World;

/// A wallet in memory, with the node it pays.
pub struct Payer {
    ledger: LedgerClient,
    info: LedgerInfo,
    wallet: Wallet,
    params: ProvingParams,
    port: u16,
    document: AttestationDocument,
    offer: Offer,
}

/// The chat path.
pub const CHAT: &str = "/v1/chat/completions";

impl Payer {
    /// A payer with `value` credits in eight notes.
    pub async fn new(world: &World, value: u64) -> anyhow::Result<Self> {
        Self::with_deposits(world, value, 1).await
    }

    /// A payer with so many deposits of `value` credits, each in eight notes.
    pub async fn with_deposits(world: &World, value: u64, deposits: usize) -> anyhow::Result<Self> {
        let info = LedgerClient::discover(&world.ledger_url()).await?;
        let ledger = LedgerClient::connect(&world.ledger_url(), Pins::from(&info)).await?;
        let params = ProvingParams::from_bytes(&ledger.proving_key().await?, info.vk_digest)?;
        let mut wallet = Wallet::new(WalletSeed::from_bytes(Nonce::random()?.0), &info);
        for _ in 0..deposits {
            let outputs = wallet.deposit_outputs(Credits::new(value)?, 8)?;
            ledger.redeem(RedeemRequest { voucher: world.voucher(value)?, outputs }).await?;
        }
        let port = world.guardian_port();
        let document = raw::get(port, &format!("/v1/attestation?nonce={}", Nonce::random()?)).await?;
        let document = AttestationDocument::from_json(&document.body)?;
        let offer: Signed<Offer> = serde_json::from_slice(&raw::get(port, "/v1/offer").await?.body)?;
        let mut payer = Self { ledger, info, wallet, params, port, document, offer: offer.statement };
        payer.sync().await?;
        Ok(payer)
    }

    /// Replays the ledger's log.
    pub async fn sync(&mut self) -> anyhow::Result<()> {
        loop {
            let page = self.ledger.log(self.wallet.next_entry(), 1000).await?;
            if self.wallet.apply_page(&page)?.remaining == 0 {
                return Ok(());
            }
        }
    }

    /// Spendable, reserved and pending credits.
    #[must_use]
    pub fn balance(&self) -> (u64, u64, u64) {
        let balance = self.wallet.balance();
        (balance.spendable.get(), balance.reserved.get(), balance.pending.get())
    }

    /// A spend for a tab that ends `secs` from now.
    pub fn prepare(&mut self, c_max: u64, secs: u64) -> anyhow::Result<PreparedSpend> {
        let not_after = WallClock.now().0 + secs;
        let key = self.document.keyset.receipt_signing_keys.first().context("the keyset has a receipt key")?;
        let settle_key: Bytes32 = key.public_key.parse()?;
        let inputs = SpendContextInputs {
            ledger_id: self.info.ledger_id,
            vk_digest: self.info.vk_digest,
            keyset_digest: Bytes32(self.document.keyset_digest.0),
            settle_key,
            payee: self.offer.payee,
            price_sheet_digest: self.offer.price_sheet_digest()?,
            not_after,
        };
        Ok(self.wallet.prepare_spend(Credits::new(c_max)?, inputs)?)
    }

    /// Proves a spend and makes the request that opens its tab.
    pub fn tab_request(&self, spend: &PreparedSpend) -> anyhow::Result<OpenTabRequest> {
        Ok(OpenTabRequest {
            version: credits::tab::TAB_VERSION.to_owned(),
            root: spend.public.root,
            nullifier: spend.public.nullifier,
            inner_next: spend.public.inner_next,
            c_max: spend.public.c_max,
            not_after: spend.context.not_after,
            tab_key: spend.context.tab_key,
            proof: prove(&self.params, &spend.public, &spend.witness, &mut OsRng)?,
        })
    }

    /// Sends a tab request as it is.
    pub async fn open(&self, request: &OpenTabRequest) -> anyhow::Result<Answer> {
        raw::post(self.port, "/v1/tabs", &[], serde_json::to_vec(request)?).await
    }

    /// Prepares, proves and opens.
    pub async fn opened(&mut self, c_max: u64, secs: u64) -> anyhow::Result<PreparedSpend> {
        let spend = self.prepare(c_max, secs)?;
        let answer = self.open(&self.tab_request(&spend)?).await?;
        anyhow::ensure!(answer.status.is_success(), "tab refused: {}", answer.json());
        Ok(spend)
    }

    /// A signed POST under a tab, with any key.
    pub async fn signed(
        &self,
        path: &str,
        tab: &Nullifier,
        key: &TabKey,
        idempotency: &str,
        body: &Value,
    ) -> anyhow::Result<Answer> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let headers = sign_request(key, "POST", path, tab, idempotency, &body, WallClock.now().0);
        raw::post(self.port, path, &headers.pairs(), body).await
    }

    /// The headers of a signed chat request.
    #[must_use]
    pub fn chat_headers(&self, spend: &PreparedSpend, idempotency: &str, body: &[u8]) -> credits::RequestHeaders {
        let now = WallClock.now().0;
        sign_request(&spend.tab_key, "POST", CHAT, &spend.public.nullifier, idempotency, body, now)
    }

    /// A signed chat request.
    pub async fn chat(
        &self,
        spend: &PreparedSpend,
        idempotency: &str,
        prompt: &str,
        max_tokens: u64,
    ) -> anyhow::Result<Answer> {
        let body = json!({"model": "smollm2-135m", "max_tokens": max_tokens, "temperature": 0,
            "messages": [{"role": "user", "content": prompt}]});
        self.signed(CHAT, &spend.public.nullifier, &spend.tab_key, idempotency, &body).await
    }

    /// Asks for the receipt with this id, signed with the key of a tab.
    pub async fn receipt(&self, spend: &PreparedSpend, id: &str) -> anyhow::Result<Answer> {
        let path = format!("/v1/aci/receipts/{id}");
        let headers = sign_request(&spend.tab_key, "GET", &path, &spend.public.nullifier, id, &[], WallClock.now().0);
        let mut request = http::Request::get(&path);
        for (name, value) in headers.pairs() {
            request = request.header(name, value);
        }
        raw::send(self.port, request.body(bytes::Bytes::new())?).await
    }

    /// The running totals of a spend in the ledger's log.
    pub async fn journalled(&self, spend: &PreparedSpend) -> anyhow::Result<Vec<u64>> {
        let (mut totals, mut from) = (Vec::new(), 0);
        loop {
            let page = self.ledger.log(from, 1000).await?;
            if page.entries.is_empty() {
                return Ok(totals);
            }
            for entry in &page.entries {
                from += 1;
                if let LogEntry::Journal(entry) = entry
                    && entry.nullifier == spend.public.nullifier
                {
                    totals.push(entry.total.get());
                }
            }
        }
    }

    /// Closes a tab; the settlement, or the refusal.
    pub async fn close(&self, spend: &PreparedSpend) -> anyhow::Result<Answer> {
        let path = format!("/v1/tabs/{}/close", spend.public.nullifier);
        self.signed(&path, &spend.public.nullifier, &spend.tab_key, "close", &Value::Null).await
    }
}
