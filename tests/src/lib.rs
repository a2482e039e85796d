//! Acceptance: the appliance as real processes, and what the tests, the demo and the benches share.

pub mod channel;
pub mod cli;
pub mod clock;
pub mod engine;
pub mod hardware;
pub mod measure;
pub mod mitm;
pub mod nvml_double;
pub mod payer;
pub mod pebble;
pub mod processes;
pub mod proxy;
pub mod raw;
pub mod raw_h2;
pub mod reflector;
pub mod scripted_engine;
pub mod sev_guest_double;
pub mod stolen;
pub mod tap;
pub mod tls;
pub mod tsm_double;
pub mod world;

pub use engine::{Engine, EngineKind};
pub use world::{World, WorldBuilder};
