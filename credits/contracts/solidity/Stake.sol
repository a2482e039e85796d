// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Cloister} from "./Cloister.sol";
import {IERC20, Tokens} from "./Tokens.sol";

/// Tokens that stand behind a guardian's settle key, lost when the key signed what contradicts itself.
///
/// Evidence is two signatures of the key about one spend: nobody else can make it, so no arbiter is needed. What a guardian signs honestly never is
/// evidence: any number of running totals (`Settle`) up to the final bill (`Bill`), and one bill.
contract Stake {
    using Tokens for IERC20;

    /// How long a stake stays liable after the last spend that was reserved before its owner asked for it back, in seconds.
    uint64 public constant LIABLE_SECS = 14 days;
    /// What whoever brings evidence gets, as a fraction of the stake; the rest is burnt, so that an owner who accuses himself loses it.
    uint256 public constant REWARD_DIVISOR = 2;
    /// Where burnt tokens go: many tokens refuse the zero address.
    address public constant BURNT = 0x000000000000000000000000000000000000dEaD;
    uint256 private constant S_MAX = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant CONSENT_TYPE = keccak256("Consent(address owner)");
    bytes32 private constant BILL_TYPE = keccak256("Bill(uint256 nullifier,uint64 total)");

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

    /// Whose settlements the key signs.
    Cloister public immutable cloister;
    IERC20 public immutable token;
    /// From asking to taking: as long as a spend can be open, and `LIABLE_SECS`.
    uint64 public immutable releaseSecs;
    mapping(address settleKey => Bond) public bonds;
    bool transient locked;

    event Staked(address indexed settleKey, address indexed owner, uint128 amount);
    event ReleaseRequested(address indexed settleKey, uint64 releaseAt);
    event Released(address indexed settleKey, uint128 amount);
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

    /// Puts the caller's tokens behind a key, which consents: else anyone could take its place with a grain.
    function stake(address settleKey, uint256 amount, Signature calldata consent) external alone {
        if (amount == 0) revert AmountZero();
        if (amount > type(uint128).max) revert AmountTooLarge();
        if (bonds[settleKey].amount != 0) revert AlreadyStaked();
        _check(settleKey, consentDigest(msg.sender), consent);
        bonds[settleKey] = Bond(msg.sender, uint128(amount), 0);
        emit Staked(settleKey, msg.sender, uint128(amount));
        token.take(msg.sender, amount);
    }

    /// Asks for a stake back. From now on a client sees that it is leaving.
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

    /// The key signed a settlement above its own final bill. Whether the settlement was sent does not matter: the signature is what would have charged it.
    function slashOvercharge(
        address settleKey,
        uint256 nullifier,
        uint64 charge,
        Signature calldata settled,
        uint64 total,
        Signature calldata billed
    ) external alone {
        if (charge <= total) revert NoFault();
        _check(settleKey, cloister.settleDigest(nullifier, charge), settled);
        _check(settleKey, billDigest(nullifier, total), billed);
        _slash(settleKey, nullifier);
    }

    /// The key signed two final bills of one spend.
    function slashTwoBills(
        address settleKey,
        uint256 nullifier,
        uint64 total,
        Signature calldata billed,
        uint64 otherTotal,
        Signature calldata otherBilled
    ) external alone {
        if (total == otherTotal) revert NoFault();
        _check(settleKey, billDigest(nullifier, total), billed);
        _check(settleKey, billDigest(nullifier, otherTotal), otherBilled);
        _slash(settleKey, nullifier);
    }

    /// What a settle key signs to be staked for by an owner.
    function consentDigest(address owner) public view returns (bytes32) {
        return _typed(keccak256(abi.encode(CONSENT_TYPE, owner)));
    }

    /// What a settle key signs once, when a tab is closed, for the client.
    function billDigest(uint256 nullifier, uint64 total) public view returns (bytes32) {
        return _typed(keccak256(abi.encode(BILL_TYPE, nullifier, total)));
    }

    function _slash(address settleKey, uint256 nullifier) private {
        uint128 amount = bonds[settleKey].amount;
        if (amount == 0) revert NoStake();
        delete bonds[settleKey];
        emit Slashed(settleKey, nullifier, msg.sender, amount);
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
