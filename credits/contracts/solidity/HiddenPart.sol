// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {asElement} from "./Hashes.sol";
import {PoseidonT6} from "./PoseidonT6.sol";

/// `inner = P(DOM_INNER, pk, v, rho, b)`, the hidden part of a leaf. A contract of its own for the size of its constants.
contract HiddenPart {
    uint256 private immutable domain = asElement(sha256("cloister/credits/v1/inner"));

    /// Of elements that are each below r.
    function hash(uint256 pk, uint256 value, uint256 rho, uint256 b) external view returns (uint256) {
        return PoseidonT6.hash(PoseidonT6.load(), domain, pk, value, rho, b);
    }
}
