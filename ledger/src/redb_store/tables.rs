//! The tables of the database. Their records are JSON, see [`crate::record`].

use redb::TableDefinition;

/// One record, [`META_KEY`]: the [`crate::record::Meta`] of the committed state.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Log position → entry.
pub(super) const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
/// Level and index of a complete subtree of the log → its hash.
pub(super) const NODES: TableDefinition<'_, (u8, u64), &[u8; 32]> = TableDefinition::new("nodes");
/// Nullifier → state of the spend. Its keys are the spent set.
pub(super) const SPENDS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("spends");
/// Hidden part of a successor note → nullifier of the spend that used it.
pub(super) const INNERS: TableDefinition<'_, &[u8; 32], &[u8; 32]> = TableDefinition::new("inners");
/// `not_after` and nullifier of every spend that is reserved.
pub(super) const DUE: TableDefinition<'_, (u64, &[u8; 32]), ()> = TableDefinition::new("due");
/// Voucher id → what it was redeemed for.
pub(super) const VOUCHERS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("vouchers");
/// Payee → what it is owed.
pub(super) const PAYEES: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("payees");
/// Payee → its last claim. Databases of before there were claims get the table with the first transaction.
pub(super) const CLAIMS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("claims");
/// Payee → its stake. Databases of before there were stakes get the table with the first transaction.
pub(super) const BONDS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("bonds");
/// Recent note root → number of notes under it.
pub(super) const ROOTS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("roots");
/// Number of notes → recent note root.
pub(super) const ROOT_COUNTS: TableDefinition<'_, u64, &[u8; 32]> = TableDefinition::new("root_counts");

/// Key of the one record of [`META`].
pub(super) const META_KEY: &str = "ledger";
