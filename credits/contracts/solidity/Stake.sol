// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Cloister} from "./Cloister.sol";
import {IERC20, Tokens} from "./Tokens.sol";

/// Tokens that stand behind a guardian's settle key, lost when the key signed what contradicts itself.
///
/// Evidence is two signatures of the key about one reservation: nobody else can make it, so no arbiter is needed. What a guardian signs honestly never
/// is evidence: for each reservation any number of running totals (`Settle`) up to the final bill (`Bill`), and one bill. A reservation is nullifier,
/// successor and context together: a chain that takes one back can have another of the same note, and then the guardian signs for both.
///
/// Whoever wants the reward commits to the evidence first and shows it a while later, so that who reads it on its way takes nothing by copying it.
contract Stake {
    using Tokens for IERC20;

    /// How long a stake stays liable after the last spend that was reserved before its owner asked for it back, in seconds.
    uint64 public constant LIABLE_SECS = 14 days;
    /// What whoever brings evidence gets, as a fraction of the stake. Small, since whoever has the key can accuse himself: an owner who wants his
    /// stake out, or a thief of the key. The rest is burnt.
    uint256 public constant REWARD_DIVISOR = 20;
    /// From committing to evidence to showing it, in seconds: several blocks, so that a copy of shown evidence comes too late.
    uint64 public constant COMMIT_SECS = 60;
    /// Where burnt tokens go: many tokens refuse the zero address.
    address public constant BURNT = 0x000000000000000000000000000000000000dEaD;
    uint256 private constant S_MAX = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant CONSENT_TYPE = keccak256("Consent(address owner,uint64 nonce,uint64 notAfter)");
    bytes32 private constant BILL_TYPE = keccak256("Bill(uint256 nullifier,uint256 innerNext,uint256 ctx,uint64 total)");

    struct Bond {
        address owner;
        /// In base units of the token.
        uint128 amount;
        /// From when on it can be taken back; 0 while nobody asked.
        uint64 releaseAt;
    }

    struct Signature {
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// Two signatures of one key about one reservation.
    struct Evidence {
        address settleKey;
        uint256 nullifier;
        uint256 innerNext;
        uint256 ctx;
        /// What the first signature is for.
        uint64 amount;
        Signature signature;
        /// The final bill, which contradicts it.
        uint64 total;
        Signature billed;
    }

    /// Whose settlements the key signs.
    Cloister public immutable cloister;
    IERC20 public immutable token;
    /// From asking to taking: as long as a spend can be open, and `LIABLE_SECS`.
    uint64 public immutable releaseSecs;
    mapping(address settleKey => Bond) public bonds;
    /// How many consents a key has given that were used: the next must name this number.
    mapping(address settleKey => uint64) public consents;
    /// When evidence was committed to.
    mapping(bytes32 commitment => uint64) public committedAt;
    bool transient locked;

    event Staked(address indexed settleKey, address indexed owner, uint128 amount);
    event ReleaseRequested(address indexed settleKey, uint64 releaseAt);
    event Released(address indexed settleKey, uint128 amount);
    event Committed(bytes32 indexed commitment);
    event Slashed(address indexed settleKey, uint256 indexed nullifier, address reporter, uint128 amount);

    error Locked();
    error AmountZero();
    error AmountTooLarge();
    error AlreadyStaked();
    error NotOwner();
    error NotReleased();
    error NoStake();
    error SignatureInvalid();
    error NoFault();
    error ConsentExpired();
    error CommitmentRepeated();
    error CommitmentMissing();
    error CommitmentYoung();

    modifier alone() {
        if (locked) revert Locked();
        locked = true;
        _;
        locked = false;
    }

    constructor(Cloister cloister_) {
        cloister = cloister_;
        token = cloister_.token();
        releaseSecs = cloister_.tabSecsMax() + cloister_.graceSecs() + LIABLE_SECS;
    }

    /// Puts the caller's tokens behind a key, which consents: else anyone could take its place with a grain. A consent is for one stake and some time.
    function stake(address settleKey, uint256 amount, uint64 notAfter, Signature calldata consent) external alone {
        if (amount == 0) revert AmountZero();
        if (amount > type(uint128).max) revert AmountTooLarge();
        if (bonds[settleKey].amount != 0) revert AlreadyStaked();
        if (block.timestamp > notAfter) revert ConsentExpired();
        _check(settleKey, consentDigest(msg.sender, consents[settleKey], notAfter), consent);
        consents[settleKey] += 1;
        bonds[settleKey] = Bond(msg.sender, uint128(amount), 0);
        emit Staked(settleKey, msg.sender, uint128(amount));
        token.take(msg.sender, amount);
    }

    /// Until when a key's stake cannot be taken back, whatever its owner does; 0 without a stake. A client wants this to be later than the end of its
    /// tab and what time it needs to complain. A time that is past says that the stake may be gone with the next transaction.
    function liableUntil(address settleKey) external view returns (uint64) {
        Bond memory bond = bonds[settleKey];
        if (bond.amount == 0) return 0;
        return bond.releaseAt != 0 ? bond.releaseAt : uint64(block.timestamp) + releaseSecs;
    }

    /// Asks for a stake back. From now on a client sees that it is leaving: `ReleaseRequested`, and `liableUntil` no longer moves. Asked again, it
    /// begins anew.
    function requestRelease(address settleKey) external {
        Bond storage bond = bonds[settleKey];
        if (bond.owner != msg.sender) revert NotOwner();
        bond.releaseAt = uint64(block.timestamp) + releaseSecs;
        emit ReleaseRequested(settleKey, bond.releaseAt);
    }

    function release(address settleKey) external alone {
        Bond memory bond = bonds[settleKey];
        if (bond.owner != msg.sender) revert NotOwner();
        if (bond.releaseAt == 0 || block.timestamp < bond.releaseAt) revert NotReleased();
        delete bonds[settleKey];
        emit Released(settleKey, bond.amount);
        token.give(bond.owner, bond.amount);
    }

    /// Commits to evidence without showing it: to `commitmentOf` it, the caller and a secret.
    function commit(bytes32 commitment) external {
        // Else a copy of the commitment, later, would put off the first.
        if (committedAt[commitment] != 0) revert CommitmentRepeated();
        committedAt[commitment] = uint64(block.timestamp);
        emit Committed(commitment);
    }

    /// The key signed a settlement above its own final bill. Whether the settlement was sent does not matter: the signature is what would have charged it.
    function slashOvercharge(Evidence calldata evidence, bytes32 secret) external alone {
        if (evidence.amount <= evidence.total) revert NoFault();
        bytes32 settled = cloister.settleDigest(evidence.nullifier, evidence.innerNext, evidence.ctx, evidence.amount);
        _slash(evidence, settled, secret);
    }

    /// The key signed two final bills of one reservation.
    function slashTwoBills(Evidence calldata evidence, bytes32 secret) external alone {
        if (evidence.amount == evidence.total) revert NoFault();
        bytes32 other = billDigest(evidence.nullifier, evidence.innerNext, evidence.ctx, evidence.amount);
        _slash(evidence, other, secret);
    }

    function commitmentOf(address reporter, Evidence calldata evidence, bytes32 secret) public pure returns (bytes32) {
        return keccak256(abi.encode(reporter, evidence, secret));
    }

    /// What a settle key signs to be staked for by an owner, once and until `notAfter`.
    function consentDigest(address owner, uint64 nonce, uint64 notAfter) public view returns (bytes32) {
        return _typed(keccak256(abi.encode(CONSENT_TYPE, owner, nonce, notAfter)));
    }

    /// What a settle key signs once, when a tab is closed, for the client.
    function billDigest(uint256 nullifier, uint256 innerNext, uint256 ctx, uint64 total) public view returns (bytes32) {
        return _typed(keccak256(abi.encode(BILL_TYPE, nullifier, innerNext, ctx, total)));
    }

    function _slash(Evidence calldata evidence, bytes32 first, bytes32 secret) private {
        address settleKey = evidence.settleKey;
        _check(settleKey, first, evidence.signature);
        _check(settleKey, billDigest(evidence.nullifier, evidence.innerNext, evidence.ctx, evidence.total), evidence.billed);
        uint64 committed = committedAt[commitmentOf(msg.sender, evidence, secret)];
        if (committed == 0) revert CommitmentMissing();
        if (block.timestamp < committed + COMMIT_SECS) revert CommitmentYoung();
        uint128 amount = bonds[settleKey].amount;
        if (amount == 0) revert NoStake();
        delete bonds[settleKey];
        emit Slashed(settleKey, evidence.nullifier, msg.sender, amount);
        uint256 reward = amount / REWARD_DIVISOR;
        if (reward != 0) token.give(msg.sender, reward);
        token.give(BURNT, amount - reward);
    }

    function _check(address settleKey, bytes32 digest, Signature calldata signature) private pure {
        bool high = uint256(signature.s) > S_MAX;
        // An invalid signature recovers to zero, which is no key.
        if (high || settleKey == address(0) || ecrecover(digest, signature.v, signature.r, signature.s) != settleKey) {
            revert SignatureInvalid();
        }
    }

    function _typed(bytes32 message) private view returns (bytes32) {
        bytes32 domain =
            keccak256(abi.encode(DOMAIN_TYPE, keccak256("Cloister stake"), keccak256("1"), block.chainid, address(this)));
        return keccak256(abi.encodePacked(hex"1901", domain, message));
    }
}
