//! The guardian in front of the same upstream: attested TLS, tab signatures checked, receipts signed, running totals journalled.

use std::sync::Arc;
use std::time::Duration;

use acceptance::World;
use acceptance::payer::Payer;
use acceptance::processes::Process;

use crate::load::Client;
use crate::upstream;

/// Reserve of a tab: enough for all its calls at the prices below.
pub(crate) const TIER: u64 = 1 << 20;

/// A node, and a client that pays it.
pub(crate) struct Node {
    /// Its processes.
    pub(crate) world: World,
    /// The client.
    pub(crate) client: Arc<Client>,
    upstream: Option<Process>,
}

impl Node {
    /// A node whose answers are shaped like this, and a client with so many tabs.
    pub(crate) async fn start(shaping: &str, tabs: usize) -> anyhow::Result<Self> {
        let (world, upstream) = tokio::task::block_in_place(|| {
            let mut world = World::builder().start()?;
            world.kill_engine()?;
            let upstream = upstream::start(&world.engine_socket(), Duration::ZERO)?;
            world.stop_guardian()?;
            let config = std::fs::read_to_string(world.config_file())?
                .replace("dialect = \"llama\"", "dialect = \"vllm\"")
                .replace("prompt_credits = 1", "prompt_credits = 0")
                .replace("completion_credits = 4", "completion_credits = 1")
                .replace("request_credits = 10", "request_credits = 1")
                .replace("tiers = [1024,", &format!("tiers = [{TIER}, 1024,"));
            std::fs::write(world.config_file(), format!("{config}\n[shaping]\n{shaping}\n"))?;
            world.start_guardian()?;
            anyhow::Ok((world, upstream))
        })?;
        let deposits = tabs.div_ceil(8);
        let payer = Payer::with_deposits(&world, 8 * TIER, deposits).await?;
        let client = Arc::new(Client::new(payer, tabs, shaping.contains("frame_bytes = 0")).await?);
        Ok(Self { world, client, upstream: Some(upstream) })
    }

    /// From now on the upstream says its events at this pace.
    pub(crate) fn pace(&mut self, pace: Duration) -> anyhow::Result<()> {
        self.upstream = None;
        self.upstream = Some(upstream::start(&self.world.engine_socket(), pace)?);
        Ok(())
    }
}
