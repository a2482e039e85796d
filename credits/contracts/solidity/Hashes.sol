// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

// What is hashed by SHA-256: strings of fields, each behind its length in four bytes. `docs/protocol.md` §1, §3.3, §4.2.

// The largest amount of credits, which every JSON implementation keeps exact.
uint64 constant CREDITS_MAX = (1 << 53) - 1;

// The price sheet of a spend to an address: SHA-256 of "cloister/exit/v1".
bytes32 constant EXIT_SHEET = 0x73ae4453fc55f05793687ad636ebc7d28281d3e211a0411b2ee768247842bd9b;
// That of a whole note's spend to an address, which leaves no successor: SHA-256 of "cloister/exit-whole/v1".
bytes32 constant EXIT_WHOLE_SHEET = 0xac0b6699cb284342527c64ff746b81debcef71e65fd455a68540d20de919d2b4;

/// What a spend is bound to, but for ledger and verifying key, which are the contract's own.
struct Terms {
    /// Hidden part of the successor note.
    uint256 innerNext;
    /// The most that can be charged, in credits.
    uint64 cMax;
    /// After this Unix time, in seconds, the spend can no longer be reserved.
    uint64 notAfter;
    /// The account whose signature settles, `settle_key` with twelve zero bytes in front.
    address settleKey;
    /// Who may claim the charge, `payee` with twelve zero bytes in front.
    address payee;
    bytes32 keysetDigest;
    bytes32 priceSheetDigest;
    bytes32 tabKey;
}

/// A digest with its top three bits cleared, which makes it an element of the scalar field.
function asElement(bytes32 digest) pure returns (uint256) {
    return uint256(digest) & ((1 << 253) - 1);
}

/// The ledger that a contract is.
function ledgerIdentity(address contract_, bytes32 keyDigest) view returns (bytes32) {
    bytes memory tag = "cloister/ledger-id/evm/v1";
    uint32 word = 32;
    return sha256(abi.encodePacked(uint32(tag.length), tag, word, block.chainid, uint32(20), contract_, word, keyDigest));
}

/// `rho` of a minted note.
function mintRho(bytes32 ledgerId, uint64 mintSeq) pure returns (uint256) {
    bytes memory tag = "cloister/mint-rho/v1";
    return asElement(sha256(abi.encodePacked(uint32(tag.length), tag, uint32(32), ledgerId, uint32(8), mintSeq)));
}

/// `ctx` of a spend.
function contextDigest(bytes32 ledgerId, bytes32 keyDigest, Terms calldata terms) pure returns (uint256) {
    bytes memory tag = "cloister/spend-context/v1";
    uint32 word = 32;
    bytes memory parties = abi.encodePacked(
        uint32(tag.length), tag, word, ledgerId, word, keyDigest, word, terms.keysetDigest, word, _word(terms.settleKey)
    );
    bytes memory rest = abi.encodePacked(
        word, _word(terms.payee), word, terms.priceSheetDigest, uint32(8), terms.cMax, uint32(8), terms.notAfter, word, terms.tabKey
    );
    return asElement(sha256(abi.encodePacked(parties, rest)));
}

function _word(address account) pure returns (uint256) {
    return uint256(uint160(account));
}
