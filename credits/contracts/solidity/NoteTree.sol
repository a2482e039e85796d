// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {asElement} from "./Hashes.sol";
import {EMPTY_NODES} from "./EmptyNodes.sol";
import {PoseidonT4} from "./PoseidonT4.sol";
import {PoseidonT5} from "./PoseidonT5.sol";

// One leaf fewer than there is room for: so the root is never a complete node, and needs no case of its own.
uint256 constant LEAVES_MAX = (1 << 32) - 1;

/// The note tree: 4-ary, depth 16, appended left to right, empty leaves 0. `docs/protocol.md` §3.1, §4.3.
///
/// Keeps what the next root depends on, as `credits::NoteFrontier` does. A root costs sixteen hashes, so an append computes none, and nobody pays
/// for another's: anyone may have the newest anchor recorded (the root over a multiple of `ANCHOR_STEP` leaves), or the root over all leaves.
contract NoteTree {
    uint256 private constant DEPTH = 16;
    uint256 private constant ARITY_BITS = 2;
    uint256 private constant REST_MAX = 3;
    uint64 public constant ANCHOR_STEP = 64;
    /// An anchor is accepted while fewer leaves than this follow it, whatever the window.
    uint64 public constant ANCHOR_LIFE = 2 * ANCHOR_STEP;

    uint256 private immutable leafDomain = asElement(sha256("cloister/credits/v1/leaf"));
    /// Who may append: the contract that made this one.
    address public immutable owner;
    /// A recorded root is accepted while fewer leaves than this follow it.
    uint64 public immutable rootWindow;
    /// The number of leaves.
    uint64 public count;
    /// Over how many leaves the newest recorded anchor is. While `count − anchored` is at least `ANCHOR_STEP`, a newer one can be recorded.
    uint64 public anchored;
    /// Complete nodes whose parent is not complete, at each level; as many count as the base-4 digit of `count` says.
    mapping(uint256 level => uint256[REST_MAX]) private rests;
    /// Over how many leaves a recorded root is, and one, so that the root of the empty tree can be told from no root.
    mapping(uint256 root => uint64) private recorded;

    /// A root can be used in spends from now on.
    event RootRecorded(uint256 indexed root, uint64 leaves);

    error NotOwner();
    error TreeFull();

    constructor(uint64 rootWindow_) {
        owner = msg.sender;
        rootWindow = rootWindow_;
    }

    /// Appends `leaf = P(DOM_LEAF, inner, refund)`, both below r, and returns its number and the leaf.
    function append(uint256 inner, uint256 refund) external returns (uint64 index, uint256 leaf) {
        if (msg.sender != owner) revert NotOwner();
        index = count;
        if (index >= LEAVES_MAX) revert TreeFull();
        leaf = PoseidonT4.hash(PoseidonT4.load(), leafDomain, inner, refund);
        uint256 node = leaf;
        uint256 number = index;
        uint256 table;
        for (uint256 level = 0; ; ++level) {
            uint256[REST_MAX] storage rest = rests[level];
            uint256 digit = number & REST_MAX;
            if (digit < REST_MAX) {
                rest[digit] = node;
                break;
            }
            if (table == 0) table = PoseidonT5.load();
            node = PoseidonT5.hash(table, rest[0], rest[1], rest[2], node);
            number >>= ARITY_BITS;
        }
        count = index + 1;
    }

    /// Records the root over all leaves. Anyone may: whoever wants to spend a note that is younger than the newest anchor.
    function recordRoot() external returns (uint256 root_) {
        root_ = root();
        _record(root_, count);
    }

    /// Records the newest anchor's root, unless that was done. Anyone may, and for as long as it is the newest: the appends in between complete
    /// no node of those that it depends on, which is why a multiple of a power of the arity is the step.
    function recordAnchor() external {
        uint64 leaves = count - count % ANCHOR_STEP;
        if (leaves != anchored) _record(_root(leaves), leaves);
    }

    /// Whether spends may be proved under a root: it was recorded, and not too many leaves followed.
    function accepts(uint256 root_) external view returns (bool) {
        uint256 mark = recorded[root_];
        if (mark == 0) return false;
        uint256 leaves = mark - 1;
        uint256 following = count - leaves;
        return following < rootWindow || (leaves % ANCHOR_STEP == 0 && following < ANCHOR_LIFE);
    }

    /// The root over all leaves.
    function root() public view returns (uint256) {
        return _root(count);
    }

    /// Over the first `number` leaves: all, or as many as the newest anchor is over.
    function _root(uint256 number) private view returns (uint256 node) {
        uint256 table = PoseidonT5.load();
        bytes memory empty = EMPTY_NODES;
        bool below = false;
        for (uint256 level = 0; level < DEPTH; ++level) {
            uint256 digit = number & REST_MAX;
            number >>= ARITY_BITS;
            if (digit == 0 && !below) continue;
            uint256[REST_MAX + 1] memory children;
            uint256 filler = _word(empty, level);
            for (uint256 child = 0; child <= REST_MAX; ++child) {
                if (child < digit) children[child] = rests[level][child];
                else if (child == digit && below) children[child] = node;
                else children[child] = filler;
            }
            node = PoseidonT5.hash(table, children[0], children[1], children[2], children[3]);
            below = true;
        }
        if (!below) node = _word(empty, DEPTH);
    }

    function _record(uint256 root_, uint64 leaves) private {
        if (recorded[root_] != 0) return;
        recorded[root_] = leaves + 1;
        if (leaves % ANCHOR_STEP == 0) anchored = leaves;
        emit RootRecorded(root_, leaves);
    }

    function _word(bytes memory words, uint256 place) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(words, 32), mul(place, 32)))
        }
    }
}
