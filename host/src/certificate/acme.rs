//! The authority's side: an account, orders, and what went wrong with them (RFC 8555).

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use instant_acme::{
    Account, AccountBuilder, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    RetryPolicy,
};

use super::challenge::{Answers, Given};
use crate::{key_file, output};

/// How long the authority may take for each of its two steps.
const STEP: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(90));
/// What fails if the authority finds no answer, whenever it says so: a quick one looks before it has answered that it will.
const FOUND: &str = "have the authority find this machine at the name";
/// How long an order may take in all.
const ORDER_TIMEOUT: Duration = Duration::from_secs(300);

/// An authority, and who we are there.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) directory: String,
    /// What its server is known by, if not by this machine's roots.
    pub(super) root: Option<PathBuf>,
    pub(super) contact: Vec<String>,
    pub(super) profile: Option<String>,
    /// The account's file.
    pub(super) account: PathBuf,
    /// How its questions are answered.
    pub(super) answers: Answers,
}

impl Authority {
    /// The chain, in PEM, for a request (PKCS #10, DER) of these names.
    pub(super) async fn certify(&self, request: &[u8], names: &[String]) -> anyhow::Result<String> {
        let certified = tokio::time::timeout(ORDER_TIMEOUT, self.order(request, names)).await;
        certified.map_err(|_| anyhow::anyhow!("the order took more than {} s", ORDER_TIMEOUT.as_secs()))?
    }

    async fn order(&self, request: &[u8], names: &[String]) -> anyhow::Result<String> {
        let account = self.account().await?;
        let names: Vec<_> = names.iter().map(|name| Identifier::Dns(name.clone())).collect();
        let mut wanted = NewOrder::new(&names);
        if let Some(profile) = &self.profile {
            wanted = wanted.profile(profile);
        }
        let mut order = account.new_order(&wanted).await.context("order a certificate")?;
        let given = self.give_answers(&mut order).await?;
        // What it found is in the error.
        let status = order.poll_ready(&STEP).await.context(FOUND)?;
        if status != OrderStatus::Ready {
            bail!("the authority says that the order is {status:?}");
        }
        drop(given);
        order.finalize_csr(request).await.context("hand in the request")?;
        order.poll_certificate(&STEP).await.context("wait for the certificate")
    }

    async fn give_answers(&self, order: &mut Order) -> anyhow::Result<Vec<Given>> {
        let mut given = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.context("read what the authority asks")?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                other => bail!("the authority says that the name is {other:?}"),
            }
            let challenge = authorization.challenge(ChallengeType::Http01);
            let mut challenge = challenge.context("the authority does not ask over HTTP (http-01)")?;
            given.push(self.answers.give(&challenge.token, challenge.key_authorization().as_str()));
            challenge.set_ready().await.context(FOUND)?;
        }
        Ok(given)
    }

    async fn account(&self) -> anyhow::Result<Account> {
        if self.account.exists() {
            let credentials = serde_json::from_str(&key_file::read(&self.account)?);
            let credentials = credentials.with_context(|| format!("{} is not an account", self.account.display()))?;
            return self.client()?.from_credentials(credentials).await.context("reach the authority");
        }
        let contact: Vec<&str> = self.contact.iter().map(String::as_str).collect();
        let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let made = self.client()?.create(&wanted, self.directory.clone(), None).await;
        let (account, credentials) = made.context("make an account")?;
        key_file::write(&self.account, &serde_json::to_string(&credentials)?)?;
        output::note(&format!("made the account {}", account.id()));
        Ok(account)
    }

    fn client(&self) -> anyhow::Result<AccountBuilder> {
        match &self.root {
            Some(root) => {
                Account::builder_with_root(root).with_context(|| format!("use the certificate in {}", root.display()))
            }
            None => Account::builder().context("use this machine's root certificates"),
        }
    }
}
