// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {CREDITS_MAX, EXIT_SHEET, EXIT_WHOLE_SHEET, Terms, contextDigest, ledgerIdentity, mintRho} from "./Hashes.sol";
import {HiddenPart} from "./HiddenPart.sol";
import {LEAVES_MAX, NoteTree} from "./NoteTree.sol";
import {SpendVerifier} from "./SpendVerifier.sol";
import {IERC20, Tokens} from "./Tokens.sol";

/// Deposits, spends and claims of credits in one ERC-20 token, by the rules of `credits::state`. `docs/protocol.md` §4.
///
/// Nobody owns it, nothing in it can be changed, and credits leave by two ways alone: a payee claims what settled spends charged, or a note is spent to
/// an address. At every moment the token balance covers `outstanding`, which is what live notes, reservations and payees hold.
///
/// A leaf is kept free for every open reservation, so that each can be ended; when no other is left, notes leave whole, which takes none.
contract Cloister {
    using Tokens for IERC20;

    /// Notes that one deposit opens at most.
    uint256 public constant OUTPUTS_MAX = 8;
    /// Longest reservation, and longest grace, that a contract can be made with: what is reserved must come free again.
    uint64 public constant SECS_MAX = 30 days;
    /// The upper half of signatures' s is refused (EIP-2), so that a signature has one form.
    uint256 private constant S_MAX = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant SETTLE_TYPE = keccak256("Settle(uint256 nullifier,uint256 innerNext,uint256 ctx,uint64 charge)");

    enum State {
        Absent,
        Reserved,
        Settled,
        Voided
    }

    /// A note that a depositor opens.
    struct Output {
        uint256 pk;
        uint64 value;
        uint256 b;
    }

    /// What the contract holds now, in one word. No sum over its whole life is among it: one day such a sum would be no amount, and who deposits and
    /// exits again and again could bring that day about. Live notes, with what reserved notes have beyond their reserve, are worth
    /// `outstanding − reserved − owed`.
    struct Totals {
        /// Deposited and not gone by an exit or a claim: at most `CREDITS_MAX`, and so is every note, since none is worth more than all. 64 bits
        /// are room enough for what a spend leaves.
        uint64 outstanding;
        /// Held by open reservations.
        uint64 reserved;
        /// To payees, by settled spends, and not claimed.
        uint64 owed;
        /// Notes minted ever: numbers the next, which no other ever has. Each took a leaf, so 32 bits are enough.
        uint32 mintSeq;
        /// Open reservations, each of which has a leaf to come.
        uint32 open;
    }

    IERC20 public immutable token;
    /// Base units of the token that a credit is.
    uint256 public immutable unit;
    /// Longest reservation, in seconds.
    uint64 public immutable tabSecsMax;
    /// How long after its deadline a spend can be settled, in seconds.
    uint64 public immutable graceSecs;
    SpendVerifier public immutable verifier;
    NoteTree public immutable tree;
    HiddenPart public immutable hiddenPart;
    bytes32 public immutable keyDigest;
    uint256 private immutable homeChain;
    bytes32 private immutable homeLedgerId;

    Totals public totals;
    /// What payees can claim, in credits.
    mapping(address payee => uint64) public claimable;
    /// A spend's state in the two low bits of what identifies its terms.
    mapping(uint256 nullifier => uint256) private spends;
    mapping(uint256 innerNext => bool) private innerUsed;
    bool transient locked;

    event Minted(uint64 indexed mintSeq, uint64 value, uint256 pk, uint256 rho, uint256 b, uint64 leafIndex, uint256 leaf);
    event Reserved(uint256 indexed nullifier, uint256 root, Terms terms);
    event Settled(uint256 indexed nullifier, uint64 charge, uint64 refund, uint64 leafIndex, uint256 leaf);
    event Voided(uint256 indexed nullifier, uint64 refund, uint64 leafIndex, uint256 leaf);
    event Exited(uint256 indexed nullifier, uint256 root, Terms terms, uint64 leafIndex, uint256 leaf);
    /// A note left whole: there is no successor, whatever the proof left in it.
    event ExitedWhole(uint256 indexed nullifier, uint256 root, Terms terms);
    event Claimed(address indexed payee, address to, uint64 amount);

    error Locked();
    error Configuration();
    error OutputsCount();
    error OutputNotCanonical();
    error AmountZero();
    error AmountTooLarge();
    error CapExceeded();
    error NoLeafLeft();
    error AboveOutstanding();
    error SpendRepeated();
    error SpendConflict();
    error ReserveZero();
    error Expired();
    error NotAfterTooFar();
    error InnerReused();
    error RootUnknown();
    error ProofInvalid();
    error SettleKeyMissing();
    error PayeeMissing();
    error SpendUnknown();
    error SpendEnded();
    error SettleAboveReserve();
    error SettleSignature();
    error SettleTooLate();
    error VoidTooEarly();
    error NothingToClaim();

    /// Token calls may call back: nothing here can be entered twice.
    modifier alone() {
        if (locked) revert Locked();
        locked = true;
        _;
        locked = false;
    }

    /// Verifier and hidden part hold no state and know no owner, but what they answer decides all: compare their code before you deposit.
    constructor(
        IERC20 token_,
        uint256 unit_,
        SpendVerifier verifier_,
        HiddenPart hiddenPart_,
        uint64 tabSecsMax_,
        uint64 graceSecs_,
        uint64 rootWindow
    ) {
        if (address(token_).code.length == 0 || unit_ == 0 || unit_ > type(uint128).max) revert Configuration();
        if (tabSecsMax_ == 0 || tabSecsMax_ > SECS_MAX || graceSecs_ > SECS_MAX || rootWindow == 0) revert Configuration();
        token = token_;
        unit = unit_;
        verifier = verifier_;
        keyDigest = verifier_.keyDigest();
        tabSecsMax = tabSecsMax_;
        graceSecs = graceSecs_;
        tree = new NoteTree(rootWindow);
        hiddenPart = hiddenPart_;
        homeChain = block.chainid;
        homeLedgerId = ledgerIdentity(address(this), verifier_.keyDigest());
    }

    /// The ledger that contexts name: this contract on this chain. After a fork of the chain the other branch is another ledger.
    function ledgerId() public view returns (bytes32) {
        return block.chainid == homeChain ? homeLedgerId : ledgerIdentity(address(this), keyDigest);
    }

    /// What a spend's context digests to here.
    function context(Terms calldata terms) external view returns (uint256) {
        return contextDigest(ledgerId(), keyDigest, terms);
    }

    function stateOf(uint256 nullifier) external view returns (State) {
        return State(spends[nullifier] & 3);
    }

    /// Takes tokens from the caller and opens notes that are worth them. Who knows the spending keys owns the notes, whoever paid.
    function deposit(Output[] calldata outputs) external alone {
        if (outputs.length == 0 || outputs.length > OUTPUTS_MAX) revert OutputsCount();
        uint256 sum = 0;
        for (uint256 i = 0; i < outputs.length; ++i) {
            if (outputs[i].value == 0) revert AmountZero();
            if (outputs[i].value > CREDITS_MAX) revert AmountTooLarge();
            sum += outputs[i].value;
        }
        if (totals.outstanding + sum > CREDITS_MAX) revert CapExceeded();
        _keepLeaves(outputs.length);
        totals.outstanding += uint64(sum);
        for (uint256 i = 0; i < outputs.length; ++i) _mint(outputs[i]);
        token.take(msg.sender, sum * unit);
    }

    /// Holds `cMax` of a note. Anyone may send it: the proof is bound to the terms.
    function reserve(uint256 root, uint256 nullifier, Terms calldata terms, uint256[8] calldata proof) external alone {
        if (terms.settleKey == address(0)) revert SettleKeyMissing();
        _spend(root, nullifier, terms, proof, State.Reserved, 1);
        totals.reserved += terms.cMax;
        totals.open += 1;
        emit Reserved(nullifier, root, terms);
    }

    /// Charges a reserved spend, by signature of its settle key (EIP-712). Anyone may send it.
    function settle(uint256 nullifier, Terms calldata terms, uint64 charge, uint8 v, bytes32 r, bytes32 s) external alone {
        if (charge > terms.cMax) revert SettleAboveReserve();
        _end(nullifier, terms, State.Settled);
        if (block.timestamp > uint256(terms.notAfter) + graceSecs) revert SettleTooLate();
        if (uint256(s) > S_MAX) revert SettleSignature();
        // An invalid signature recovers to zero, which is no settle key.
        bytes32 digest = settleDigest(nullifier, terms.innerNext, contextDigest(ledgerId(), keyDigest, terms), charge);
        if (ecrecover(digest, v, r, s) != terms.settleKey) revert SettleSignature();
        uint64 refund = terms.cMax - charge;
        totals.owed += charge;
        claimable[terms.payee] += charge;
        (uint64 leafIndex, uint256 leaf) = tree.append(terms.innerNext, refund);
        emit Settled(nullifier, charge, refund, leafIndex, leaf);
    }

    /// Gives back a spend that was not settled in time, whole. Anyone may send it.
    function voidOverdue(uint256 nullifier, Terms calldata terms) external alone {
        _end(nullifier, terms, State.Voided);
        if (block.timestamp <= uint256(terms.notAfter) + graceSecs) revert VoidTooEarly();
        (uint64 leafIndex, uint256 leaf) = tree.append(terms.innerNext, terms.cMax);
        emit Voided(nullifier, terms.cMax, leafIndex, leaf);
    }

    /// Spends `cMax` of a note to the address `payee`: reserved, settled and paid at once. Such terms name no guardian. Anyone may send it.
    ///
    /// By its price sheet its owner chose whether there is a successor. A whole note's exit has none and needs no leaf: so a full tree locks nothing.
    function exit(uint256 root, uint256 nullifier, Terms calldata terms, uint256[8] calldata proof) external alone {
        bool whole = terms.priceSheetDigest == EXIT_WHOLE_SHEET;
        bool named = terms.keysetDigest != 0 || terms.settleKey != address(0) || terms.tabKey != 0;
        if (named || !(whole || terms.priceSheetDigest == EXIT_SHEET)) revert SettleKeyMissing();
        _spend(root, nullifier, terms, proof, State.Settled, whole ? 0 : 1);
        totals.outstanding -= terms.cMax;
        if (whole) {
            emit ExitedWhole(nullifier, root, terms);
        } else {
            (uint64 leafIndex, uint256 leaf) = tree.append(terms.innerNext, 0);
            emit Exited(nullifier, root, terms, leafIndex, leaf);
        }
        token.give(terms.payee, terms.cMax * unit);
    }

    /// Pays out all that the caller's spends have charged.
    function claim(address to) external alone {
        uint64 amount = claimable[msg.sender];
        if (amount == 0) revert NothingToClaim();
        if (to == address(0)) revert PayeeMissing();
        claimable[msg.sender] = 0;
        totals.owed -= amount;
        totals.outstanding -= amount;
        emit Claimed(msg.sender, to, amount);
        token.give(to, amount * unit);
    }

    /// What the settle key signs. It names the whole reservation: a chain that takes one back can have another of the same note.
    function settleDigest(uint256 nullifier, uint256 innerNext, uint256 ctx, uint64 charge) public view returns (bytes32) {
        bytes32 domain =
            keccak256(abi.encode(DOMAIN_TYPE, keccak256("Cloister"), keccak256("1"), block.chainid, address(this)));
        bytes32 message = keccak256(abi.encode(SETTLE_TYPE, nullifier, innerNext, ctx, charge));
        return keccak256(abi.encodePacked(hex"1901", domain, message));
    }

    function _mint(Output calldata output) private {
        if (!verifier.isScalar(output.pk) || !verifier.isScalar(output.b)) revert OutputNotCanonical();
        uint64 number = totals.mintSeq++;
        uint256 rho = mintRho(ledgerId(), number);
        uint256 inner = hiddenPart.hash(output.pk, output.value, rho, output.b);
        (uint64 leafIndex, uint256 leaf) = tree.append(inner, 0);
        emit Minted(number, output.value, output.pk, rho, output.b, leafIndex, leaf);
    }

    /// The rules of a reservation, cheap ones first; the proof decides last. `leaves` is how many it will append.
    function _spend(
        uint256 root,
        uint256 nullifier,
        Terms calldata terms,
        uint256[8] calldata proof,
        State state,
        uint256 leaves
    ) private {
        uint256 known = spends[nullifier];
        uint256 mark = _mark(terms);
        if (known != 0) {
            if (known & ~uint256(3) == mark) revert SpendRepeated();
            revert SpendConflict();
        }
        if (terms.cMax == 0) revert ReserveZero();
        if (terms.cMax > CREDITS_MAX) revert AmountTooLarge();
        if (terms.payee == address(0)) revert PayeeMissing();
        if (terms.notAfter <= block.timestamp) revert Expired();
        if (terms.notAfter > block.timestamp + tabSecsMax) revert NotAfterTooFar();
        if (innerUsed[terms.innerNext]) revert InnerReused();
        _keepLeaves(leaves);
        if (!tree.accepts(root)) revert RootUnknown();
        // Sound proofs never come to this. Forged ones cannot take what is reserved or owed, nor more than there is.
        if (uint256(totals.reserved) + totals.owed + terms.cMax > totals.outstanding) revert AboveOutstanding();
        spends[nullifier] = mark | uint256(state);
        innerUsed[terms.innerNext] = true;
        uint256 digest = contextDigest(ledgerId(), keyDigest, terms);
        if (!verifier.verify([root, nullifier, terms.innerNext, terms.cMax, digest], proof)) revert ProofInvalid();
    }

    /// Ends a reservation: whatever is wrong later takes this back too.
    function _end(uint256 nullifier, Terms calldata terms, State state) private {
        uint256 known = spends[nullifier];
        if (known == 0) revert SpendUnknown();
        if (known & 3 != uint256(State.Reserved)) revert SpendEnded();
        uint256 mark = _mark(terms);
        if (known & ~uint256(3) != mark) revert SpendConflict();
        spends[nullifier] = mark | uint256(state);
        totals.reserved -= terms.cMax;
        totals.open -= 1;
    }

    /// Refuses what would take a leaf that open reservations need.
    function _keepLeaves(uint256 wanted) private view {
        if (tree.count() + totals.open + wanted > LEAVES_MAX) revert NoLeafLeft();
    }

    /// What identifies terms in a word whose two low bits are free. One word holds what four would.
    function _mark(Terms calldata terms) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(terms))) & ~uint256(3);
    }
}
